"""``short-qat``: short quantization-aware training from a trained parent.

A candidate is the parent with fake quantizers, trained a few epochs more; its accuracy is
measured on the validation split, its energy at the firing rates of the quantized network. What
is done is in :mod:`hqsearch.qat`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from hqsearch.data import SIMULATED_NOTE
from hqsearch.definition import EvaluationOptions, validate
from hqsearch.definition.data import SIMULATED
from hqsearch.evaluator import (
    Evaluation,
    Evaluator,
    EvaluatorTask,
    FinalTask,
    Outlook,
    PrepareContext,
    Resources,
    ScoresTask,
    Setup,
    SupernetResult,
    SupernetTask,
    TaskAnswer,
)
from hqsearch.hardware import Profile, Workload
from hqsearch.models import WeightLayer
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import ACCURACY, ENERGY, STORAGE, Objective
from hqsearch.qat.costs import METRICS, cheap_metrics, fp32_metrics
from hqsearch.qat.final import final_task, trained, workload_of
from hqsearch.qat.network import trace_untrained
from hqsearch.qat.options import QatOptions
from hqsearch.qat.outlook import outlook_of
from hqsearch.qat.parent import prepare_part, train_parent
from hqsearch.qat.rates import spread_evenly
from hqsearch.qat.relaxation import Batching, relaxation_of
from hqsearch.qat.scores import score_part
from hqsearch.qat.short_training import ShortTraining, measure
from hqsearch.qat.structural_part import Part, structural_settings
from hqsearch.qat.study import QatStudy
from hqsearch.supernet.options import SupernetOptions
from hqsearch.supernet.train import run_supernet
from hqsearch.training import Segment


class ShortQat(Evaluator):
    """Parent + fake quantizers + a few epochs; see the module's docstring."""

    objectives: ClassVar[tuple[Objective, ...]] = (ACCURACY, ENERGY, STORAGE)
    metrics: ClassVar[tuple[str, ...]] = METRICS
    costly: ClassVar[bool] = True
    #: 2: operations are counted exactly, and parameters that nothing reads are not stored.
    #: 3: stored tensors take whole bytes, and shifts of thresholds and biases are counted.
    recipe: ClassVar[int] = 3
    can_confirm: ClassVar[bool] = True
    strategy_tasks: ClassVar[frozenset[str]] = frozenset({"scores", "supernet", "final"})
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
        #: The network as ``[model]`` says it, which the space is derived from.
        self._defined = Part(self._study)

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
        self._defined.check_data()
        _ = self._study.profile
        _ = self._traced  # a network that does not run is found before anything is trained

    def notes(self) -> list[str]:
        return [SIMULATED_NOTE] if self._defined.data.dataset == SIMULATED else []

    def fingerprint(self) -> dict[str, Any]:
        study = self._study
        return {
            **super().fingerprint(),
            "data": study.data_identity(),
            "model": study.model_identity(self._defined.model),
            "hardware": study.profile.contents(),
        }

    def outlook(self) -> Outlook:
        return outlook_of(self.parts.values(), self._traced)

    def prepare(self, context: PrepareContext) -> dict[str, str]:
        """Frames, then the parent, of every structural part."""
        resources = self.preparation_resources()[0]
        made = {key: prepare_part(part, context, resources) for key, part in self.parts.items()}
        return {
            f"{name} {key}" if key else name: text
            for key, named in made.items()
            for name, text in named.items()
        }

    def preparation_resources(self) -> list[Resources]:
        return [replace(self.resources(), cpus=float(self.options.parent_threads))]

    def prepare_task(self, payload: dict[str, Any]) -> dict[str, Any]:
        train_parent(self.parts[payload["parent"]])
        return {}

    def workload(self) -> Workload | None:
        """The prepared parent's, with its firing rates; None before :meth:`prepare`."""
        return self._first.workload()

    def trace(self, unknown: Literal["refuse", "real"] = "refuse") -> Workload:
        """What the untrained network does, without firing rates."""
        return trace_untrained(self._defined, unknown)

    @cached_property
    def _traced(self) -> Workload:
        return self.trace()

    def cheap(self, candidates: Sequence[Candidate]) -> npt.NDArray[np.float64]:
        return cheap_metrics(self.parts, self.space, candidates)

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

    def confirm(self, candidate: Candidate, seed: int, epochs: int | None = None) -> Evaluation:
        """The same parent and schedule, other batches and shifts; measured on the test split."""
        length = self.options.epochs if epochs is None else epochs
        training = ShortTraining(seed, length, "test")
        return measure(self._part(candidate), self.space, candidate, training)

    def _part(self, candidate: Candidate) -> Part:
        return self.parts[self.space.structural_key(candidate)]

    def strategy_task(
        self, task: EvaluatorTask, seed: int, folder: Path
    ) -> TaskAnswer | Mapping[str, Any]:
        if isinstance(task, SupernetTask):
            return self._train_supernet(task, seed, folder)
        if isinstance(task, ScoresTask):
            return score_part(self._first, self.space, seed)
        if isinstance(task, FinalTask):
            part = self._part(Candidate.from_key(task.key))
            return final_task(part, self.space, task, seed, folder)
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
        batching = Batching(given.held_out, batch_size, self.options.shift, seed)
        relaxation = relaxation_of(self._first, self.space, batching)
        return run_supernet(relaxation, task, seed, folder, self)
