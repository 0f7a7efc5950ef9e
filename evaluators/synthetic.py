"""``synthetic``: a model of the search on a published-size network, with known truth.

18 layers with the weights and multiply-accumulates of Spikformer-2-256 for event cameras,
whose loss of accuracy is nearly additive over layers: each layer loses by its own sensitivity,
by how steeply its error falls with bits and by which scheme suits it; neighbours lose a little
more together; accuracy saturates towards chance. Energy and storage are exact sums over
layers. **Sensitivities, firing rates and energies are made up**; the numbers say how well a
strategy searches, and nothing about any network.

``noise`` (points) adds a normal error to every measured accuracy, drawn from (candidate, seed),
so that an evaluation stays deterministic for its arguments. What there is to find
(:func:`attainable`) is known from a search over partial sums of the noiseless model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

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
from hqsearch.problem.pareto import hypervolume, non_dominated
from hqsearch.schemes.choice import parse_choice

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SyntheticLayer:
    """A weight layer: sizes as published, everything else made up.

    Attributes:
        macs: multiply-accumulates per timestep.
        rate: firing rate of its input; None for the frames.
        sensitivity: loss at 2 uniform bits, in hundredths of a nat of accuracy.
        slope: how many times its error halves per bit.
        taste: logarithm of how much more it loses with power-of-two codes than the average.
    """

    path: str
    weights: int
    macs: int
    rate: float | None
    sensitivity: float
    slope: float = 1.5
    taste: float = 0.0


def _block(
    index: int, rates: Sequence[float], values: Sequence[tuple[float, float, float]]
) -> tuple[SyntheticLayer, ...]:
    names = ("attention.q", "attention.k", "attention.v", "attention.proj", "mlp.fc1", "mlp.fc2")
    sizes = (*((65_536, 4_194_304),) * 4, *((262_144, 16_777_216),) * 2)
    return tuple(
        SyntheticLayer(f"blocks.{index}.{name}", *size, rate, *own)
        for name, size, rate, own in zip(names, sizes, rates, values, strict=True)
    )


TIMESTEPS = 16
LAYERS = (
    SyntheticLayer("tokenizer.0.conv", 576, 9_437_184, None, 2.4, 1.3, 0.35),
    SyntheticLayer("tokenizer.1.conv", 18_432, 75_497_472, 0.16, 1.5, 1.4, -0.20),
    SyntheticLayer("tokenizer.2.conv", 73_728, 75_497_472, 0.11, 0.9, 1.7, 0.10),
    SyntheticLayer("tokenizer.3.conv", 294_912, 75_497_472, 0.08, 0.55, 1.5, -0.30),
    SyntheticLayer("position.conv", 589_824, 37_748_736, 0.13, 0.8, 1.2, 0.20),
    *_block(
        0,
        (0.22, 0.22, 0.22, 0.09, 0.24, 0.06),
        (
            (0.25, 1.6, -0.40),
            (0.20, 1.4, 0.00),
            (0.60, 1.5, 0.30),
            (0.50, 1.8, -0.10),
            (0.75, 1.3, -0.35),
            (1.20, 1.5, 0.15),
        ),
    ),
    *_block(
        1,
        (0.27, 0.27, 0.27, 0.07, 0.29, 0.05),
        (
            (0.15, 1.5, 0.25),
            (0.12, 1.7, -0.15),
            (0.40, 1.3, 0.40),
            (0.35, 1.6, -0.25),
            (0.55, 1.6, 0.05),
            (1.00, 1.4, -0.20),
        ),
    ),
    SyntheticLayer("head", 2_816, 176, 0.10, 1.9, 1.2, 0.30),
)
#: Accuracy of the parent, and what is left when everything is lost (11 classes).
PEAK, CHANCE = 0.95, 1.0 / 11.0
#: Loss with 2-bit power-of-two codes against 2-bit uniform ones; they gain less per bit.
_POWER_OF_TWO = 0.85
_POWER_OF_TWO_SLOPE = 0.8
#: Accuracy (fraction), energy (µJ) and storage (KiB) from which hypervolume is measured: a
#: little worse than uniform 2 bits, and a quarter of what the fp32 network costs.
REFERENCE = (0.80, 350.0, 2500.0)
#: Share of fp32's cost below which :func:`attainable` cuts cells of equal size, not ratio.
FINEST = 0.002


class SyntheticOptions(EvaluationOptions):
    """``[evaluation]`` of the synthetic model."""

    noise: Annotated[float, Field(ge=0.0, le=50.0)] = 0.0
    """Standard deviation of a measured accuracy, in points."""
    interaction: Annotated[float, Field(ge=0.0, le=2.0)] = 0.3
    """How much two neighbouring layers lose on top of their sum, as a share of the geometric
    mean of their losses."""
    score_noise: Annotated[float, Field(ge=0.0, le=10.0)] = 0.7
    """Standard deviation of the logarithm of a score (what free knowledge gets wrong)."""


class Synthetic(Evaluator):
    """The synthetic model; see the module's docstring."""

    objectives: ClassVar[tuple[Objective, ...]] = (ACCURACY, ENERGY, STORAGE)
    metrics: ClassVar[tuple[str, ...]] = ("energy", "storage", "average_bits")
    costly: ClassVar[bool] = False
    strategy_tasks: ClassVar[frozenset[str]] = frozenset({"scores"})
    Options: ClassVar[type[EvaluationOptions]] = SyntheticOptions

    def layers(self) -> Sequence[SyntheticLayer]:
        return LAYERS

    def notes(self) -> list[str]:
        return ["Synthetic: made-up numbers; they compare strategies, not networks."]

    @cached_property
    def tables(self) -> list[tuple[Codes, Floats, Floats]]:
        """Per dimension: its layers' places, costs ``[values, 3]``, losses ``[values, layers]``."""
        places = {layer.path: i for i, layer in enumerate(LAYERS)}
        tables = []
        for dimension in self.space.dimensions:
            own = np.array([places[p] for p in dimension.layers], dtype=np.int64)
            cost = [sum(_costs(LAYERS[i], v) for i in own) for v in dimension.values]
            loss = [[_loss(LAYERS[i], v) for i in own] for v in dimension.values]
            tables.append((own, np.array(cost), np.array(loss)))
        return tables

    def cheap(self, candidates: Sequence[Candidate]) -> Floats:
        return self.cheap_codes(self.space.encode(candidates))

    def cheap_codes(self, codes: Codes) -> Floats:
        """Cheap metrics ``[n, 3]`` of value indices ``[n, n_dimensions]``."""
        by_path = {layer.path: layer for layer in LAYERS}
        total = np.zeros((len(codes), 3))
        for path, choice in self.space.pinned:
            total += _costs(by_path[path], choice)
        for column, (_, cost, _) in enumerate(self.tables):
            total += cost[codes[:, column]]
        return total

    def accuracy_codes(self, codes: Codes) -> Floats:
        """Noiseless accuracy ``[n]`` (fraction) of value indices ``[n, n_dimensions]``."""
        losses = np.zeros((len(codes), len(LAYERS)))
        for index, layer in enumerate(LAYERS):
            for path, choice in self.space.pinned:
                if path == layer.path:
                    losses[:, index] = _loss(layer, choice)
        for column, (own, _, loss) in enumerate(self.tables):
            losses[:, own] = loss[codes[:, column]]
        together = np.sqrt(losses[:, :-1] * losses[:, 1:]).sum(axis=1)
        return accuracy_of(losses.sum(axis=1) + self.options.interaction * together)

    def reference(self) -> Mapping[str, float]:
        cost = np.sum([_costs(layer, "fp32") for layer in LAYERS], axis=0)
        return dict(zip(self.metrics, cost.tolist(), strict=True))

    def evaluate(
        self,
        candidate: Candidate,
        seed: int,
        budget: int | None = None,
        resume_from: Path | None = None,
        checkpoint: Path | None = None,
    ) -> Evaluation:
        """Closed form plus the noise of (candidate, seed); there is nothing to resume."""
        codes = self.space.encode([candidate])
        energy, storage, bits = self.cheap_codes(codes)[0].tolist()
        error = self.options.noise / 100 * _normal(f"{seed}:{candidate.key}")
        accuracy = min(max(float(self.accuracy_codes(codes)[0]) + error, 0.0), 1.0)
        chosen = self.space.assignment(candidate)
        rows: list[dict[str, Any]] = []
        for layer in LAYERS:
            cost = _costs(layer, chosen[layer.path])
            rows.append(
                {
                    "layer": layer.path,
                    "choice": chosen[layer.path],
                    "weights": layer.weights,
                    "bits": parse_choice(chosen[layer.path]).bits,
                    "rate": layer.rate,
                    "energy": float(cost[0]),
                    "storage": float(cost[1]),
                }
            )
        details = {
            "average_bits": bits,
            "accuracy_se": self.options.noise / 100,
            "layers": rows,
        }
        return Evaluation({"accuracy": accuracy, "energy": energy, "storage": storage}, details)

    def strategy_task(
        self, task: EvaluatorTask, seed: int, folder: Path
    ) -> TaskAnswer | Mapping[str, Any]:
        """``scores``: the true losses, each times exp(normal · ``score_noise``)."""
        if not isinstance(task, ScoresTask):
            return super().strategy_task(task, seed, folder)
        scale = self.options.score_noise
        scores: dict[str, dict[str, float]] = {}
        for dimension, (_, _, loss) in zip(self.space.dimensions, self.tables, strict=True):
            total = dict(zip(dimension.values, loss.sum(axis=1).tolist(), strict=True))
            scores[dimension.name] = {
                value: own * float(np.exp(scale * _normal(f"{seed}:{dimension.name}={value}")))
                for value, own in total.items()
            }
        errors = {d: dict.fromkeys(values, 0.0) for d, values in scores.items()}
        return ScoresResult(scores=scores, standard_errors=errors, samples=0)


def accuracy_of(loss: Floats) -> Floats:
    """Accuracy (fraction) at a summed loss."""
    return np.asarray(CHANCE + (PEAK - CHANCE) * np.exp(-loss))


def costs_of(evaluator: Synthetic, codes: Codes) -> Floats:
    """Noiseless costs ``[n, 3]`` (accuracy negated, energy, storage) of value indices."""
    return np.column_stack([-evaluator.accuracy_codes(codes), evaluator.cheap_codes(codes)[:, :2]])


def volume(costs: Floats) -> float:
    """Hypervolume of costs ``[n, 3]`` up to :data:`REFERENCE`, as a share of the box between it
    and (:data:`PEAK`, 0 µJ, 0 KiB)."""
    accuracy, energy, storage = REFERENCE
    scale = np.array([PEAK - accuracy, energy, storage])
    return hypervolume(np.asarray(costs) / scale, np.array([-accuracy, energy, storage]) / scale)


def attainable(evaluator: Synthetic, cells: int = 200) -> Floats:
    """Costs ``[n, 3]`` of (nearly) all there is to find, without noise.

    A search over the layers in order: of the partial assignments whose energy and storage fall
    into the same of ``cells`` × ``cells`` cells, and whose last layer has the same choice (which
    is all that the rest of the loss depends on), the one that lost least is kept. Every point is
    a real candidate's, so the volume is a lower bound of the exact front's. With the default
    interaction it is 0.5350, 0.5416, 0.5441, 0.5443 and 0.5452 for 100, 200, 400, 800 and 1,600
    cells: the last is right to a few thousandths, the default to a hundredth.

    Raises:
        DefinitionError: a space in which layers are tied or pinned.
    """
    if any(len(own) != 1 for own, _, _ in evaluator.tables) or evaluator.space.pinned:
        raise DefinitionError("attainable() needs a space in which every layer is a dimension")
    size = np.array([evaluator.reference()["energy"], evaluator.reference()["storage"]])
    # Cells of equal ratio: what is worth having lies at a small share of fp32's costs.
    fineness = cells / np.log(1 + 1 / FINEST)
    cost, loss, last, last_loss = np.zeros((1, 2)), np.zeros(1), np.zeros(1, int), np.zeros(1)
    for _, own_cost, own_loss in evaluator.tables:
        count = len(own_cost)
        cost = np.repeat(cost, count, axis=0) + np.tile(own_cost[:, :2], (len(loss), 1))
        added = np.tile(own_loss[:, 0], len(loss))
        pair = evaluator.options.interaction * np.sqrt(np.repeat(last_loss, count) * added)
        last = np.tile(np.arange(count), len(loss))
        loss, last_loss = np.repeat(loss, count) + added + pair, added
        place = (np.log1p(cost / size / FINEST) * fineness).astype(np.int64)
        label = (place[:, 0] * (cells + 1) + place[:, 1]) * count + last
        order = np.lexsort((loss, label))
        kept = order[np.unique(label[order], return_index=True)[1]]
        cost, loss, last, last_loss = cost[kept], loss[kept], last[kept], last_loss[kept]
    costs = np.column_stack([-accuracy_of(loss), cost])
    return np.asarray(costs[non_dominated(costs)])


def _loss(layer: SyntheticLayer, choice: str) -> float:
    """Loss of one layer, in nats of accuracy above chance.

    A scheme that the model knows nothing of loses what uniform codes of its width would.
    """
    kind = parse_choice(choice)
    if not kind.scheme.has_codes:
        return 0.0
    steps = kind.bits - 2
    if kind.scheme.name == "power-of-two":
        own = layer.sensitivity / 100 * _POWER_OF_TWO * float(np.exp(layer.taste))
        return float(own * 2.0 ** (-_POWER_OF_TWO_SLOPE * layer.slope * steps))
    return float(layer.sensitivity / 100 * 2.0 ** (-layer.slope * steps))


def _costs(layer: SyntheticLayer, choice: str) -> Floats:
    """Energy (µJ), storage (KiB) and share of the average bits of one layer.

    A scheme that the model knows nothing of costs what uniform codes of its width would.
    """
    kind = parse_choice(choice)
    if not kind.scheme.has_codes:
        picojoule = 4.6 if layer.rate is None else 0.9
    elif kind.scheme.name == "power-of-two":
        picojoule = 0.022 * kind.bits + 0.008
    else:
        # A multiply by 4-bit frames as well as the addition, where inputs are no spikes.
        picojoule = 0.02 * kind.bits + (0.06 * kind.bits if layer.rate is None else 0.0)
    energy = layer.macs * TIMESTEPS * (layer.rate or 1.0) * picojoule * 1e-6
    storage = layer.weights * kind.bits / 8 / 1024
    share = layer.weights * kind.bits / sum(member.weights for member in LAYERS)
    return np.array([energy, storage, share])


def _normal(text: str) -> float:
    """A standard normal number that belongs to a text."""
    digest = hashlib.sha256(text.encode()).digest()[:16]
    return float(np.random.default_rng(int.from_bytes(digest, "big")).standard_normal())
