"""``short-qat``: short quantization-aware training from a trained parent.

A candidate is the parent with fake quantizers, trained a few epochs more; its accuracy is
measured on the validation split, its energy at the firing rates of the quantized network. What
is done is in :mod:`hqsearch.qat`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import nn

from hqsearch.data import SIMULATED_NOTE
from hqsearch.definition import EvaluationOptions, validate
from hqsearch.definition.data import FRAMES, SIMULATED
from hqsearch.errors import DataError, DefinitionError, UnknownName
from hqsearch.evaluator import (
    Ahead,
    Evaluation,
    Evaluator,
    EvaluatorTask,
    FinalTask,
    FreshParent,
    Inspection,
    Outlook,
    ParentQuality,
    ParentTask,
    PrepareContext,
    Resources,
    ScoresTask,
    Setup,
    SupernetResult,
    SupernetTask,
    TaskAnswer,
)
from hqsearch.evaluator.tasks import PARENT
from hqsearch.hardware import Profile, Workload
from hqsearch.models import WeightLayer
from hqsearch.models.neuron_choice import NeuronName
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import ACCURACY, ENERGY, STORAGE, Objective
from hqsearch.problem.overflow import Overflow
from hqsearch.qat.costs import METRICS, cheap_metrics, fp32_metrics, overflows_of
from hqsearch.qat.costs_ahead import known_ahead
from hqsearch.qat.dry_run import inspect_part
from hqsearch.qat.final import final_task, trained, workload_of
from hqsearch.qat.fresh_parent import FreshPart, require_fresh, train_fresh
from hqsearch.qat.network import trace_untrained
from hqsearch.qat.options import QatOptions
from hqsearch.qat.outlook import outlook_of
from hqsearch.qat.parent import parent_seconds, prepare_parts, quality_of, train_parent
from hqsearch.qat.rates import spread_evenly
from hqsearch.qat.relaxation import Batching, relaxation_of
from hqsearch.qat.scores import score_part
from hqsearch.qat.short_training import ShortTraining, measure
from hqsearch.qat.structural_part import Part, structural_settings
from hqsearch.qat.study import QatStudy
from hqsearch.supernet.options import SupernetOptions
from hqsearch.supernet.train import run_supernet
from hqsearch.training import Segment
from hqsearch.training.distillation import require_alike


class ShortQat(Evaluator):
    """Parent + fake quantizers + a few epochs; see the module's docstring."""

    objectives: ClassVar[tuple[Objective, ...]] = (ACCURACY, ENERGY, STORAGE)
    metrics: ClassVar[tuple[str, ...]] = METRICS
    dimension_kinds: ClassVar[frozenset[str]] = frozenset({"weights", "structure"})
    structure: ClassVar[Mapping[str, Any]] = {
        "timesteps": Annotated[int, Field(ge=1, le=1024)],
        "neuron": NeuronName,
    }
    costly: ClassVar[bool] = True
    #: 2: operations are counted exactly, and parameters that nothing reads are not stored.
    #: 3: stored tensors take whole bytes, and shifts of thresholds and biases are counted; neurons
    #: are known by class or declaration alone, so a user's network may cost otherwise.
    recipe: ClassVar[int] = 3
    can_confirm: ClassVar[bool] = True
    can_widen: ClassVar[bool] = True
    keeps_weights: ClassVar[bool] = True
    strategy_tasks: ClassVar[frozenset[str]] = frozenset({"scores", "supernet", "final", PARENT})
    Options: ClassVar[type[EvaluationOptions]] = QatOptions

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self._study = QatStudy(
            setup.definition,
            setup.folder,
            setup.device,
            self.options,
            self.recipe,
            setup.objects,
        )
        self.options = self._study.options
        if self.options.task is not None:
            # A class attribute of the contract, which here depends on the study.
            self.__dict__["objectives"] = (self._study.measured, ENERGY, STORAGE)
        #: The network as ``[model]`` says it, which the space is derived from.
        self._defined = Part(self._study)
        self._fresh_parts: dict[tuple[str, FreshParent], FreshPart] = {}

    @cached_property
    def parts(self) -> dict[str, Part]:
        """The structural parts of the space, by key, in its order."""
        return {
            key: Part(self._study, key, settings) if settings else self._defined
            for key, settings in structural_settings(self.space).items()
        }

    @property
    def _first(self) -> Part:
        return next(iter(self.parts.values()))

    @property
    def full_budget(self) -> int:
        return max(int(self.options.epochs), 1)

    def layers(self) -> Sequence[WeightLayer]:
        return self._defined.layers

    def check(self) -> None:
        _ = self._study.profile
        given = self._study.data.dataset == FRAMES and not self._study.data.is_still
        for part in self.parts.values():
            if given and part.model.timesteps != self._defined.model.timesteps:
                raise DefinitionError(
                    f"timesteps = {part.model.timesteps} in the space's [[structure]]: the frames "
                    f"that were given have {self._defined.model.timesteps}; events in files can "
                    "be framed for any number of them."
                )
            part.check_data()
        if self.options.mixed_precision != "none" and self._study.device == "cpu":
            raise DefinitionError(
                f"[evaluation] mixed_precision = {self.options.mixed_precision!r} is for CUDA; "
                "this study runs on the CPU: leave it out"
            )
        _ = self._traced  # a network that does not run is found before anything is trained
        if self.options.distillation == "logits" and self.options.task is not None:
            raise DefinitionError(
                "distillation = 'logits' compares class probabilities, and this study has a task "
                "of its own; use distillation = 'fine-grained' or 'none'."
            )
        if self.options.distillation == "fine-grained":
            network = self._defined.build()
            require_alike(network, network)

    def inspect(self, *, deep: bool) -> Inspection:
        """A dry run of the network on a handful of samples; see :mod:`hqsearch.qat.dry_run`."""
        traced = next(iter(self._traced.values()))
        found = inspect_part(self._defined, self.space, traced, deep=deep)
        if deep:
            try:
                found.facts["outlook"] = asdict(self.outlook())
            except DataError as error:  # what else was found is told all the same
                found.problems = list(dict.fromkeys([*found.problems, str(error)]))
        return found

    def notes(self) -> list[str]:
        return [SIMULATED_NOTE] if self._defined.data.dataset == SIMULATED else []

    def assumptions(self) -> list[str]:
        data, classes = self._defined.data, self._defined.classes_beforehand
        if classes is None or self._defined.prepared is not None:
            return []
        return [
            f"there are no data of {data.dataset} at {data.path}: {classes} classes, "
            "as the whole set has, are taken"
        ]

    def fingerprint(self) -> dict[str, Any]:
        study = self._study
        return {
            **super().fingerprint(),
            "evaluation": study.settings(),
            "data": study.data_identity(),
            "model": self._defined.model_identity(),
            "hardware": study.profile.contents(),
        }

    def outlook(self) -> Outlook:
        return outlook_of({part: self._traced[key] for key, part in self.parts.items()})

    def ahead(self) -> Ahead:
        """Storage and average bits, which no firing rate changes."""
        return known_ahead(self._traced, self._study.profile, self.space)

    def prepare(self, context: PrepareContext) -> dict[str, str]:
        """Frames, then the parent, of every structural part."""
        resources = self.preparation_resources()[0]
        made = prepare_parts(list(self.parts.values()), context, resources)
        return {
            f"{name} {key}" if key else name: text
            for key, named in zip(self.parts, made, strict=True)
            for name, text in named.items()
        }

    def parent_quality(self) -> ParentQuality | None:
        # Of another metric nobody knows what chance would come to.
        return quality_of(self._first) if self._study.measured == ACCURACY else None

    def preparation_seconds(self, structure: str) -> float:
        return parent_seconds(self._part_of(structure))

    def preparation_resources(self) -> list[Resources]:
        return [replace(self.resources(), cpus=float(self.options.parent_threads))]

    def task_resources(self, kind: str) -> Resources:
        return self.preparation_resources()[0] if kind == PARENT else self.resources()

    def prepare_task(self, payload: dict[str, Any]) -> dict[str, Any]:
        train_parent(self.parts[payload["parent"]])
        return {}

    def workload(self, structure: str = "") -> Workload | None:
        """The prepared parent's, with its firing rates; None before :meth:`prepare`.

        Args:
            structure: key of its structural part; by default the first one.
        """
        return self._part_of(structure).workload()

    def trace(
        self, unknown: Literal["refuse", "real"] | None = None, structure: str = ""
    ) -> Workload:
        """What the untrained network does, without firing rates; see :meth:`workload`.

        Args:
            unknown: what becomes of unknown operations; as the study says by default.
        """
        part = self._part_of(structure)
        return trace_untrained(part, unknown or part.unknown)

    @cached_property
    def _traced(self) -> dict[str, Workload]:
        """Of every structural part, by key."""
        parts = self.parts.items()
        traced = {key: trace_untrained(part, part.unknown) for key, part in parts}
        defined = {layer.path: layer.weights for layer in self.layers()}
        for key, workload in traced.items():
            found = {p: op.weights for p, op in workload.layers.items() if p in defined}
            if found != defined:
                raise DefinitionError(
                    f"the network of {key or 'the study'} has other weight layers than that of "
                    "[model], so one space cannot hold both."
                )
        return traced

    def cheap(self, candidates: Sequence[Candidate]) -> npt.NDArray[np.float64]:
        return cheap_metrics(self.parts, self.space, candidates)

    def overflows(self) -> Mapping[str, Overflow]:
        return overflows_of(self.parts, self.space)

    def reference(self) -> Mapping[str, float]:
        return fp32_metrics(self._first.costs(self.space))

    def evaluate(
        self,
        candidate: Candidate,
        seed: int,
        budget: int | None = None,
        resume_from: Path | None = None,
        checkpoint: Path | None = None,
    ) -> Evaluation:
        """Parent + quantizers + ``budget`` of the schedule's epochs, measured on validation."""
        segment = Segment(budget, checkpoint, resume_from)
        training = ShortTraining(seed, self.options.epochs, "validation", segment)
        return measure(self._part(candidate), self.space, candidate, training)

    def evaluate_keeping(self, candidate: Candidate, seed: int, file: Path) -> Evaluation:
        training = ShortTraining(seed, self.options.epochs, "validation", keep=file)
        return measure(self._part(candidate), self.space, candidate, training)

    def confirm(self, candidate: Candidate, seed: int, epochs: int | None = None) -> Evaluation:
        """The same parent and schedule, other batches and shifts; measured on the test split."""
        length = self.options.epochs if epochs is None else epochs
        training = ShortTraining(seed, length, "test")
        return measure(self._part(candidate), self.space, candidate, training)

    def confirm_from(
        self, candidate: Candidate, seed: int, epochs: int | None, parent: FreshParent
    ) -> Evaluation:
        length = self.options.epochs if epochs is None else epochs
        part = self._fresh(self._part(candidate), parent)
        return measure(part, self.space, candidate, ShortTraining(seed, length, "test"))

    def require_fresh_parents(self, divisions: int = 1) -> None:
        for part in self.parts.values():
            require_fresh(part, divisions)

    def _fresh(self, part: Part, parent: FreshParent) -> FreshPart:
        """A part with a parent of its own; cost tables are made once for each."""
        known = self._fresh_parts.get((part.key, parent))
        if known is None:
            known = self._fresh_parts[part.key, parent] = FreshPart(part, parent)
        return known

    def _part(self, candidate: Candidate) -> Part:
        return self.parts[self.space.structural_key(candidate)]

    def _part_of(self, structure: str) -> Part:
        """The structural part of a key; the first one for an empty key.

        Raises:
            UnknownName: there is no such part.
        """
        if structure and structure not in self.parts:
            raise UnknownName("structural part", structure, self.parts)
        return self.parts[structure] if structure else self._first

    def strategy_task(
        self, task: EvaluatorTask, seed: int, folder: Path
    ) -> TaskAnswer | Mapping[str, Any]:
        if isinstance(task, SupernetTask):
            return self._train_supernet(task, seed, folder)
        if isinstance(task, ScoresTask):
            part = self._part_of(task.structure)
            return score_part(part, self.space.parts[part.key], seed)
        if isinstance(task, FinalTask):
            part = self._part(Candidate.from_key(task.key))
            return final_task(part, self.space, task, seed, folder)
        if isinstance(task, ParentTask):
            parent = FreshParent(task.division, seed)
            return train_fresh(self._fresh(self._part_of(task.structure), parent), folder)
        return super().strategy_task(task, seed, folder)

    def trained(self, candidate: Candidate, weights: Path) -> tuple[nn.Module, Workload]:
        part = self._part(candidate)
        return trained(part, self.space, candidate, weights), workload_of(part)

    @property
    def profile(self) -> Profile:
        """How the cost model counts."""
        return self._study.profile

    def stored_frames(self, candidate: Candidate, count: int) -> npt.NDArray[np.uint8]:
        """At most ``count`` samples of the validation split as they are stored, [N, T, C, H, W].

        They are spread evenly, as those that firing rates are measured on.
        """
        frames = self._part(candidate).samples("validation").frames
        return np.asarray(frames[spread_evenly(len(frames), count)], np.uint8)

    def _train_supernet(self, task: SupernetTask, seed: int, folder: Path) -> SupernetResult:
        torch.set_num_threads(self.options.threads)
        given = validate(SupernetOptions, task.to_json(), "the supernet's payload")
        batch_size = given.batch_size or self.options.batch_size
        options = self.options
        batching = Batching(
            given.held_out, batch_size, options.shift, seed, options.flip, options.border
        )
        part = self._part_of(task.structure)
        relaxation = relaxation_of(part, self.space.parts[part.key], batching)
        return run_supernet(relaxation, task, seed, folder, self)
