"""What strategies ask of evaluators besides evaluations, and the answers.

A task is logged as its ``kind`` and a JSON payload before it starts; its answer is logged as one
flat object. Kinds that the product does not have are a user's own: :class:`OtherTask`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from hqsearch.evaluator.details import LayerRow
from hqsearch.evaluator.json_record import (
    FlatRecord,
    Reader,
    WrongType,
    integer,
    number,
    numbers,
    plain,
    rows_of,
    table,
    tables_of_numbers,
    text,
    texts,
)

SCORES = "scores"
SUPERNET = "supernet"
FINAL = "final"
PARENT = "parent"


class EvaluatorTask(ABC):
    """A task that a strategy asks an evaluator to do."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """One of the evaluator's ``strategy_tasks``."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """The payload, as it is logged."""


@dataclass(frozen=True)
class ScoresTask(EvaluatorTask):
    """By how much every choice of every dimension alone raises the loss, without training.

    Attributes:
        structure: key of the structural part whose parent is scored; the only one by default.
    """

    structure: str = ""

    @property
    def kind(self) -> str:
        return SCORES

    def to_json(self) -> dict[str, Any]:
        return {"structure": self.structure} if self.structure else {}

    @classmethod
    def from_json(cls, payload: Mapping[str, Any]) -> ScoresTask:
        return cls(payload.get("structure", ""))


@dataclass(frozen=True)
class SupernetTask(EvaluatorTask):
    """One training of a supernet, and the candidates that are derived from it.

    Attributes:
        target: metric → fraction of fp32 that the cost stays under; or
        beta: metric → fixed weight of its cost.
        budgets: metric → the study's own limit, in the metric's unit.
        structure: key of the structural part that is searched; the only one by default.
        training: how it is trained: the fields of
            :class:`hqsearch.supernet.options.TrainingOptions`, which checks them.
    """

    target: Mapping[str, float] = field(default_factory=dict)
    beta: Mapping[str, float] = field(default_factory=dict)
    budgets: Mapping[str, float] = field(default_factory=dict)
    structure: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return SUPERNET

    def to_json(self) -> dict[str, Any]:
        named = {
            "budgets": dict(self.budgets),
            "target": dict(self.target),
            "beta": dict(self.beta),
            "structure": self.structure,
        }
        given = {k: v for k, v in named.items() if v or k == "budgets"}
        return {**self.training, **given}

    @classmethod
    def from_json(cls, payload: Mapping[str, Any]) -> SupernetTask:
        named = {k: payload[k] for k in ("target", "beta", "budgets", "structure") if k in payload}
        return cls(**named, training={k: v for k, v in payload.items() if k not in named})


@dataclass(frozen=True)
class FinalTask(EvaluatorTask):
    """The final training of a candidate with one seed, or the measurement of its outcome.

    Attributes:
        key: the candidate's.
        epochs: length of the whole schedule.
        merge: learn from the validation split, too.
        stage: ``train`` leaves the weights in the task's folder and measures on validation, where
            that was not learned from; ``measure``, in the same folder, measures on test.
    """

    key: str
    epochs: int
    merge: bool = False
    stage: Literal["train", "measure"] = "train"

    @property
    def kind(self) -> str:
        return FINAL

    def to_json(self) -> dict[str, Any]:
        return {
            "key": self.key, "epochs": self.epochs, "merge": self.merge, "stage": self.stage
        }  # fmt: skip


@dataclass(frozen=True, order=True)
class FreshParent:
    """A parent that a confirmation alone trains and starts from.

    Attributes:
        division: of the recordings into train and test; 0 is the study's own.
        seed: of its weights, of order and augmentation.
    """

    division: int
    seed: int


@dataclass(frozen=True)
class ParentTask(EvaluatorTask):
    """The training of a :class:`FreshParent`; the task's seed is the parent's.

    Attributes:
        structure: key of the structural part whose parent it is; the only one by default.
        division: of the recordings into train and test; 0 is the study's own.
    """

    structure: str = ""
    division: int = 0

    @property
    def kind(self) -> str:
        return PARENT

    def to_json(self) -> dict[str, Any]:
        return {"structure": self.structure, "division": self.division}

    @classmethod
    def from_json(cls, payload: Mapping[str, Any]) -> ParentTask:
        return cls(payload.get("structure", ""), payload.get("division", 0))


@dataclass(frozen=True)
class OtherTask(EvaluatorTask):
    """A task of a user's own strategy for a user's own evaluator; ``payload`` is JSON-able."""

    name: str
    payload: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return self.name

    def to_json(self) -> dict[str, Any]:
        return dict(self.payload)


def task_from_json(kind: str, payload: Mapping[str, Any]) -> EvaluatorTask:
    """A task as it was logged."""
    if kind == SCORES:
        return ScoresTask.from_json(payload)
    if kind == SUPERNET:
        return SupernetTask.from_json(payload)
    if kind == PARENT:
        return ParentTask.from_json(payload)
    return OtherTask(kind, dict(payload))


# Answers


@dataclass(frozen=True, kw_only=True)
class TaskAnswer(FlatRecord):
    """What came of a task; those of a user's own kinds are in ``extra``.

    Attributes:
        training_seconds: of a pass that was looked up and not done.
        cpu_seconds: of the worker, in the attempt that ended.
        earlier: ``seconds`` and ``cpu_seconds`` that attempts before had saved.
    """

    readers: ClassVar[Mapping[str, Reader]] = {
        "training_seconds": number, "cpu_seconds": number, "earlier": numbers,
    }  # fmt: skip

    training_seconds: float | None = None
    cpu_seconds: float | None = None
    earlier: dict[str, float] | None = None


@dataclass(frozen=True, kw_only=True)
class ScoresResult(TaskAnswer):
    """The answer to a :class:`ScoresTask`.

    Attributes:
        scores: dimension → value → loss that it alone adds, in any unit.
        standard_errors: likewise.
        samples: that were looked at; 0 where none are needed.
        loss: of the parent.
    """

    readers: ClassVar[Mapping[str, Reader]] = {
        "scores": tables_of_numbers, "standard_errors": tables_of_numbers, "samples": integer,
        "loss": number, **TaskAnswer.readers,
    }  # fmt: skip

    scores: dict[str, dict[str, float]] | None = None
    standard_errors: dict[str, dict[str, float]] | None = None
    samples: int | None = None
    loss: float | None = None


@dataclass(frozen=True, kw_only=True)
class DerivedCandidate(FlatRecord):
    """A candidate that a supernet holds for likely: its text key, and what it costs by metric."""

    readers: ClassVar[Mapping[str, Reader]] = {
        "key": text, "log_likelihood": number, "costs": numbers,
    }  # fmt: skip

    key: str = ""
    log_likelihood: float | None = None
    costs: dict[str, float] | None = None


@dataclass(frozen=True, kw_only=True)
class SupernetResult(TaskAnswer):
    """The answer to a :class:`SupernetTask`.

    Attributes:
        candidates: most probable first.
        probabilities: dimension → value → p.
        expected: metric → cost as a fraction of fp32 under these probabilities.
        limits: metric → largest cost allowed.
        multipliers: metric → what the controller ended at.
        epochs: that were trained.
        history: ``file`` in the task's folder with the probabilities by epoch, and its ``sha256``.
    """

    readers: ClassVar[Mapping[str, Reader]] = {
        **TaskAnswer.readers, "candidates": rows_of(DerivedCandidate),
        "probabilities": tables_of_numbers, "expected": numbers, "limits": numbers,
        "multipliers": numbers, "epochs": integer, "history": texts,
    }  # fmt: skip

    candidates: tuple[DerivedCandidate, ...] = ()
    probabilities: dict[str, dict[str, float]] | None = None
    expected: dict[str, float] | None = None
    limits: dict[str, float] | None = None
    multipliers: dict[str, float] | None = None
    epochs: int | None = None
    history: dict[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class FinalResult(TaskAnswer):
    """The answer to a :class:`FinalTask`.

    Attributes:
        weights: SHA-256 of the file that ``file`` names, in the task's folder.
        file: the trained network's state.
        accuracy: on the stage's split; None where validation was learned from.
        loss: likewise.
        accuracy_se: its standard error.
        samples: that accuracy rests on.
        correct: which of them were right, as :func:`hqsearch.evaluator.per_sample.pack_correct`;
            None where a sample may be right in part.
        values: objective → value, of a measurement.
        layers: of a measurement, layer by layer.
        average_bits: of a measurement.
        about: of a measurement: how the network is built, its input, its classes, and where its
            data come from.
    """

    readers: ClassVar[Mapping[str, Reader]] = {
        **TaskAnswer.readers, "weights": text, "file": text, "accuracy": number,
        "accuracy_se": number, "loss": number,
        "samples": integer, "correct": text, "values": numbers, "layers": rows_of(LayerRow),
        "average_bits": number, "about": table,
    }  # fmt: skip

    weights: str | None = None
    file: str | None = None
    accuracy: float | None = None
    accuracy_se: float | None = None
    loss: float | None = None
    samples: int | None = None
    correct: str | None = None
    values: dict[str, float] | None = None
    layers: tuple[LayerRow, ...] = ()
    average_bits: float | None = None
    about: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class ParentResult(TaskAnswer):
    """The answer to a :class:`ParentTask`.

    Attributes:
        file: the trained parent's state, below the study's folder; None where there is none.
        weights: its SHA-256.
        accuracy: on validation.
        accuracy_se: its standard error.
        samples: that it rests on.
    """

    readers: ClassVar[Mapping[str, Reader]] = {
        **TaskAnswer.readers, "file": text, "weights": text, "accuracy": number,
        "accuracy_se": number, "samples": integer,
    }  # fmt: skip

    file: str | None = None
    weights: str | None = None
    accuracy: float | None = None
    accuracy_se: float | None = None
    samples: int | None = None


_ANSWERS: Mapping[str, type[TaskAnswer]] = {
    SCORES: ScoresResult, SUPERNET: SupernetResult, FINAL: FinalResult, PARENT: ParentResult,
}  # fmt: skip


def answer_from_json(kind: str, data: Mapping[str, Any], strict: bool = False) -> TaskAnswer:
    """An answer to a task of some kind, as it was logged."""
    return _ANSWERS.get(kind, TaskAnswer).from_json(data, strict)


def checked_answer(kind: str, answer: TaskAnswer | Mapping[str, Any]) -> TaskAnswer:
    """What an evaluator answered, as it may be stored.

    Raises:
        WrongType: naming the key.
    """
    given = answer.to_json() if isinstance(answer, TaskAnswer) else answer
    try:
        return answer_from_json(kind, plain(given), strict=True)
    except WrongType as error:
        raise WrongType(f"the evaluator's answer to {kind!r}: {error}") from None
