"""What candidates of a command cost: by the cost model where the network is known, else by bits."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from hqsearch.command.options import CommandOptions
from hqsearch.definition import StudyDefinition
from hqsearch.errors import DefinitionError, HqsearchError, PluginError
from hqsearch.hardware import CostModel, LayerRate, Workload, load_profile
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.space import LayerSize, Space
from hqsearch.schemes.choice import FP32, parse_choice
from hqsearch.sides import as_size

Floats = npt.NDArray[np.float64]
_BITS_PER_KIB = 8192


@dataclass(frozen=True, slots=True)
class SizedLayer:
    """A weight layer, as far as a space needs to know it."""

    path: str
    weights: int


class Costs(Protocol):
    """Cheap metrics of candidates, by name."""

    metrics: ClassVar[tuple[str, ...]]

    @property
    def layers(self) -> Sequence[LayerSize]: ...

    def cheap(self, space: Space, candidates: Sequence[Candidate]) -> Floats:
        """``[n_candidates, len(metrics)]``."""

    def reference(self) -> dict[str, float]:
        """The same of the network with every layer in fp32."""


@dataclass(frozen=True)
class CodeCosts:
    """Storage of the weights' codes, and average bits: all that numbers of weights tell.

    Scales, biases and normalisation are not counted: nobody said how many there are.
    """

    sizes: Mapping[str, int]
    metrics: ClassVar[tuple[str, ...]] = ("storage", "average_bits")

    @property
    def layers(self) -> Sequence[SizedLayer]:
        return [SizedLayer(path, weights) for path, weights in self.sizes.items()]

    def cheap(self, space: Space, candidates: Sequence[Candidate]) -> Floats:
        bits = np.array([self._bits(space.assignment(c)) for c in candidates], np.float64)
        bits = bits.reshape(len(candidates))
        return np.column_stack([bits / _BITS_PER_KIB, bits / sum(self.sizes.values())])

    def reference(self) -> dict[str, float]:
        bits = self._bits(dict.fromkeys(self.sizes, FP32))
        return {"storage": bits / _BITS_PER_KIB, "average_bits": bits / sum(self.sizes.values())}

    def _bits(self, choices: Mapping[str, str]) -> float:
        return float(sum(n * parse_choice(choices[path]).bits for path, n in self.sizes.items()))


class NetworkCosts:
    """Energy, storage and average bits by the cost model.

    Args:
        definition: of the study; its profile is the hardware.
        workload: what the network does, with firing rates.
    """

    metrics: ClassVar[tuple[str, ...]] = ("energy", "storage", "average_bits")

    def __init__(self, definition: StudyDefinition, workload: Workload) -> None:
        name = definition.hardware.profile
        place = definition.located(name) if name.endswith(".toml") else name
        self.workload, self.profile = workload, load_profile(place)
        self._model: tuple[Space, CostModel] | None = None

    @property
    def layers(self) -> Sequence[SizedLayer]:
        return [SizedLayer(path, op.weights) for path, op in self.workload.layers.items()]

    def model(self, space: Space) -> CostModel:
        """Cost tables of the layers of ``space``, made once."""
        if self._model is None or self._model[0] is not space:
            allowed: dict[str, tuple[str, ...]] = {p: (c,) for p, c in space.pinned}
            for dimension in space.dimensions:
                allowed.update(dict.fromkeys(dimension.layers, dimension.values))
            self._model = space, CostModel(self.workload, self.profile, allowed)
        return self._model[1]

    def cheap(self, space: Space, candidates: Sequence[Candidate]) -> Floats:
        model = self.model(space)
        estimate = model.estimate(model.codes(space.assignment(c) for c in candidates))
        return np.column_stack([estimate.energy, estimate.storage, estimate.average_bits])

    def measured_energy(
        self, space: Space, candidate: Candidate, rates: Mapping[str, LayerRate]
    ) -> float:
        """µJ per inference at firing rates that were measured on this very candidate."""
        return self.model(space).energy(space.assignment(candidate), rates).total

    def reference(self) -> dict[str, float]:
        model = self._whole
        choices = model.uniform(FP32)
        return {
            "energy": model.energy(choices).total,
            "storage": model.storage(choices).kib,
            "average_bits": 32.0,
        }

    @cached_property
    def _whole(self) -> CostModel:
        return CostModel(self.workload, self.profile, dict.fromkeys(self.workload.layers, (FP32,)))


def costs_of(definition: StudyDefinition, options: CommandOptions) -> Costs:
    """By ``[model]``, ``workload`` or ``layers``: whichever there is.

    Raises:
        DefinitionError: there is none of them, or more than one, or a part of it is missing.
        PluginError: the network does not run.
    """
    given = [
        name
        for name, there in (
            ("[model]", definition.model is not None),
            ("[evaluation] workload", options.workload is not None),
            ("[evaluation] layers", bool(options.layers)),
        )
        if there
    ]
    where = f"study {definition.name!r}"
    if len(given) != 1:
        raise DefinitionError(
            f"{where}: evaluator command needs one source of layers: [evaluation.layers] with "
            "numbers of weights, [evaluation] workload, or a network in [model] "
            + (f"(given: {', '.join(given)})" if given else "(none is given)")
        )
    if options.layers:
        return CodeCosts(options.layers)
    traced = _traced(definition, options) if definition.model else _read(definition, options)
    return NetworkCosts(definition, traced)


def _read(definition: StudyDefinition, options: CommandOptions) -> Workload:
    assert options.workload is not None
    place = definition.located(options.workload)
    try:
        workload = Workload.from_json(place.read_text(encoding="utf-8"))
    except OSError as error:
        raise DefinitionError(f"[evaluation] workload: {place}: {error.strerror}") from None
    known = any(op.rate is not None for op in workload.operations)
    return workload if known else workload.with_rate(options.rate)


def _traced(definition: StudyDefinition, options: CommandOptions) -> Workload:
    # A study without a network needs no torch.
    import torch

    from hqsearch.hardware.trace import trace_workload
    from hqsearch.models import build_model

    model = definition.model
    assert model is not None
    if model.object is not None:
        raise DefinitionError("evaluator command reads its network from a file or by its name")
    for key in ("input", "classes"):
        if getattr(options, key) is None:
            raise DefinitionError(
                f"study {definition.name!r} [evaluation]: with a [model], evaluator command needs "
                f"{key} ({'channels, height, width' if key == 'input' else 'a number'}), "
                "to know what the network computes"
            )
    assert options.input is not None
    assert options.classes is not None
    channels, height, width = options.input
    network = str(model.name)
    if model.path is not None:
        place, _, function = model.path.rpartition(":")
        network = f"{definition.located(place)}:{function}"
    net = build_model(
        network,
        model.options,
        timesteps=model.timesteps,
        size=as_size(height, width),
        classes=options.classes,
        in_channels=channels,
        seed=options.seed,
    )
    frames = torch.zeros(model.timesteps, 1, channels, height, width)
    with suppress(Exception):  # a user's network may look at its values; it is run on some then
        meta = trace_workload(copy.deepcopy(net).to("meta"), frames.to("meta"), options.input_bits)
        return meta.with_rate(options.rate)
    try:
        traced = trace_workload(net, frames, options.input_bits)
    except HqsearchError:
        raise
    except Exception as error:
        raise PluginError(
            f"{network} fails on frames {list(frames.shape)}: {type(error).__name__}: {error}"
        ) from error
    return traced.with_rate(options.rate)
