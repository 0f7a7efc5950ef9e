"""``synthetic-2``: instances of the search on real cost tables, with losses as measured ones are.

Energy and storage are those that the cost model gives real networks (``synthetic_2.json``, made by
``tests/benchmarks/synthetic_tables.py``): 18 dimensions of the small Spikformer of ``gesture`` or
of Spikformer-2-256, or the 138 of ``qsd-15m``. Losses of accuracy are drawn, an instance for every
number: one layer's loss at 2 uniform bits is log-normal, so that a few layers carry most of it;
each has its own slope over bits and its own taste of scheme, neighbours lose a little more (or
much more) together, and accuracy saturates towards chance. An evaluation sees the accuracy with
normal noise; the scores without training are the true losses times log-normal errors, part of
them shared by a layer's choices, above a floor of noise.

The statistics are those of one measured pass (``nmnist``, recipe 3, 2026-11-27: 18 layers, 128
samples): three layers carry 94 % of the scored loss at 2 uniform bits (here 41 to 99, median 72:
the deviation is the prototype's), the logarithms deviate by 2.2, an error halves 1.8 ± 0.8 times
per bit. **Everything but the costs is made up**; the numbers say how well a strategy searches, and
nothing about any network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from hqsearch.definition import EvaluationOptions
from hqsearch.errors import DefinitionError
from hqsearch.evaluator import (
    Evaluation,
    Evaluator,
    EvaluatorTask,
    ScoresResult,
    ScoresTask,
    TaskAnswer,
)
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import ACCURACY, ENERGY, STORAGE, Objective
from hqsearch.problem.overflow import Overflow
from hqsearch.schemes.choice import FP32, parse_choice

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

TABLE_NAMES = ("gesture", "gesture-memory", "spikformer-2-256", "qsd-15m")
#: Accuracy of the parent, and what is left when everything is lost (11 classes).
PEAK, CHANCE = 0.95, 1.0 / 11.0
#: Standard deviation of the logarithm of a layer's loss; summed at 2 uniform bits, nats of accuracy
#: are log-normal around the second: 5 points.
TAIL, TOTAL, TOTAL_SPREAD = 2.0, 0.06, 0.4
#: How many times an error halves per bit: mean, deviation and least; less with power-of-two codes.
SLOPE, SLOPE_SPREAD, LEAST_SLOPE, POWER_OF_TWO_SLOPE = 1.6, 0.5, 0.5, 0.8
#: Logarithm of what 2 power-of-two bits lose in shares of 2 uniform ones.
TASTE, TASTE_SPREAD = 0.0, 0.6
#: Neighbours lose on top a share of the geometric mean of their losses, 0 to this.
INTERACTION = 0.8
#: Deviations of the logarithm of a score: of a layer, of a choice of it; and the floor of noise, in
#: shares of the largest loss.
LAYER_ERROR, CHOICE_ERROR, FLOOR = 0.5, 0.5, 0.001
_BITS_PER_KIB = 8192


@dataclass(frozen=True)
class CostTable:
    """Costs of one network on one piece of hardware, by dimension and choice.

    Attributes:
        layers: names of its dimensions, each as one layer.
        weights: of each.
        costs: ``[n_dimensions, n_choices, 3]``: energy µJ, storage KiB, average bits.
        rest: what no choice changes ``[3]``.
        overflow: what energy gains where codes do not fit the memory; None where none is shared.
    """

    layers: tuple[str, ...]
    weights: tuple[int, ...]
    costs: Floats
    rest: Floats
    overflow: Overflow | None


@dataclass(frozen=True, slots=True)
class TableLayer:
    path: str
    weights: int


class Synthetic2Options(EvaluationOptions):
    """``[evaluation]`` of the second synthetic model."""

    table: Literal["gesture", "gesture-memory", "spikformer-2-256", "qsd-15m"] = "gesture"
    """Whose costs: of ``gesture`` today, of ``gesture`` by horowitz-45nm-memory, …"""
    instance: Annotated[int, Field(ge=0, lt=2**31)] = 1000
    """Which losses. Settings of strategies were chosen on 0 to 99; report others."""
    noise: Annotated[float, Field(ge=0.0, le=50.0)] = 0.8
    """Standard deviation of a measured accuracy, in points."""


class Synthetic2(Evaluator):
    """The second synthetic model; see the module's docstring."""

    objectives: ClassVar[tuple[Objective, ...]] = (ACCURACY, ENERGY, STORAGE)
    metrics: ClassVar[tuple[str, ...]] = ("energy", "storage", "average_bits")
    costly: ClassVar[bool] = False
    strategy_tasks: ClassVar[frozenset[str]] = frozenset({"scores"})
    Options: ClassVar[type[EvaluationOptions]] = Synthetic2Options

    def layers(self) -> Sequence[TableLayer]:
        table = self._table
        return [TableLayer(*own) for own in zip(table.layers, table.weights, strict=True)]

    def notes(self) -> list[str]:
        return ["Synthetic 2: real costs, made-up losses; they compare strategies, not networks."]

    @cached_property
    def _table(self) -> CostTable:
        return cost_table(self.options.table)

    @cached_property
    def costs(self) -> tuple[Floats, ...]:
        """Per dimension ``[n_values, 3]``; what does not fit into a memory comes on top."""
        return tuple(
            self._table.costs[self._places(i), [_column(v) for v in d.values]]
            for i, d in enumerate(self.space.dimensions)
        )

    def _places(self, dimension: int) -> int:
        (path,) = self.space.dimensions[dimension].layers
        return self._table.layers.index(path)

    @cached_property
    def losses(self) -> tuple[Floats, ...]:
        """True loss of every value alone, per dimension ``[n_values]``, nats of accuracy."""
        count = len(self._table.layers)
        generator = self._generator(0)
        size = np.exp(TAIL * generator.standard_normal(count))
        total = TOTAL * np.exp(TOTAL_SPREAD * generator.standard_normal())
        size *= total / size.sum()
        slope = np.maximum(SLOPE + SLOPE_SPREAD * generator.standard_normal(count), LEAST_SLOPE)
        taste = TASTE + TASTE_SPREAD * generator.standard_normal(count)
        return tuple(
            np.array([_loss(v, *own) for v in d.values])
            for d, own in zip(
                self.space.dimensions, zip(size, slope, taste, strict=True), strict=True
            )
        )

    @cached_property
    def together(self) -> Floats:
        """What neighbours lose on top, in shares of their geometric mean ``[n_dimensions - 1]``."""
        return self._generator(1).uniform(0.0, INTERACTION, len(self._table.layers) - 1)

    def check(self) -> None:
        if self.space.pinned or any(len(d.layers) != 1 for d in self.space.dimensions):
            raise DefinitionError(
                "evaluator synthetic-2 needs a space in which every layer is a dimension: "
                "take out what ties or pins layers"
            )

    def cheap(self, candidates: Sequence[Candidate]) -> Floats:
        return self.cheap_codes(self.space.encode(candidates))

    def cheap_codes(self, codes: Codes) -> Floats:
        """Cheap metrics ``[n, 3]`` of value indices ``[n, n_dimensions]``."""
        total = np.repeat(self._table.rest[None], len(codes), axis=0)
        for own, column in zip(self.costs, codes.T, strict=True):
            total += own[column]
        if self._table.overflow is not None:
            total[:, 0] += self._table.overflow.amount(total)
        return total

    def overflows(self) -> Mapping[str, Overflow]:
        overflow = self._table.overflow
        if overflow is None:
            return {}
        bits = [own[:, 2] for own in self.costs]
        rest = self._table.rest[2]
        least, most = (rest + sum(float(end(b)) for b in bits) for end in (np.min, np.max))
        return {"": overflow} if least < overflow.capacity < most else {}

    def accuracy_codes(self, codes: Codes) -> Floats:
        """Noiseless accuracy ``[n]`` (fraction) of value indices ``[n, n_dimensions]``."""
        own = np.column_stack([x[c] for x, c in zip(self.losses, codes.T, strict=True)])
        pairs = np.sqrt(own[:, :-1] * own[:, 1:]) @ self.together
        return accuracy_of(own.sum(axis=1) + pairs)

    def reference(self) -> Mapping[str, float]:
        total = self._table.rest + self._table.costs[:, _column(FP32)].sum(axis=0)
        if self._table.overflow is not None:
            total[0] += self._table.overflow.amount(total[None])[0]
        return dict(zip(self.metrics, total.tolist(), strict=True))

    def evaluate(
        self,
        candidate: Candidate,
        seed: int,
        budget: int | None = None,
        resume_from: Path | None = None,
        checkpoint: Path | None = None,
    ) -> Evaluation:
        """Closed form plus the noise of (instance, candidate, seed); nothing to resume."""
        codes = self.space.encode([candidate])
        energy, storage, bits = self.cheap_codes(codes)[0].tolist()
        text = f"{self.options.instance}:{seed}:{candidate.key}"
        digest = hashlib.sha256(text.encode()).digest()[:16]
        drawn = np.random.default_rng(int.from_bytes(digest, "big")).standard_normal()
        error = self.options.noise / 100
        accuracy = min(max(float(self.accuracy_codes(codes)[0]) + error * float(drawn), 0.0), 1.0)
        values = {"accuracy": accuracy, "energy": energy, "storage": storage}
        return Evaluation(values, {"average_bits": bits, "accuracy_se": error})

    def strategy_task(
        self, task: EvaluatorTask, seed: int, folder: Path
    ) -> TaskAnswer | Mapping[str, Any]:
        """``scores``: the true losses with errors; they are the instance's, whatever the seed."""
        if not isinstance(task, ScoresTask):
            return super().strategy_task(task, seed, folder)
        generator = self._generator(2)
        floor = FLOOR * max(float(own.max()) for own in self.losses)
        scores: dict[str, dict[str, float]] = {}
        errors: dict[str, dict[str, float]] = {}
        for dimension, loss in zip(self.space.dimensions, self.losses, strict=True):
            log = LAYER_ERROR * generator.standard_normal()
            own = CHOICE_ERROR * generator.standard_normal(len(loss))
            scored = loss * np.exp(log + own) + floor * generator.standard_normal(len(loss))
            scored = np.where(loss > 0, scored, 0.0)
            scores[dimension.name] = dict(zip(dimension.values, scored.tolist(), strict=True))
            errors[dimension.name] = dict.fromkeys(dimension.values, floor)
        return ScoresResult(scores=scores, standard_errors=errors, samples=128)

    def _generator(self, index: int) -> np.random.Generator:
        place = TABLE_NAMES.index(self.options.table)
        return np.random.default_rng([self.options.instance, place, index])


@cache
def cost_table(name: str) -> CostTable:
    """One of the tables that come along."""
    whole = json.loads(files("hqsearch.evaluators").joinpath("synthetic_2.json").read_text())
    own = whole["tables"][name]
    weights = max(sum(own["weights"]), 1)
    unit = np.array([1.0, 1.0 / _BITS_PER_KIB, 1.0 / weights])
    costs = np.stack([own["energy"], own["storage"], own["codes"]], axis=-1) * unit
    overflow = None
    if own["memory"] is not None:
        capacity, price = own["memory"]
        overflow = Overflow(0, 2, capacity / weights, price * 1e-6 * weights)
    rest = np.array(own["rest"]) * unit
    return CostTable(tuple(own["layers"]), tuple(own["weights"]), costs, rest, overflow)


def accuracy_of(loss: Floats) -> Floats:
    """Accuracy (fraction) at a summed loss."""
    return np.asarray(CHANCE + (PEAK - CHANCE) * np.exp(-loss))


def costs_of(evaluator: Synthetic2, codes: Codes) -> Floats:
    """Noiseless costs ``[n, 3]`` (accuracy negated, energy, storage) of value indices."""
    return np.column_stack([-evaluator.accuracy_codes(codes), evaluator.cheap_codes(codes)[:, :2]])


def _column(choice: str) -> int:
    """Of a choice in the tables.

    Raises:
        DefinitionError: the tables do not have it.
    """
    known = _choices()
    if choice not in known:
        raise DefinitionError(
            f"evaluator synthetic-2 has no costs of {choice}; it knows {', '.join(known)}"
        )
    return known.index(choice)


@cache
def _choices() -> tuple[str, ...]:
    text = files("hqsearch.evaluators").joinpath("synthetic_2.json").read_text()
    return tuple(json.loads(text)["choices"])


def _loss(choice: str, size: float, slope: float, taste: float) -> float:
    """Loss of one layer, in nats of accuracy above chance."""
    kind = parse_choice(choice)
    if not kind.scheme.has_codes:
        return 0.0
    steps = kind.bits - 2
    if kind.scheme.name == "power-of-two":
        return float(size * np.exp(taste) * 2.0 ** (-POWER_OF_TWO_SLOPE * slope * steps))
    return float(size * 2.0 ** (-slope * steps))
