"""What evaluations of a trained network start from: frames, the fp32 parent, cost tables.

The parent is trained once in fp32, resumably, and its workload is traced with its firing
rates. Works on the built-in networks and on a user's own (``[model] path = "file.py:build"``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from hqsearch.analysis.paired import pack_correct
from hqsearch.data import DataSpec, FrameData, check_data, data_classes, open_frames, prepare_data
from hqsearch.data.encoding import get_encoding
from hqsearch.definition import EvaluationOptions
from hqsearch.errors import DefinitionError, HqsearchError, PluginError
from hqsearch.evaluator import Evaluator, PrepareContext, Resources, Setup
from hqsearch.executors.task import write_atomically
from hqsearch.hardware import CostModel, LayerRate, Profile, Workload, load_profile
from hqsearch.hardware.rates import RateMeter
from hqsearch.hardware.trace import trace_workload
from hqsearch.models import WeightLayer, build_model, weight_layers
from hqsearch.plugins import file_identity
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import ACCURACY, ENERGY, STORAGE, Objective
from hqsearch.schemes.choice import FP32
from hqsearch.training.state import CHECKPOINT_INDEX, save_state

if TYPE_CHECKING:
    from hqsearch.training.loop import EvalResult

#: Validation samples that firing rates are measured on, spread evenly over the split (which
#: lies sorted by class for most recorded sets), and how many of them run at a time.
RATE_SAMPLES = 256
RATE_BATCH = 32
SIMULATED_NOTE = (
    "Simulated gestures: rendered, not recorded. Accuracies say nothing about a real sensor; "
    "for the recorded set use --study dvs-gesture."
)


class QatOptions(EvaluationOptions):
    """``[evaluation]`` of what trains candidates from a parent."""

    parent_epochs: Annotated[int, Field(ge=1, le=10_000)] = 25
    parent_learning_rate: Annotated[float, Field(gt=0.0)] = 3e-3
    parent_threads: Annotated[int, Field(ge=1, le=256)] = 1
    """CPU threads of the parent's training. More are faster on an idle machine, change its last
    digits, and are much slower on a busy one (threads that wait for each other)."""
    epochs: Annotated[int, Field(ge=0, le=10_000)] = 2
    learning_rate: Annotated[float, Field(gt=0.0)] = 1e-3
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 32
    shift: Annotated[int, Field(ge=0, le=64)] = 2
    """Augmentation by shifts of up to this many pixels. Never mirrored: left is not right."""


class QatStudy(Evaluator):
    """Data, parent and cheap metrics; a subclass says how a candidate is measured."""

    objectives: ClassVar[tuple[Objective, ...]] = (ACCURACY, ENERGY, STORAGE)
    metrics: ClassVar[tuple[str, ...]] = ("energy", "storage", "average_bits")
    costly: ClassVar[bool] = True
    Options: ClassVar[type[EvaluationOptions]] = QatOptions

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        definition = setup.definition
        if definition.data is None or definition.model is None:
            raise DefinitionError(
                f"study {definition.name!r}: evaluator short-qat needs [data] and [model]"
            )
        data, model = definition.data, definition.model
        self._spec = DataSpec(
            dataset=data.dataset,
            timesteps=model.timesteps,
            size=data.size,
            encoding=data.encoding,
            path=definition.located(str(data.path)) if data.path else _usual_place(data.dataset),
            sensor=data.sensor,
            train=data.train,
            validation=data.validation,
            test=data.test,
            seed=data.seed,
            download=data.download,
        )
        self._costs: dict[str, CostModel] = {}

    def check(self) -> None:
        check_data(self._spec)
        _ = self._profile
        self.trace()  # a network that does not run is found before anything is trained
        structure = [d.name for d in self.space.dimensions if d.kind == "structure"]
        if structure:
            raise DefinitionError(
                f"short-qat searches weight layers only; the space's [[structure]] "
                f"{structure[0]!r} cannot be used with it"
            )

    def notes(self) -> list[str]:
        return [SIMULATED_NOTE] if self._spec.dataset == "simulated-gestures" else []

    @cached_property
    def _profile(self) -> Profile:
        name = self.setup.definition.hardware.profile
        located = self.setup.definition.located(name) if name.endswith(".toml") else name
        return load_profile(located)

    @cached_property
    def _classes(self) -> int:
        return len(data_classes(self._spec))

    @cached_property
    def _model_name(self) -> str:
        model = self.setup.definition.model
        assert model is not None
        if model.path is None:
            assert model.name is not None
            return model.name
        place, _, function = model.path.rpartition(":")
        return f"{self.setup.definition.located(place)}:{function}"

    def _build(self) -> Any:
        """The untrained network, the same every time."""
        model = self.setup.definition.model
        assert model is not None
        return build_model(
            self._model_name,
            model.options,
            timesteps=self._spec.timesteps,
            size=self._spec.size,
            classes=self._prepared["classes"] if self._prepared else self._classes,
            seed=self.options.seed,
        )

    @cached_property
    def _layers(self) -> list[WeightLayer]:
        return list(weight_layers(self._build()))

    def layers(self) -> Sequence[WeightLayer]:
        return self._layers

    def fingerprint(self) -> dict[str, Any]:
        definition = self.setup.definition
        assert definition.data is not None
        assert definition.model is not None
        model = definition.model.model_dump(mode="json", exclude_none=True)
        if definition.model.path is not None:
            model["path"] = file_identity(definition.model.path, definition.folder)
        return {
            **super().fingerprint(),
            "data": definition.data.model_dump(mode="json", exclude={"path", "download"}),
            "model": model,
            "hardware": self._profile.contents(),
        }

    # Preparation: data, parent, workload. One structural part for now, the empty one.

    @cached_property
    def _prepared_file(self) -> Path:
        return self.setup.folder / "prepared.json"

    @property
    def _prepared(self) -> dict[str, Any]:
        """What :meth:`prepare` left for workers: classes, frames, parents; empty before it."""
        if "_known" not in self.__dict__ and self._prepared_file.exists():
            self.__dict__["_known"] = json.loads(self._prepared_file.read_text())
        return dict(self.__dict__.get("_known", {}))

    def prepare(self, context: PrepareContext) -> dict[str, str]:
        """Frames, then the parent (resumed from its last epoch), then its workload."""
        data = prepare_data(
            self._spec, self.setup.folder / "data", context.progress, context.workers
        )
        for warning in data.warnings:
            context.tell(f"note: {warning}")
        identity = {**self.fingerprint(), "frames": data.fingerprint}
        for table in ("space", "hardware", "evaluator"):
            del identity[table]
        for key in ("epochs", "learning_rate", "threads"):
            del identity["evaluation"][key]
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        prepared = {
            "classes": len(data.classes),
            "frames": str(data.folder.relative_to(self.setup.folder)),
            "parents": {"": f"parents/{digest[:16]}"},
        }
        if prepared != self._prepared:
            write_atomically(self._prepared_file, json.dumps(prepared))
            self.__dict__["_known"] = prepared
        folder = self._parent_folder("")
        epochs = self.options.parent_epochs
        if not _is_whole(folder):
            context.run_task(
                {"parent": ""},
                self.preparation_resources()[0],
                lambda: context.progress("training the parent", _epochs_done(folder), epochs),
            )
        context.progress("training the parent", epochs, epochs)
        about = json.loads((folder / "parent.json").read_text())
        context.tell(
            f"parent: {100 * about['accuracy']:.1f} % ± {100 * about['accuracy_se']:.1f} on "
            f"{about['validation_samples']} validation samples, fp32, {epochs} epochs"
        )
        if about["accuracy"] - 2 * about["accuracy_se"] < 1.0 / len(data.classes):
            context.tell(
                "note: the parent is not better than chance; what is found from it says nothing. "
                "Train it longer: --set evaluation.parent_epochs=N"
            )
        return {"data_fingerprint": data.fingerprint, "parent": about["weights"]}

    def preparation_resources(self) -> list[Resources]:
        return [replace(self.resources(), cpus=float(self.options.parent_threads))]

    def prepare_task(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Train the parent of a structural part, and trace what it does."""
        import torch

        from hqsearch.training.loop import Schedule, train

        options, data = self.options, self._data
        torch.set_num_threads(options.parent_threads)
        folder = self._parent_folder(payload["parent"])
        schedule = Schedule(
            epochs=options.parent_epochs,
            learning_rate=options.parent_learning_rate,
            batch_size=options.batch_size,
            shift=options.shift,
            seed=options.seed,
        )
        model = self._build()
        checkpoint = folder / "checkpoint"
        train(
            model,
            data.train.frames,
            data.train.labels,
            data.encoding.to_float,
            schedule,
            device=self.setup.device,
            checkpoint=checkpoint,
            resume_from=checkpoint,
        )
        result = self._validate(model)
        model.cpu().eval()
        workload = trace_workload(model, next(self._rate_batches()), data.encoding.bits)
        workload = workload.with_rates(self._measure_rates(model, workload))
        weights = folder / "parent.safetensors"
        save_state(model, weights)
        write_atomically(folder / "workload.json", json.dumps(workload.to_json()))
        about = {
            "accuracy": result.accuracy,
            "accuracy_se": result.standard_error,
            "validation_samples": len(result.correct),
            "correct": pack_correct(result.correct),
            "weights": hashlib.sha256(weights.read_bytes()).hexdigest(),
        }
        write_atomically(folder / "parent.json", json.dumps(about))
        return {}

    def _validate(self, model: Any, on: Literal["validation", "test"] = "validation") -> EvalResult:
        from hqsearch.training.loop import evaluate

        split = self._data.test if on == "test" else self._data.validation
        to_float = self._data.encoding.to_float
        return evaluate(model, split.frames, split.labels, to_float, device=self.setup.device)

    def _parent_folder(self, structure: str) -> Path:
        return self.setup.folder / str(self._prepared["parents"][structure])

    @cached_property
    def _data(self) -> FrameData:
        return open_frames(self.setup.folder / self._prepared["frames"])

    def _rate_batches(self) -> Iterator[Any]:
        """Validation frames as the network sees them, ``[T, N, 2, H, W]``, in small batches."""
        import torch

        frames = self._data.validation.frames
        chosen = np.unique(np.linspace(0, len(frames) - 1, RATE_SAMPLES).round().astype(int))
        for start in range(0, len(chosen), RATE_BATCH):
            batch = frames[chosen[start : start + RATE_BATCH]].swapaxes(0, 1)
            yield self._data.encoding.to_float(torch.from_numpy(np.ascontiguousarray(batch)))

    def _measure_rates(self, model: Any, workload: Workload) -> dict[str, LayerRate]:
        """Firing rates of ``model`` over the rate samples, by path."""
        import torch

        with RateMeter(model, workload) as meter, torch.no_grad():
            for batch in self._rate_batches():
                model(batch)
        return meter.rates()

    # Costs outside a search

    def workload(self) -> Workload | None:
        """The prepared parent's, with its firing rates; None before :meth:`prepare`."""
        if not self._prepared:
            return None
        file = self._parent_folder("") / "workload.json"
        return Workload.from_json(file.read_text()) if file.exists() else None

    def trace(self, unknown: Literal["refuse", "real"] = "refuse") -> Workload:
        """What the untrained network does, without firing rates; see ``trace_workload``.

        Raises:
            PluginError: the network does not run on frames ``[T, 1, 2, H, W]`` of the study.
        """
        import torch

        size = self._spec.size
        frames = torch.zeros(self._spec.timesteps, 1, 2, size, size)
        bits = get_encoding(self._spec.encoding).bits
        try:
            model = self._build().to("meta")
            return trace_workload(model, frames.to("meta"), bits, unknown=unknown)
        except (RuntimeError, TypeError):  # a user's network may look at its values
            model = self._build()
        try:
            traced = trace_workload(model, frames, bits, unknown=unknown)
        except HqsearchError:
            raise
        except Exception as error:
            raise PluginError(
                f"{self._model_name} fails on frames {list(frames.shape)}: "
                f"{type(error).__name__}: {error}"
            ) from error
        silent = (replace(op, rate=None, activity=None, rate_se=None) for op in traced.operations)
        return replace(traced, operations=tuple(silent))

    # Cheap metrics

    def _cost_model(self, structure: str) -> CostModel:
        """Cost tables of a structural part, from its parent's workload."""
        if structure not in self._costs:
            text = (self._parent_folder(structure) / "workload.json").read_text()
            allowed: dict[str, tuple[str, ...]] = {p: (c,) for p, c in self.space.pinned}
            for dimension in self.space.dimensions:
                if dimension.kind == "weights":
                    allowed.update(dict.fromkeys(dimension.layers, dimension.values))
            self._costs[structure] = CostModel(
                Workload.from_json(json.loads(text)), self._profile, allowed
            )
        return self._costs[structure]

    def cheap(self, candidates: Sequence[Candidate]) -> npt.NDArray[np.float64]:
        out = np.empty((len(candidates), len(self.metrics)))
        keys = [self.space.structural_key(c) for c in candidates]
        for structure in set(keys):
            rows = [i for i, key in enumerate(keys) if key == structure]
            model = self._cost_model(structure)
            codes = model.codes(self.space.assignment(candidates[i]) for i in rows)
            estimate = model.estimate(codes)
            out[rows] = np.column_stack([estimate.energy, estimate.storage, estimate.average_bits])
        return out

    def reference(self) -> Mapping[str, float]:
        model = self._cost_model("")
        choices = model.uniform(FP32)
        return {
            "energy": model.energy(choices).total,
            "storage": model.storage(choices).kib,
            "average_bits": 32.0,
        }


def _usual_place(dataset: str) -> Path | None:
    """Where a named recorded set is looked for unless --data says otherwise: ``./data``."""
    return Path("data").resolve() if dataset not in ("simulated-gestures", "folder") else None


def _is_whole(folder: Path) -> bool:
    """Whether the parent is there and its weights are those that were measured."""
    about, weights = folder / "parent.json", folder / "parent.safetensors"
    if not (about.exists() and weights.exists() and (folder / "workload.json").exists()):
        return False
    recorded = json.loads(about.read_text())["weights"]
    return bool(recorded == hashlib.sha256(weights.read_bytes()).hexdigest())


def _epochs_done(folder: Path) -> int:
    """Epochs in the parent's checkpoint so far; its index is replaced whole after each one."""
    index = folder / "checkpoint" / CHECKPOINT_INDEX
    return int(json.loads(index.read_text())["epoch"]) if index.exists() else 0
