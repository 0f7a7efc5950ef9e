"""``toy``: a closed-form network of 8 layers, for trying strategies in milliseconds.

Accuracy falls with each layer's quantization error and with the errors of adjacent layers
together; energy and storage are sums over layers. There is no noise, so the exact front of
the 5^8 = 390,625 candidates is known by enumeration (:func:`true_front`). The numbers are
made up; only their structure resembles a spiking transformer's.

They are those of 4 timesteps. A space may search ``timesteps`` as well (``toy-structure`` does):
with T of them energy is T / 4 as large, errors are (4 / T)^¼ times as large (fewer spikes to
average them), and a loss of 0.02 · (4 / T − 1) is added, whatever the choices are.

With ``epochs`` above 1 an evaluation follows a learning curve that ends, at the last epoch, at
the closed form: right after quantization the loss is several times as large, and it decays the
more slowly the fewer bits there are, so that curves cross and part-way comparisons can err.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from hqsearch.atomic import write_atomically
from hqsearch.definition import EvaluationOptions
from hqsearch.errors import InputError
from hqsearch.evaluator import (
    Evaluation,
    Evaluator,
    EvaluatorTask,
    FreshParent,
    ParentResult,
    ParentTask,
    ScoresResult,
    ScoresTask,
    SupernetTask,
    TaskAnswer,
)
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import ACCURACY, ENERGY, STORAGE, Objective
from hqsearch.problem.pareto import non_dominated
from hqsearch.schemes.choice import Choice, parse_choice

from ._toy_network import (
    INTERACTION,
    LAYERS,
    NEIGHBOURS,
    STEPS,
    ToyLayer,
    added_loss,
    costs_of,
    energy_share,
    error_growth,
    error_of,
    steps_of,
)

Floats = npt.NDArray[np.float64]

_PEAK = 0.95
#: Loss right after quantization, before any training, in losses at the end.
_UNTRAINED = 6.0
#: Decay per schedule of the excess loss: of the least and, added to it, of 8 bits and more.
_DECAY = {"power-of-two": (3.0, 3.0)}
_OTHER_DECAY = (1.5, 4.5)
#: Name of a checkpoint's file in its folder.
_CHECKPOINT = "toy.json"


class ToyOptions(EvaluationOptions):
    """``[evaluation]`` of the toy."""

    seconds: Annotated[float, Field(ge=0.0, le=3600.0)] = 0.0
    """Time that an epoch pretends to need."""
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Length of the learning curve; only its end with 1."""
    noise: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Standard deviation of a measured accuracy, as a fraction."""


class Toy(Evaluator):
    """The closed-form evaluator; see the module's docstring."""

    objectives: ClassVar[tuple[Objective, ...]] = (ACCURACY, ENERGY, STORAGE)
    metrics: ClassVar[tuple[str, ...]] = ("energy", "storage", "average_bits")
    dimension_kinds: ClassVar[frozenset[str]] = frozenset({"weights", "structure"})
    structure: ClassVar[Mapping[str, Any]] = {"timesteps": Annotated[int, Field(ge=1, le=STEPS)]}
    costly: ClassVar[bool] = False
    can_confirm: ClassVar[bool] = True
    can_widen: ClassVar[bool] = True
    strategy_tasks: ClassVar[frozenset[str]] = frozenset({"scores", "supernet", "parent"})
    Options: ClassVar[type[EvaluationOptions]] = ToyOptions

    def layers(self) -> Sequence[ToyLayer]:
        return LAYERS

    @property
    def full_budget(self) -> int:
        return int(self.options.epochs)

    @cached_property
    def _tables(self) -> list[tuple[Floats, Floats, Floats]]:
        """Per weight dimension: cost [values, 3], and error per layer [values, layers in it]."""
        tables = []
        by_path = {layer.path: layer for layer in LAYERS}
        for dimension in (self.space.dimensions[place] for place in self.space.weighted):
            members = [by_path[p] for p in dimension.layers]
            cost = np.array(
                [np.sum([costs_of(m, v) for m in members], axis=0) for v in dimension.values]
            )
            error = np.array([[error_of(m, v) for m in members] for v in dimension.values])
            columns = np.array([LAYERS.index(m) for m in members])
            tables.append((cost, error, columns.astype(np.float64)))
        return tables

    def cheap(self, candidates: Sequence[Candidate]) -> Floats:
        return self.cheap_codes(self.space.encode(candidates))

    def cheap_codes(self, codes: npt.NDArray[np.int64]) -> Floats:
        """Cheap metrics ``[n, 3]`` of value indices ``[n, n_dimensions]``."""
        by_path = {layer.path: layer for layer in LAYERS}
        total = np.zeros((len(codes), 3))
        for path, choice in self.space.pinned:
            total += costs_of(by_path[path], choice)
        for column, (cost, _, _) in zip(self.space.weighted, self._tables, strict=True):
            total += cost[codes[:, column]]
        total[:, 0] *= energy_share(self.timesteps(codes))
        return total

    def timesteps(self, codes: npt.NDArray[np.int64]) -> Floats:
        """Of value indices ``[n, n_dimensions]``, ``[n]``: 4 where the space leaves them alone."""
        for place in self.space.structural:
            return np.array(self.space.dimensions[place].settings, np.float64)[codes[:, place]]
        return np.full(len(codes), float(STEPS))

    def accuracy_codes(self, codes: npt.NDArray[np.int64]) -> Floats:
        """Accuracy ``[n]`` (fraction), fully trained, of value indices ``[n, n_dimensions]``."""
        return np.asarray(_PEAK * np.exp(-self._losses(codes)))

    def _losses(self, codes: npt.NDArray[np.int64]) -> Floats:
        errors = np.zeros((len(codes), len(LAYERS)))
        for index, layer in enumerate(LAYERS):
            for path, choice in self.space.pinned:
                if path == layer.path:
                    errors[:, index] = error_of(layer, choice)
        for column, (_, error, members) in zip(self.space.weighted, self._tables, strict=True):
            errors[:, members.astype(int)] = error[codes[:, column]]
        loss = errors.sum(axis=1)
        for left, right in NEIGHBOURS:
            loss += INTERACTION * np.sqrt(errors[:, left] * errors[:, right])
        steps = self.timesteps(codes)
        return np.asarray(loss * error_growth(steps) + added_loss(steps))

    def reference(self) -> Mapping[str, float]:
        cost = np.sum([costs_of(layer, "fp32") for layer in LAYERS], axis=0)
        cost[0] *= energy_share(steps_of(self.space, next(iter(self.space.parts))))
        return dict(zip(self.metrics, cost.tolist(), strict=True))

    def strategy_task(
        self, task: EvaluatorTask, seed: int, folder: Path
    ) -> TaskAnswer | Mapping[str, Any]:
        """A supernet's training on the relaxation: a second or two; scores: the exact errors."""
        part = task.structure if isinstance(task, ScoresTask | SupernetTask) else ""
        if isinstance(task, ScoresTask):
            growth = error_growth(steps_of(self.space, part))
            dimensions = [self.space.dimensions[place] for place in self.space.weighted]
            scores = {
                d.name: dict(zip(d.values, (error.sum(axis=1) * growth).tolist(), strict=True))
                for d, (_, error, _) in zip(dimensions, self._tables, strict=True)
            }
            return ScoresResult(scores=scores, samples=0)
        if isinstance(task, ParentTask):
            return ParentResult()  # what it does is drawn from its seed
        if not isinstance(task, SupernetTask):
            return super().strategy_task(task, seed, folder)
        # torch is imported for this task alone.
        from hqsearch.supernet.train import run_supernet

        from ._toy_relaxation import ToyRelaxation

        return run_supernet(ToyRelaxation(self, part), task, seed, folder, self)

    def evaluate(
        self,
        candidate: Candidate,
        seed: int,
        budget: int | None = None,
        resume_from: Path | None = None,
        checkpoint: Path | None = None,
    ) -> Evaluation:
        """Closed form; what is resumed is the time that the epochs before have taken."""
        options, epoch = self.options, self.options.epochs if budget is None else budget
        done = _epochs_done(resume_from, candidate, seed)
        time.sleep(options.seconds * max(epoch - done, 0))
        if checkpoint is not None:
            write_atomically(
                checkpoint / _CHECKPOINT,
                json.dumps({"key": candidate.key, "seed": seed, "epoch": epoch}),
            )
        codes = self.space.encode([candidate])
        energy, storage, bits = self.cheap_codes(codes)[0].tolist()
        assignment = self.space.assignment(candidate)
        share = float(energy_share(self.timesteps(codes))[0])
        rows: list[dict[str, Any]] = []
        for layer in LAYERS:
            cost = costs_of(layer, assignment[layer.path])
            rows.append(
                {
                    "layer": layer.path,
                    "choice": assignment[layer.path],
                    "weights": layer.weights,
                    "bits": parse_choice(assignment[layer.path]).bits,
                    "energy": float(cost[0]) * share,
                    "storage": float(cost[1]),
                }
            )
        return Evaluation(
            {
                "accuracy": self._measured_accuracy(candidate, seed, epoch),
                "energy": energy,
                "storage": storage,
            },
            {"average_bits": bits, "accuracy_se": options.noise, "layers": rows},
        )

    def confirm(self, candidate: Candidate, seed: int, epochs: int | None = None) -> Evaluation:
        """A longer learning curve ends at the same closed form; the noise is that of the seed."""
        return self.evaluate(candidate, seed)

    def confirm_from(
        self, candidate: Candidate, seed: int, epochs: int | None, parent: FreshParent
    ) -> Evaluation:
        """Three noises: of parent and training together, of the parent, and of what this
        candidate makes of that parent, half as large."""
        drawn = _generator(f"{seed} from {parent.seed}")
        done = self.evaluate(candidate, int(drawn.integers(2**31)))
        noise = self.options.noise
        common = _generator(f"parent {parent.seed}").standard_normal()
        own = _generator(f"{candidate.key} parent {parent.seed}").standard_normal()
        accuracy = done.values["accuracy"] + noise * float(common + own / 2)
        done.values["accuracy"] = min(max(accuracy, 0.0), 1.0)
        return done

    def require_fresh_parents(self, divisions: int = 1) -> None:
        if divisions > 1:
            raise InputError("evaluator 'toy' has no recordings that could be divided anew")

    def _measured_accuracy(self, candidate: Candidate, seed: int, epoch: int) -> float:
        """After ``epoch`` epochs; noise is drawn from candidate, seed and epoch."""
        kinds = [parse_choice(c) for c in self.space.assignment(candidate).values()]
        decay = float(np.mean([_decay(kind) for kind in kinds]))
        end = math.exp(-decay)
        excess = (math.exp(-decay * (epoch / self.options.epochs)) - end) / (1.0 - end)
        loss = self._losses(self.space.encode([candidate])) * (1.0 + (_UNTRAINED - 1.0) * excess)
        accuracy = float(_PEAK * np.exp(-loss)[0])
        if self.options.noise:
            generator = _generator(f"{candidate.key} {seed} {epoch}")
            accuracy += self.options.noise * float(generator.standard_normal())
        return min(max(accuracy, 0.0), 1.0)


def _generator(text: str) -> np.random.Generator:
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def _decay(choice: Choice) -> float:
    """How fast the excess loss decays, per schedule."""
    least, added = _DECAY.get(choice.scheme.name, _OTHER_DECAY)
    return least + added * min(choice.bits, 8) / 8


def _epochs_done(folder: Path | None, candidate: Candidate, seed: int) -> int:
    """Epochs of this very evaluation that a checkpoint holds; 0 where there is none."""
    if folder is None or not (folder / _CHECKPOINT).is_file():
        return 0
    left = json.loads((folder / _CHECKPOINT).read_text())
    same = (left["key"], left["seed"]) == (candidate.key, seed)
    return int(left["epoch"]) if same else 0


def true_front(evaluator: Toy) -> Floats:
    """Costs ``[n, 3]`` (accuracy negated) of the exact front, by enumeration."""
    space = evaluator.space
    grids = np.indices(tuple(space.cardinalities)).reshape(len(space.dimensions), -1).T
    costs = np.column_stack([-evaluator.accuracy_codes(grids), evaluator.cheap_codes(grids)[:, :2]])
    return np.asarray(costs[non_dominated(costs)])
