"""``recorded``: answers from a table of real trainings, in microseconds.

Every assignment of a small space was trained once with ``short-qat``, with two seeds
(``tests/benchmarks/record_trainings.py``), so strategies can be raced on real training noise in
seconds and their fronts compared with the true one. There are as many answers to a candidate as
seeds were recorded: an evaluation with seed s gets number s modulo their count.
A table is ``<name>.csv.gz``, a row for every training, and ``<name>.json``, where it comes from.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hqsearch.definition import EvaluationOptions
from hqsearch.errors import DataError
from hqsearch.evaluator import Evaluation, Evaluator, EvaluatorTask, ScoresResult, ScoresTask
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import ACCURACY, ENERGY, STORAGE, Objective
from hqsearch.problem.pareto import non_dominated
from hqsearch.schemes.choice import parse_choice

Floats = npt.NDArray[np.float64]
#: One choice for each group of layers that was trained together.
Key = tuple[str, ...]
METRICS = ("energy", "storage", "average_bits")
SUFFIX = ".csv.gz"


@dataclass(frozen=True, slots=True)
class RecordedLayer:
    path: str
    weights: int


@dataclass(frozen=True)
class Table:
    """Recorded trainings.

    Attributes:
        path: of the ``.csv.gz``.
        groups: layers that were trained with one choice, in the order of a key.
        rows: (key, seed) → the columns of that training.
        origin: where it comes from: study, recipe, versions, machine, dates, commit, parent.
    """

    path: Path
    groups: tuple[tuple[str, ...], ...]
    rows: Mapping[tuple[Key, int], Mapping[str, str]]
    origin: Mapping[str, Any]

    @property
    def recipe(self) -> int:
        """Of the evaluator that made the numbers; tables that say none are of the first one."""
        return int(self.origin.get("recipe", 1))

    @cached_property
    def cheap(self) -> dict[Key, tuple[float, ...]]:
        """Estimated energy (µJ), storage (KiB) and average bits of every key."""
        names = ("energy_estimate", "storage", "average_bits")
        return {key: tuple(float(row[n]) for n in names) for (key, _), row in self.rows.items()}


class RecordedOptions(EvaluationOptions):
    """``[evaluation]`` of recorded trainings."""

    table: str | None = None
    """A table's ``.csv.gz``, relative to the study's file; the one that comes along by default."""


class Recorded(Evaluator):
    """Looks trainings up; see the module's docstring."""

    objectives: ClassVar[tuple[Objective, ...]] = (ACCURACY, ENERGY, STORAGE)
    metrics: ClassVar[tuple[str, ...]] = METRICS
    costly: ClassVar[bool] = False
    strategy_tasks: ClassVar[frozenset[str]] = frozenset({"scores"})
    Options: ClassVar[type[EvaluationOptions]] = RecordedOptions

    @cached_property
    def table(self) -> Table:
        """The study's table.

        Raises:
            DataError: it is missing, or none.
        """
        named = self.options.table
        if named is None:
            return read_table(Path(__file__).with_suffix(SUFFIX))
        return read_table(self.setup.definition.located(named))

    def check(self) -> None:
        self._key(next(iter(self.space.baselines().values())))

    def notes(self) -> list[str]:
        origin = self.table.origin
        first = (
            f"Recorded: {origin['trainings']} trainings done from {origin['from'][:10]} on by "
            f"recipe {self.table.recipe} of short-qat."
        )
        return [first, *origin["notes"]]

    def layers(self) -> Sequence[RecordedLayer]:
        return [RecordedLayer(path, weights) for path, weights in self.table.origin["layers"]]

    def fingerprint(self) -> dict[str, Any]:
        digest = hashlib.sha256(self.table.path.read_bytes()).hexdigest()
        asked = super().fingerprint()
        del asked["evaluation"]["table"]  # what it holds tells it from others, not where it lies
        return {**asked, "table": digest}

    def reference(self) -> Mapping[str, float]:
        return dict(self.table.origin["reference"])

    def cheap(self, candidates: Sequence[Candidate]) -> Floats:
        known = self.table.cheap
        rows = []
        for candidate in candidates:
            key = self._key(candidate)
            if key not in known:
                raise self._missing(candidate)
            rows.append(known[key])
        return np.array(rows, dtype=np.float64).reshape(-1, len(METRICS))

    def evaluate(
        self,
        candidate: Candidate,
        seed: int,
        budget: int | None = None,
        resume_from: Path | None = None,
        checkpoint: Path | None = None,
    ) -> Evaluation:
        """Look a training up; there is nothing to resume.

        Raises:
            DataError: it was not recorded.
        """
        seeds = self.table.origin["seeds"]
        recorded = seeds[seed % len(seeds)]
        row = self.table.rows.get((self._key(candidate), recorded))
        if row is None:
            raise self._missing(candidate, recorded)
        samples = int(self.table.origin["parent"]["validation_samples"])
        accuracy = int(row["right"]) / samples
        weights = dict(self.table.origin["layers"])
        details = {
            "average_bits": float(row["average_bits"]),
            "accuracy_se": max(math.sqrt(accuracy * (1 - accuracy) / samples), 1 / samples),
            "validation_samples": samples,
            "correct": row["correct"],
            "validation_loss": float(row["loss"]),
            "energy_estimate": float(row["energy_estimate"]),
            "recorded_seed": recorded,
            "training_seconds": float(row["seconds"]),
            "layers": [
                {
                    "layer": path,
                    "choice": choice,
                    "weights": weights[path],
                    "bits": parse_choice(choice).bits,
                }
                for path, choice in self._in_order(candidate)
            ],
        }
        values = {
            "accuracy": accuracy,
            "energy": float(row["energy"]),
            "storage": float(row["storage"]),
        }
        return Evaluation(values, details)

    def strategy_task(self, task: EvaluatorTask, seed: int, folder: Path) -> ScoresResult:
        """The scoring pass over the parent, as it was recorded.

        Raises:
            ValueError: another kind of task, or a table without a scoring pass.
        """
        if not isinstance(task, ScoresTask) or "scores" not in self.table.origin:
            raise ValueError(f"{self.table.path.name} holds no result of a task {task.kind!r}")
        return ScoresResult.from_json(self.table.origin["scores"])

    def _in_order(self, candidate: Candidate) -> list[tuple[str, str]]:
        chosen = self.space.assignment(candidate)
        return [(layer.path, chosen[layer.path]) for layer in self.layers()]

    def _key(self, candidate: Candidate) -> Key:
        """What a candidate is called in the table.

        Raises:
            DataError: its space lets layers differ that were trained with one choice.
        """
        chosen = self.space.assignment(candidate)
        for path, choice in self.table.origin["pinned"].items():
            if chosen[path] != choice:
                raise DataError(
                    f"{self.table.path.name} holds trainings with {path} at {choice} only; pin it "
                    f"in the space {self.setup.definition.space!r}"
                )
        key = []
        for group in self.table.groups:
            choices = {chosen[path] for path in group}
            if len(choices) > 1:
                raise DataError(
                    f"{self.table.path.name} holds trainings with one choice for {', '.join(group)}"
                    f"; tie them in the space {self.setup.definition.space!r}"
                )
            key.append(choices.pop())
        return tuple(key)

    def _missing(self, candidate: Candidate, seed: int | None = None) -> DataError:
        of = "" if seed is None else f" with seed {seed}"
        seeds = ", ".join(map(str, self.table.origin["seeds"]))
        return DataError(
            f"{self.table.path.name} holds no training of {candidate}{of}; it holds "
            f"{len(self.table.rows)} trainings, with seeds {seeds}. Record what is missing with "
            "tests/benchmarks/record_trainings.py, or search a space within the table's"
        )


def read_table(path: Path) -> Table:
    """Read ``<name>.csv.gz`` and ``<name>.json``.

    Raises:
        DataError: one of them is missing, or is no such table.
    """
    about = path.with_name(path.name.removesuffix(SUFFIX) + ".json")
    try:
        origin = json.loads(about.read_text())
        groups = {name: tuple(layers) for name, layers in origin["groups"].items()}
        with gzip.open(path, "rt", newline="") as file:
            rows = {
                (tuple(row[name] for name in groups), int(row["seed"])): row
                for row in csv.DictReader(file)
            }
    except FileNotFoundError as error:
        raise DataError(
            f"{error.filename} does not exist; tests/benchmarks/record_trainings.py makes a table"
        ) from None
    except (OSError, EOFError, ValueError, KeyError) as error:
        raise DataError(f"{path} is no table of recorded trainings: {error}") from None
    return Table(path, tuple(groups.values()), rows, origin)


def true_front(table: Table) -> Floats:
    """Costs ``[n, 3]`` (accuracy negated) of the front of the accuracies' means over the seeds."""
    samples = table.origin["parent"]["validation_samples"]
    found: dict[Key, list[tuple[float, float, float]]] = {}
    for (key, _), row in table.rows.items():
        cost = (-int(row["right"]) / samples, float(row["energy"]), float(row["storage"]))
        found.setdefault(key, []).append(cost)
    costs = np.array([np.mean(rows, axis=0) for rows in found.values()])
    return np.asarray(costs[non_dominated(costs)])
