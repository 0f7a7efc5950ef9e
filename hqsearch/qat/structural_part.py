"""One structural part of a study: its network, frames, parent and costs.

A space without structural dimensions has one part, whose key is empty; otherwise every
combination of their values is a part with a key of its own
(:meth:`hqsearch.problem.space.Space.structural_key`). Nothing is made before it is asked for.
Works on the built-in networks and on a user's own (``[model] path = "file.py:build"``).
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from hqsearch.data import (
    DataOutlook,
    DataSpec,
    FrameData,
    check_data,
    classes_beforehand,
    data_classes,
    data_outlook,
    open_frames,
    prepare_data,
    splits_given,
    usual_place,
)
from hqsearch.data.encoding import Encoding
from hqsearch.data.samples import Progress
from hqsearch.definition.study import NeuronDefinition
from hqsearch.errors import DataError, PluginError, RunFailed
from hqsearch.evaluator.given import missing_model
from hqsearch.hardware import CostModel, Workload
from hqsearch.models import WeightLayer, build_model, deploy, weight_layers
from hqsearch.models.adapters.declared import Declared
from hqsearch.models.adopting import adopt, paths_run
from hqsearch.models.given import weights_digest
from hqsearch.models.weights import fill_network, rename_of
from hqsearch.plugins import is_installed_reference
from hqsearch.problem.space import Space
from hqsearch.qat.study import QatStudy
from hqsearch.sides import sides
from hqsearch.training import Samples, Teacher, load_state
from hqsearch.training.batches import ToFloat
from hqsearch.training.finite import require_finite

SplitName = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Prepared:
    """What a preparation left for all processes.

    Attributes:
        classes: number of classes.
        frames: frame folder, below the study's.
        parents: structural key → parent folder, below the study's.
    """

    classes: int
    frames: str
    parents: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        return {"classes": self.classes, "frames": self.frames, "parents": dict(self.parents)}


class Part:
    """One structural part.

    Args:
        study: what all parts share.
        key: of the structural part; empty where there is none.
        settings: of ``[model]``, by name, that the part overrides.

    Raises:
        DefinitionError: data or settings that cannot be used; nothing on disk is looked at.
    """

    def __init__(
        self, study: QatStudy, key: str = "", settings: Mapping[str, Any] | None = None
    ) -> None:
        self.study, self.key, self.settings = study, key, dict(settings or {})
        self.model = study.model(self.settings)
        data = study.data
        path = study.definition.located(str(data.path)) if data.path else usual_place(data.dataset)
        self.data = DataSpec.of(data, self.model.timesteps, path)
        self._prepared: Prepared | None = None
        self._costs: tuple[Space, CostModel] | None = None

    # The network

    @property
    def network(self) -> str:
        """Name of the network, or ``path/to/file.py:function``."""
        if self.model.object is not None:
            return str(self.model.object["name"])
        if self.model.path is None:
            return str(self.model.name)
        if is_installed_reference(self.model.path):
            return self.model.path
        place, _, function = self.model.path.rpartition(":")
        return f"{self.study.definition.located(place)}:{function}"

    def build(self, *, deployed: bool = True, filled: bool = True) -> nn.Module:
        """The network that training starts from, the same every time.

        Args:
            filled: with the study's trained weights, if it names some.
            deployed: in the form that candidates have; else as its parent is trained, which is
                another one where ``fold`` says so (:func:`hqsearch.models.deploy`).

        Raises:
            InputError: it was given as a Python object, and this process has none; or the
                trained weights, or the declared neurons, are not this network's.
        """
        model = self._made()
        fill = self.fill if filled and self.model.weights is not None else None
        if self.built_in:
            if fill is not None:
                fill(model)
            if deployed:
                deploy(model)
            return model
        neurons = [
            Declared(n.cls, n.tau, n.threshold, n.reset, n.output)
            for n in self.model.neurons
            if isinstance(n, NeuronDefinition)
        ]
        seed, readout = self.study.options.seed, self.model.readout
        return adopt(model, self.batch_shape(1), neurons, fill, seed, readout)

    def fill(self, model: nn.Module) -> list[str]:
        """Put the study's trained weights into ``model``; what a person should know of them."""
        rename = rename_of(self.model.rename)
        return fill_network(model, self.study.weights_file(self.model), rename)

    @property
    def built_in(self) -> bool:
        """Whether the network is one of hqsearch's own, of which all is known."""
        return self.model.name is not None and not (self.model.neurons or self.model.readout)

    @property
    def unknown(self) -> Literal["refuse", "real"]:
        """What becomes of operations that the cost model does not know.

        A study that asks for no energy is not refused for them.
        """
        definition = self.study.definition
        asked = {o.name for o in definition.objective} | set(definition.constraints)
        return self.model.unknown if "energy" in asked else "real"

    def batch_shape(self, samples: int) -> tuple[int, int, int, int, int]:
        """Frames ``[T, N, C, H, W]`` as the network sees them."""
        data, usual = self.data, "once" if self.built_in else "every-step"
        once = data.is_still and (data.presented or usual) == "once"
        return 1 if once else data.timesteps, samples, data.channels, *sides(data.size)

    def model_identity(self) -> dict[str, Any]:
        """``[model]`` as JSON values: a user's file by its contents, and what else it brings.

        A function may load weights by itself, from a file that nothing names. They are known by
        not depending on the seed: random ones are left out, for their last digits may be another
        machine's. Trained weights of the study replace them all.
        """
        identity = self.study.model_identity(self.model)
        if self.model.path is not None and self.model.weights is None:
            seed = self.study.options.seed
            one, other = (self._made(s).state_dict() for s in (seed, seed + 1))
            brought = {name: v for name, v in one.items() if _is_brought(v, other.get(name))}
            if brought:
                identity["brings"] = weights_digest(brought)
        return identity

    def _made(self, seed: int | None = None) -> nn.Module:
        """The network as its parent is trained; ``seed`` is the study's by default."""
        given: dict[str, Any] = {
            "timesteps": self.data.timesteps,
            "size": self.data.size,
            "classes": self.classes,
            "in_channels": self.data.channels,
        }
        seed = self.study.options.seed if seed is None else seed
        if self.model.object is None:
            options = self.model.options
            return build_model(self.network, options, **given, seed=seed, deployed=False)
        model = self.study.objects.model
        if model is None:
            raise missing_model(self.study.definition)
        return model.build(self.model.options, given, seed)

    @cached_property
    def layers(self) -> list[WeightLayer]:
        """Its weight layers that it runs, in order."""
        model = self.build(filled=False)
        every = weight_layers(model)
        if self.built_in:
            return every
        run = self._run(model)
        return [
            replace(layer, tied=layer.tied if layer.tied in run else None)
            for layer in every
            if layer.path in run
        ]

    @cached_property
    def idle_layers(self) -> list[str]:
        """Weight layers that the network holds and does not run; they stay as they are."""
        taken = {layer.path for layer in self.layers}
        every = weight_layers(self.build(filled=False))
        return [layer.path for layer in every if layer.path not in taken]

    def _run(self, model: nn.Module) -> frozenset[str]:
        shape = self.batch_shape(1)
        try:
            return paths_run(model, torch.zeros(shape))
        except Exception as error:
            raise self.failure(shape, error) from error

    def failure(self, shape: Sequence[int], error: Exception) -> PluginError:
        """What to say where the network fails on frames of a shape."""
        return PluginError(
            f"{self.network} fails on frames {list(shape)} "
            f"([T, N, channels, height, width]): {type(error).__name__}: {error}"
        )

    @property
    def classes(self) -> int:
        """Number of classes, as any part's preparation found it, or the source files show it.

        Workers on other machines have no source files.
        """
        prepared = self.prepared
        for file in [] if prepared else self.study.folder.glob("prepared*.json"):
            prepared = prepared or _read(file)
        if prepared:
            return prepared.classes
        return self.classes_beforehand or self._classes_of_files

    @property
    def classes_beforehand(self) -> int | None:
        """Of a known set whose recordings are not there, as it is published; else None."""
        return classes_beforehand(self.data)

    @cached_property
    def _classes_of_files(self) -> int:
        return len(data_classes(self.data, self._cache, self.study.objects.frames))

    @property
    def _cache(self) -> Path:
        """Of frames, whatever they were made from."""
        return self.study.folder / "data"

    def check_data(self) -> None:
        """Look at the data, before anything is created.

        Raises:
            DataError: they are missing or cannot be used.
        """
        check_data(self.data, self._cache, self.study.objects.frames)

    def splits_drawn(self) -> list[str]:
        """Of ``validation`` and ``test``, those whose samples are drawn by this study."""
        return [name for name in ("validation", "test") if name not in splits_given(self.data)]

    def data_outlook(self) -> DataOutlook:
        """What preparing the data will come to."""
        return data_outlook(self.data, self._cache, self.study.objects.frames)

    def prepare_data(self, progress: Progress, workers: int) -> FrameData:
        """Its frames, made or written if they are not there yet."""
        frames = self.study.objects.frames
        return prepare_data(self.data, self._cache, progress, workers, frames)

    # What a preparation leaves

    @property
    def prepared_file(self) -> Path:
        """Says where frames and parent are; one file for each structural part."""
        digest = hashlib.sha256(self.key.encode()).hexdigest()[:8]
        return self.study.folder / (f"prepared-{digest}.json" if self.key else "prepared.json")

    @property
    def prepared(self) -> Prepared | None:
        """What :func:`hqsearch.qat.parent.prepare_parts` left; None before it."""
        if self._prepared is None and self.prepared_file.exists():
            self._prepared = _read(self.prepared_file)
        return self._prepared

    def forget(self) -> None:
        """What was prepared has changed: read it again when it is asked for."""
        self._prepared = self._costs = None
        self.__dict__.pop("frames", None)

    @cached_property
    def frames(self) -> FrameData:
        """Its prepared frames, memory-mapped."""
        return open_frames(self.study.folder / self._required.frames)

    def samples(self, split: SplitName) -> Samples:
        """One split, and how the network sees it."""
        frames = getattr(self.frames, split)
        return Samples(frames.frames, frames.labels, self.as_seen(self.frames.encoding))

    def as_seen(self, encoding: Encoding) -> ToFloat:
        """Stored frames ``[T, N, C, H, W]`` to what the network sees; a picture is stored once."""
        steps = self.batch_shape(1)[0]

        def to_float(frames: torch.Tensor) -> torch.Tensor:
            values = encoding.to_float(frames)
            return values.expand(steps, *values.shape[1:]) if len(values) != steps else values

        return to_float if self.data.is_still and steps > 1 else encoding.to_float

    @property
    def parent_folder(self) -> Path:
        """Where weights, workload and measurements of the prepared parent are."""
        return self.study.folder / self._required.parents[self.key]

    def parent(self) -> nn.Module:
        """The trained parent in fp32, on the CPU; a new one every time.

        Raises:
            RunFailed: it is missing, damaged, of another network, or holds what is no number.
        """
        model, weights = self.build(filled=False), self.parent_folder / "parent.safetensors"
        load_state(model, weights)
        try:
            require_finite(model, f"in {weights}")
        except FloatingPointError as error:
            raise RunFailed(f"the parent cannot be used: {error}") from error
        return model

    def teacher(self, student: nn.Module) -> Teacher | None:
        """The parent as a teacher of ``student``, as ``distillation`` says; None where it is off.

        Raises:
            DefinitionError: a network whose patterns cannot be compared.
        """
        kind = self.study.options.distillation
        if kind == "none":
            return None
        return Teacher(self.parent().to(self.study.device), student, kind)

    @property
    def _required(self) -> Prepared:
        prepared = self.prepared
        if prepared is None:
            raise DataError(f"{self.prepared_file} does not exist: run the study to prepare it.")
        return prepared

    # Costs

    def workload(self) -> Workload | None:
        """The parent's, with its firing rates; None before it is trained.

        One that an earlier version counted is read, too: it is what the study's energies rest on.
        """
        file = self.parent_folder / "workload.json" if self.prepared else None
        if file is None or not file.exists():
            return None
        return Workload.from_json(file.read_text(), earlier=True)

    def costs(self, space: Space) -> CostModel:
        """Cost tables of the layers of ``space`` at the parent's firing rates, made once.

        Raises:
            DefinitionError: the parent's workload was counted by an earlier version.
        """
        if self._costs is None or self._costs[0] is not space:
            workload = Workload.from_json((self.parent_folder / "workload.json").read_text())
            allowed: dict[str, tuple[str, ...]] = {p: (c,) for p, c in space.pinned}
            for dimension in space.dimensions:
                if dimension.kind == "weights":
                    allowed.update(dict.fromkeys(dimension.layers, dimension.values))
            self._costs = space, CostModel(workload, self.study.profile, allowed)
        return self._costs[1]


def _is_brought(value: Any, other: Any) -> bool:
    """Whether a tensor is the same with another seed, and more than one number repeated."""
    if not (isinstance(value, torch.Tensor) and isinstance(other, torch.Tensor)):
        return False
    if is_lazy(value) or is_lazy(other) or not value.numel() or not torch.equal(value, other):
        return False
    return bool((value != value.flatten()[0]).any())


def _read(file: Path) -> Prepared | None:
    """What a preparation left; None where it cannot be read, and is made again."""
    try:
        told = json.loads(file.read_text())
        return Prepared(int(told["classes"]), str(told["frames"]), dict(told["parents"]))
    except (ValueError, TypeError, KeyError):
        return None


def structural_settings(space: Space) -> dict[str, dict[str, Any]]:
    """Key → settings of every structural part of ``space``; one, without settings, if none is
    structural.
    """
    values = [d.values if d.kind == "structure" else d.values[:1] for d in space.dimensions]
    candidates = [
        space.candidate(dict(zip(space.names, chosen, strict=True)))
        for chosen in itertools.product(*values)
    ]
    return {space.structural_key(c): dict(space.structure(c)) for c in candidates}
