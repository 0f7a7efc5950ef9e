"""The fp32 parent of a structural part: prepared on the driver, trained on a worker.

A parent folder holds ``parent.safetensors``, ``workload.json`` (with the parent's firing rates),
``parent.json`` (what was measured, with the hash of the weights; written last) and
``checkpoint/``, from which a training that was cut off goes on. Its name is derived from all
that the parent depends on.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hqsearch.atomic import write_atomically
from hqsearch.data import FrameData
from hqsearch.data.shared import shared_samples
from hqsearch.errors import DefinitionError, RunFailed
from hqsearch.evaluator import ParentQuality, PrepareContext, Resources
from hqsearch.evaluator.per_sample import pack_correct
from hqsearch.hardware import Workload
from hqsearch.hardware.trace import trace_workload
from hqsearch.models import deploy
from hqsearch.plugins import code_alone
from hqsearch.problem.objective import ACCURACY, difference_text, value_text
from hqsearch.qat.rates import measure_rates, rate_batches
from hqsearch.qat.structural_part import Part, Prepared
from hqsearch.training import EpochRecord, Samples, Segment, evaluate, save_state, train
from hqsearch.training.state import CHECKPOINT_INDEX
from hqsearch.wording import option, setting

#: Keys of ``[evaluation]`` that do not change a parent.
_OF_CANDIDATES = ("epochs", "learning_rate", "threads", "distillation")


def prepare_parts(
    parts: Sequence[Part], context: PrepareContext, resources: Resources
) -> list[dict[str, str]]:
    """Frames, then the parents, side by side where there are workers for it.

    A parent goes on from its last epoch; what is there is not made again.

    Args:
        resources: what training one parent needs.

    Returns:
        Of each part ``data_fingerprint`` and ``parent``, the hash of its weights.
    """
    frames = [_prepare_frames(part, context) for part in parts]
    missing = [part for part in parts if not is_whole(part.parent_folder)]
    epochs = parts[0].study.options.parent_epochs
    label = f"training {len(missing)} parents" if len(missing) > 1 else "training the parent"
    total = epochs * max(len(missing), 1)
    folders = [part.parent_folder for part in missing]

    def tell() -> None:
        if epochs:  # weights of the user's own are not trained
            context.progress(label, sum(map(epochs_done, folders)), total)

    if missing:
        context.run_tasks([{"parent": part.key} for part in missing], resources, tell)
    if epochs:
        context.progress(label, total, total)
    return [
        {"data_fingerprint": data.fingerprint, "parent": _tell(part, context, len(data.classes))}
        for part, data in zip(parts, frames, strict=True)
    ]


def _prepare_frames(part: Part, context: PrepareContext) -> FrameData:
    """Of one part, and where its parent will be."""
    data = part.prepare_data(context.progress, context.workers)
    if data.summary:
        context.tell(f"data: {data.summary}")
    for warning in (*data.warnings, *shared_samples(data)):
        context.tell(f"note: {warning}")
    name = f"data_fingerprint {part.key}" if part.key else "data_fingerprint"
    context.accept({name: data.fingerprint})
    place = f"parents/{parent_digest(part, data.fingerprint)[:16]}"
    frames = str(data.folder.relative_to(part.study.folder))
    prepared = Prepared(len(data.classes), frames, {part.key: place})
    # With --fresh what is known may be the old study's, which has been moved away.
    if prepared != part.prepared or not part.prepared_file.is_file():
        write_atomically(part.prepared_file, json.dumps(prepared.to_json()))
        part.forget()
    return data


def _tell(part: Part, context: PrepareContext, classes: int) -> str:
    """Say how good a parent is; the hash of its weights."""
    study, epochs = part.study, part.study.options.parent_epochs
    about = json.loads((part.parent_folder / "parent.json").read_text())
    of = f" of {part.key}" if part.key else ""
    if study.definition.model is not None and study.definition.model.weights is not None:
        how = f"your weights, fine-tuned for {epochs} epochs" if epochs else "your weights as given"
        if "accuracy_as_given" in about:
            how += f"; {value_text(study.measured, about['accuracy_as_given'])} as given"
    else:
        how = f"{epochs} epochs"
    metric = study.measured
    value = value_text(metric, about["accuracy"])
    if metric.unit != "fraction":
        value = f"{metric.name} {value}"
    context.tell(
        f"parent{of}: {value} ± {difference_text(metric, about['accuracy_se'])} on "
        f"{about['validation_samples']} validation samples, fp32, {how}"
    )
    if metric == ACCURACY and about["accuracy"] - 2 * about["accuracy_se"] < 1.0 / classes:
        context.tell(
            "note: the parent is not better than chance; what is found from it says nothing. "
            f"Train it longer, which makes another study: {option('fresh', True)} "
            f"and {setting('evaluation.parent_epochs', 'N')}"
        )
    return str(about["weights"])


def parent_seconds(part: Part) -> float:
    """Worker seconds that training and measuring the parent took; 0 where nobody wrote it down."""
    return float(json.loads((part.parent_folder / "parent.json").read_text()).get("seconds", 0.0))


def quality_of(part: Part) -> ParentQuality:
    """How good a prepared parent is on validation."""
    about = json.loads((part.parent_folder / "parent.json").read_text())
    labels = np.asarray(part.samples("validation").labels)
    largest = float(np.bincount(labels.astype(np.int64)).max()) / len(labels)
    return ParentQuality(float(about["accuracy"]), int(about["validation_samples"]), largest)


def parent_digest(part: Part, frames: str) -> str:
    """SHA-256 of all that the parent depends on; ``frames`` is their fingerprint."""
    study = part.study
    model = part.model_identity()
    if "path" in model:
        model["path"] = code_alone(model["path"])
    settings = {k: v for k, v in study.settings().items() if k not in _OF_CANDIDATES}
    identity: dict[str, Any] = {
        "data": study.data_identity(),
        "device": study.device,
        "evaluation": settings,
        "frames": frames,
        "model": model,
    }
    if study.recipe > 1:  # the parents of the first one were named without it
        identity["recipe"] = study.recipe
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def train_parent(part: Part, on_epoch: Callable[[EpochRecord], None] | None = None) -> None:
    """Train the parent, measure it on validation, and trace what it does; on a worker.

    Args:
        on_epoch: called after each epoch.

    Raises:
        RunFailed: it diverged, with the name of the first tensor that is NaN or infinite; or its
            checkpoint is damaged.
        DiskFull: no space left.
    """
    options, folder = part.study.options, part.parent_folder
    torch.set_num_threads(options.parent_threads)
    schedule = options.schedule(options.parent_epochs, options.parent_learning_rate, options.seed)
    task, device = part.study.task, part.study.device
    began, already = time.perf_counter(), epochs_done(folder)
    model, checkpoint = part.build(deployed=False), folder / "checkpoint"
    resumed = Segment(checkpoint=checkpoint, resume_from=checkpoint)
    validation = part.samples("validation")
    as_given: dict[str, float] = {}
    try:
        if part.model.weights is not None and options.parent_epochs:
            as_given = _before_tuning(part, model, validation)
        train(
            model,
            part.samples("train"),
            schedule,
            resumed,
            device=device,
            on_epoch=on_epoch,
            task=task,
        )
        deploy(model)
        result = evaluate(model, validation, device=device, task=task)
    except FloatingPointError as error:
        raise RunFailed(f"the parent did not train: {error}") from error
    model.cpu().eval()
    workload = trace_workload(
        model,
        next(rate_batches(validation, task=task)),
        part.frames.encoding.traced_as,
        unknown=part.unknown,
        timesteps=part.data.timesteps,
    )
    workload = workload.with_rates(measure_rates(model, workload, validation, task))
    weights = folder / "parent.safetensors"
    save_state(model, weights)
    write_atomically(folder / "workload.json", json.dumps(workload.to_json()))
    about = {
        "accuracy": result.accuracy,
        "accuracy_se": result.standard_error,
        "validation_samples": len(result.correct),
        **as_given,
        **({"correct": pack_correct(result.correct)} if result.is_binary else {}),
        "weights": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "seconds": round(_whole(time.perf_counter() - began, already, schedule.epochs), 3),
    }
    write_atomically(folder / "parent.json", json.dumps(about))


def _before_tuning(part: Part, model: nn.Module, validation: Samples) -> dict[str, float]:
    """``accuracy_as_given`` of weights that are to be fine-tuned, measured once."""
    file = part.parent_folder / "as_given.json"
    if not file.exists():
        model.to(part.study.device)
        found = evaluate(model, validation, device=part.study.device, task=part.study.task)
        write_atomically(file, json.dumps({"accuracy_as_given": found.accuracy}))
    return dict(json.loads(file.read_text()))


def _whole(seconds: float, already: int, epochs: int) -> float:
    """Of a training of which ``already`` epochs were there: those took as long as the others."""
    return seconds * epochs / (epochs - already) if 0 < already < epochs else seconds


def is_whole(folder: Path) -> bool:
    """Whether the parent is there, with the weights that were measured and today's counts."""
    about, weights = folder / "parent.json", folder / "parent.safetensors"
    workload = folder / "workload.json"
    if not (about.exists() and weights.exists() and workload.exists()):
        return False
    try:
        Workload.from_json(workload.read_text())
    except DefinitionError:  # prepare_parts traces it anew, from the trained checkpoint
        return False
    try:
        recorded = json.loads(about.read_text())["weights"]
    except (ValueError, TypeError, KeyError):
        return False
    return bool(recorded == hashlib.sha256(weights.read_bytes()).hexdigest())


def epochs_done(folder: Path) -> int:
    """Epochs in the parent's checkpoint so far; its index is replaced whole after each one."""
    index = folder / "checkpoint" / CHECKPOINT_INDEX
    return int(json.loads(index.read_text())["epoch"]) if index.exists() else 0
