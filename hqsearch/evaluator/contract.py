"""The evaluator contract: what turns candidates into objective values.

An evaluator has *cheap* metrics, computed for many candidates at once from a cost model,
and *measured* values, which need a training run on a worker. Users plug in their own with
``evaluator = "path/to/file.py:Class"``; :mod:`hqsearch.testing` checks the contract.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from hqsearch.definition import (
    EvaluationOptions,
    SpaceDefinition,
    StudyDefinition,
    load_space,
    validate,
)
from hqsearch.errors import InputError
from hqsearch.evaluator.ahead import Ahead
from hqsearch.evaluator.details import Details
from hqsearch.evaluator.dimension_check import require_few_parts, require_honoured
from hqsearch.evaluator.given import GivenObjects
from hqsearch.evaluator.inspection import Inspection
from hqsearch.evaluator.outlook import Outlook
from hqsearch.evaluator.parent_quality import ParentQuality
from hqsearch.evaluator.tasks import EvaluatorTask, FreshParent, TaskAnswer
from hqsearch.plugins import file_identity
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import Objective
from hqsearch.problem.overflow import Overflow
from hqsearch.problem.space import LayerSize, Space, derive_space

if TYPE_CHECKING:
    from hqsearch.data.samples import Progress


@dataclass(frozen=True, slots=True)
class Resources:
    """What a task needs: CPUs (threads), GPUs (may be a fraction), memory in GiB."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory_gib: float | None = None


@dataclass(frozen=True)
class Setup:
    """What an evaluator is made from, on the driver and again on every worker.

    Attributes:
        definition: the validated study.
        folder: where the study's artifacts are (data caches, parents, cost tables).
        device: ``"cpu"`` or ``"cuda"``.
        objects: what the study was made from in Python, and is in no file.
    """

    definition: StudyDefinition
    folder: Path
    device: str = "cpu"
    objects: GivenObjects = field(default_factory=GivenObjects)


@dataclass
class Evaluation:
    """What one evaluation measured.

    Attributes:
        values: objective name → value, in the objective's unit. NaN means failure.
        details: facts: standard error, sample counts, rates, per-layer rows … A plain dictionary
            may have the keys of :class:`Details` and any others, with JSON values or numpy's.
            ``accuracy_se`` and ``correct`` are used for paired comparisons where they are
            present, ``layers`` by ``show``.
    """

    values: dict[str, float]
    details: Details | Mapping[str, Any] = field(default_factory=Details)


@dataclass(frozen=True)
class PrepareContext:
    """What :meth:`Evaluator.prepare` may use.

    Attributes:
        progress: shows how far a step is.
        tell: says a line to the user.
        workers: cores of this machine.
        run_task: runs :meth:`Evaluator.prepare_task` with a payload on a worker that has the
            resources, and calls the last argument every second meanwhile.
        run_at_once: the same with several payloads, on as many workers as there are; None where
            one has to follow the other.
        accept: takes those identities of :meth:`Evaluator.prepare` that are known before anything
            is trained, and raises where the study was made of something else.
    """

    progress: Progress
    tell: Callable[[str], None]
    workers: int
    run_task: Callable[[dict[str, Any], Resources, Callable[[], None]], dict[str, Any]]
    run_at_once: (
        Callable[[Sequence[dict[str, Any]], Resources, Callable[[], None]], list[dict[str, Any]]]
        | None
    ) = None
    accept: Callable[[dict[str, str]], None] = lambda _: None

    def run_tasks(
        self, payloads: Sequence[dict[str, Any]], resources: Resources, poll: Callable[[], None]
    ) -> list[dict[str, Any]]:
        """:meth:`Evaluator.prepare_task` of each payload; at once where that is possible."""
        if self.run_at_once is not None and len(payloads) > 1:
            return self.run_at_once(payloads, resources, poll)
        return [self.run_task(payload, resources, poll) for payload in payloads]


class Evaluator(ABC):
    """Turns candidates into objective values.

    Guarantees that an implementation gives:

    * construction is cheap and touches nothing on disk;
    * ``check`` finds bad input before anything is created;
    * ``prepare`` is idempotent, cached under ``setup.folder`` and resumable;
    * ``evaluate`` is deterministic for its arguments on one machine with one thread count;
      the schedule is that of the full budget, so stopping at budget r and going on from its
      checkpoint gives, bit for bit, what the uninterrupted run has;
    * a failure is an exception or a NaN, never a made-up number.
    """

    #: Objectives on offer; a study selects at least two of them.
    objectives: ClassVar[tuple[Objective, ...]]
    #: Columns of :meth:`cheap`; holds every cheap objective, and ``average_bits`` if there is one.
    metrics: ClassVar[tuple[str, ...]]
    #: Kinds of dimension that it honours; a space with another kind is refused.
    dimension_kinds: ClassVar[frozenset[str]] = frozenset({"weights"})
    #: Structural settings that it honours: name → type, as pydantic understands types
    #: (``Annotated[int, Field(ge=1)]``, ``Literal["lif", "if"]``). What a candidate has is
    #: ``space.structure(candidate)``, name → typed value. Needs the kind ``structure``.
    structure: ClassVar[Mapping[str, Any]] = {}
    #: Whether an evaluation is worth a worker process.
    costly: ClassVar[bool] = True
    #: What its trainings, quantizers and costs mean, as a number; part of a study's fingerprint.
    #: Raised whenever any of them changes its meaning, so that old and new results never mix.
    recipe: ClassVar[int] = 1
    #: Kinds of tasks that it does (:meth:`strategy_task`): for strategies ``supernet``, say; for
    #: ``hqsearch train`` ``final``, which needs :meth:`trained`, too; for ``hqsearch confirm
    #: --parents`` ``parent``, which needs :meth:`confirm_from`.
    strategy_tasks: ClassVar[frozenset[str]] = frozenset()
    #: Whether it can retrain with a fresh seed and measure on the test split (:meth:`confirm`).
    can_confirm: ClassVar[bool] = False
    #: Whether it also takes choices that its space does not offer (:meth:`holding`): controls.
    can_widen: ClassVar[bool] = False
    #: Whether it can write the weights of an evaluation to a file (:meth:`evaluate_keeping`).
    keeps_weights: ClassVar[bool] = False
    #: The ``[evaluation]`` table.
    Options: ClassVar[type[EvaluationOptions]] = EvaluationOptions

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        where = f"study {setup.definition.name!r} [evaluation]"
        self.options: Any = validate(self.Options, setup.definition.evaluation, where)

    @abstractmethod
    def layers(self) -> Sequence[LayerSize]:
        """Every weight layer of the network, in order."""

    @cached_property
    def space(self) -> Space:
        """The study's space, derived from :meth:`layers`.

        Raises:
            DefinitionError: it cannot be derived, has a dimension that this evaluator does not
                honour, or has more structural parts than the study allows.
        """
        definition = self.setup.definition
        space = derive_space(self.space_definition, self.layers())
        require_honoured(space, definition.evaluator, self.dimension_kinds, self.structure)
        named = definition.space if isinstance(definition.space, str) else definition.name
        require_few_parts(space, definition.max_structures, named)
        return space

    @cached_property
    def space_definition(self) -> SpaceDefinition:
        return load_space(self.setup.definition.space, self.setup.definition)

    def holding(self, candidates: Sequence[Candidate]) -> Evaluator:
        """This evaluator, on a space that holds these candidates; what is prepared is shared.

        Raises:
            InputError: it does not take choices beyond its space.
        """
        if all(self.space.holds(candidate) for candidate in candidates):
            return self
        if not self.can_widen:
            name = type(self).__name__
            raise InputError(f"{name} takes no choices that its space does not offer")
        wider = copy.copy(self)
        for kind in type(self).__mro__:
            for name, value in vars(kind).items():
                if isinstance(value, cached_property):
                    vars(wider).pop(name, None)
        vars(wider)["space"] = self.space.widened(candidates)
        return wider

    @property
    def full_budget(self) -> int:
        """The budget (epochs, say) of a whole evaluation; 1 where there is nothing to divide."""
        return 1

    def check(self) -> None:  # noqa: B027 - a hook, empty where there is nothing to check
        """Find bad input (data, devices, plugins) before anything is created."""

    def inspect(self, *, deep: bool) -> Inspection:
        """Try what a run will do on a handful of samples, in seconds; nothing is made on disk.

        After :meth:`check`. Never raises for what it finds wrong: all of it is in the answer.

        Args:
            deep: everything that a dry run tells; else what can be wrong, and no more.
        """
        return Inspection()

    def notes(self) -> list[str]:
        """Lines that every run says first and every report repeats."""
        return []

    def assumptions(self) -> list[str]:
        """What layers and costs rest on and could not be looked up, for reports of costs."""
        return []

    def outlook(self) -> Outlook:
        """What is still to be prepared, and what a run will cost; told before it starts.

        After :meth:`check`, and quick. What is not known stays None and is said to be unknown.
        """
        return Outlook()

    def ahead(self) -> Ahead | None:
        """Cheap metrics that need no preparation; None where there are none.

        After :meth:`check`. Limits that nobody meets are refused by them before anything is made.
        """
        return None

    def prepare(self, context: PrepareContext) -> dict[str, str]:
        """Make data, parent and cost tables; returns fingerprints of what was made."""
        return {}

    def parent_quality(self) -> ParentQuality | None:
        """How good the parent is that candidates start from, after :meth:`prepare`.

        No verdict is given on a study whose parent is not above chance. With structural parts: of
        the first one. None where there is no parent, or it is not known.
        """
        return None

    def prepare_task(self, payload: dict[str, Any]) -> dict[str, Any]:
        """One dear step of :meth:`prepare`, run on a worker by ``context.run_task``."""
        raise ValueError(f"{type(self).__name__} has no preparation task {payload!r}")

    def preparation_seconds(self, structure: str) -> float:
        """Worker seconds that preparing one structural part took, of one after the first.

        ``compare`` charges them to a run that evaluates candidates of that part; what the first
        part took every run shares. After :meth:`prepare`; 0 where it is not known.

        Args:
            structure: key of the structural part.
        """
        return 0.0

    @abstractmethod
    def cheap(self, candidates: Sequence[Candidate]) -> npt.NDArray[np.float64]:
        """Cheap metrics ``[n_candidates, len(metrics)]``, before any training."""

    def overflows(self) -> Mapping[str, Overflow]:
        """What cheap metrics gain for what does not fit into a memory, by structural part.

        Where :meth:`cheap` is a sum over dimensions but for this, say so, and searches go on
        exactly. Parts of which every candidate fits, or none does, need none. Available when
        :meth:`cheap` is.
        """
        return {}

    @abstractmethod
    def reference(self) -> Mapping[str, float]:
        """The cheap metrics of the network with every layer in fp32.

        With structural dimensions: of the first structural part, that of the first values. It is
        what a limit ``<= 0.5 fp32`` is relative to, whatever the structure of a candidate.
        """

    @abstractmethod
    def evaluate(
        self,
        candidate: Candidate,
        seed: int,
        budget: int | None = None,
        resume_from: Path | None = None,
        checkpoint: Path | None = None,
    ) -> Evaluation:
        """Measure a candidate, on a worker.

        Args:
            candidate: of this evaluator's space.
            seed: of everything random in it.
            budget: how much of :attr:`full_budget` to spend; all of it by default.
            resume_from: a checkpoint that an evaluation with a smaller budget left; a folder
                without a finished one means the start.
            checkpoint: folder to leave a checkpoint in.
        """

    def evaluate_keeping(self, candidate: Candidate, seed: int, file: Path) -> Evaluation:
        """The same as :meth:`evaluate` does, and its weights in a file; where ``keeps_weights``.

        Args:
            candidate: of this evaluator's space.
            seed: of everything random in it.
            file: safetensors to write: ``before/<layer>``, the parent's weights, and
                ``after/<layer>``, those that the evaluated network reads, of every weight layer.
        """
        raise ValueError(f"{type(self).__name__} keeps no weights")

    def confirm(self, candidate: Candidate, seed: int, epochs: int | None = None) -> Evaluation:
        """Retrain a candidate with a fresh seed and measure it on the test split, on a worker.

        Only a confirmation asks for this; no search sees what comes of it. Deterministic for
        its arguments, like :meth:`evaluate`. ``correct`` and ``test_samples`` in the details
        allow comparisons that are paired over the samples.

        Args:
            candidate: of this evaluator's space.
            seed: of everything random in it.
            epochs: length of the schedule; that of a whole evaluation by default.
        """
        raise ValueError(f"{type(self).__name__} cannot confirm")

    def require_confirmable(self, epochs: int | None = None) -> None:  # noqa: B027 - a hook
        """Refuse a confirmation that this study's own settings make impossible.

        Args:
            epochs: as for :meth:`confirm`.

        Raises:
            DefinitionError: they do; it says why.
        """

    def confirm_from(
        self, candidate: Candidate, seed: int, epochs: int | None, parent: FreshParent
    ) -> Evaluation:
        """The same as :meth:`confirm` does, from a parent that a task ``parent`` has trained.

        Of another division than the study's own, training and test recordings are those of that
        division, and no other: what is measured on has trained neither parent nor candidate.
        """
        raise ValueError(f"{type(self).__name__} trains no parent anew")

    def require_fresh_parents(self, divisions: int = 1) -> None:
        """Refuse a confirmation from parents of its own, where there can be none.

        Before anything is created.

        Args:
            divisions: of the recordings into train and test that are asked for, the study's own
                among them.

        Raises:
            InputError: saying why.
        """
        name = self.setup.definition.evaluator
        raise InputError(
            f"evaluator {name!r} has no parent that could be trained anew: a confirmation starts "
            "from what the search started from"
        )

    def strategy_task(
        self, task: EvaluatorTask, seed: int, folder: Path
    ) -> TaskAnswer | Mapping[str, Any]:
        """Do a strategy's own task, on a worker; deterministic for its arguments.

        Args:
            task: of one of the kinds in :attr:`strategy_tasks`. With structural dimensions its
                ``structure`` is the key of the part that it is about (``space.parts[key]``).
            seed: of everything random in it.
            folder: for checkpoints and artifacts: the same one when it is retried or resumed,
                and kept with the study. ``progress.json`` in it, ``{"done": 3, "total": 15}``
                and replaced whole, is what the live display shows.

        Returns:
            A small answer, or its fields as a dictionary; larger artifacts stay in ``folder``,
            and the answer names them with their SHA-256.
        """
        raise ValueError(f"{type(self).__name__} does no task {task.kind!r}")

    def trained(self, candidate: Candidate, weights: Path) -> tuple[Any, Any]:
        """What a final training left, from the file of its weights.

        Returns:
            The network, a torch module with its quantizers, on the CPU in evaluation mode; and its
            :class:`hqsearch.hardware.Workload`.
        """
        raise ValueError(f"{type(self).__name__} trains nothing to keep")

    def task_resources(self, kind: str) -> Resources:
        """What one task of a strategy needs."""
        return self.resources()

    def resources(self) -> Resources:
        """What one evaluation needs."""
        options = self.options
        # On a GPU an evaluation takes a whole one, unless the study says how much of it.
        gpus = options.gpus or (1.0 if self.setup.device == "cuda" else 0.0)
        return Resources(float(options.threads), gpus, options.memory_gib)

    def preparation_resources(self) -> list[Resources]:
        """What the tasks of :meth:`prepare` need."""
        return []

    def fingerprint(self) -> dict[str, Any]:
        """What must not differ between runs of one study, as JSON-able tables.

        The :attr:`recipe` and the objectives are added to it.
        """
        definition = self.setup.definition
        settings = self.options.model_dump(mode="json", exclude=set(self.options.FREE))
        schemes = [file_identity(s, definition.folder) for s in self.space_definition.schemes]
        return {
            "evaluator": file_identity(definition.evaluator, definition.folder),
            "space": {
                **{
                    d.name: [d.kind, list(d.settings or d.values), list(d.layers)]
                    for d in self.space.dimensions
                },
                **{path: ["pinned", choice] for path, choice in self.space.pinned},
            },
            "evaluation": settings,
            "device": self.setup.device,
            **({"schemes": schemes} if schemes else {}),
        }
