"""Train and evaluate a network on event frames, deterministically and resumably.

By default AdamW with a one-cycle learning rate (linear warm-up, cosine to zero) over the *full*
schedule: a run that stops at epoch r and is resumed later is bit for bit the uninterrupted one, on
one machine with one number of threads. Everything random comes from (seed, epoch).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hqsearch.errors import DefinitionError, RunFailed
from hqsearch.training.batches import (
    Augmentation,
    BorderName,
    Samples,
    plain_batches,
    training_batches,
)
from hqsearch.training.distillation import Teacher
from hqsearch.training.finite import NeuronWatch, is_finite, require_finite
from hqsearch.training.memory import keep_freed_memory
from hqsearch.training.state import (
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)
from hqsearch.training.task import CLASSIFICATION, Task, checked_scores, summarized

OptimizerName = Literal["adamw", "adam", "sgd"]
DecayName = Literal["cosine", "linear", "constant"]
PrecisionName = Literal["none", "bfloat16", "float16"]
_MOMENTUM = 0.9


@dataclass(frozen=True)
class Schedule:
    """How a network is trained.

    Attributes:
        epochs: length of the whole schedule.
        learning_rate: its peak.
        batch_size: N of a step.
        weight_decay: of tensors with two or more axes; norms, biases and scales have none.
        warmup: part of all steps over which the learning rate rises, 0 to 1.
        shift: augmentation by shifts of up to this many pixels.
        label_smoothing: of the cross-entropy, 0 to 1.
        seed: of order and augmentation.
        optimizer: ``adamw``, ``adam`` or ``sgd`` (momentum 0.9, Nesterov).
        decay: of the learning rate after its rise: ``cosine`` or ``linear`` to zero, or
            ``constant``.
        flip: augmentation by mirroring half of the samples left to right.
        mixed_precision: ``bfloat16`` or ``float16`` (with loss scaling) on CUDA; ``none``.
        loader_workers: threads that prepare batches ahead; changes no number.
        border: what moves in where a sample is shifted: ``zero``, or what is there, reflected.

    Raises:
        DefinitionError: a value out of its range.
    """

    epochs: int
    learning_rate: float
    batch_size: int = 32
    weight_decay: float = 0.01
    warmup: float = 0.2
    shift: int = 2
    label_smoothing: float = 0.0
    seed: int = 0
    optimizer: OptimizerName = "adamw"
    decay: DecayName = "cosine"
    flip: bool = False
    mixed_precision: PrecisionName = "none"
    loader_workers: int = 0
    border: BorderName = "zero"

    def __post_init__(self) -> None:
        at_least = {"epochs": 0, "batch_size": 1, "weight_decay": 0, "shift": 0, "seed": 0}
        at_least["loader_workers"] = 0
        for name, low in at_least.items():
            if getattr(self, name) < low:
                raise DefinitionError(f"{name} must be at least {low}, not {getattr(self, name)}.")
        if not self.learning_rate > 0:
            raise DefinitionError(f"learning_rate must be positive, not {self.learning_rate}.")
        for name in ("warmup", "label_smoothing"):
            if not 0 <= getattr(self, name) <= 1:
                raise DefinitionError(f"{name} must be from 0 to 1, not {getattr(self, name)}.")


@dataclass(frozen=True)
class Segment:
    """Which part of a schedule a call runs, and where its state lies.

    Attributes:
        until_epoch: stop after this epoch; the end of the schedule if None.
        checkpoint: folder that gets a checkpoint after each epoch.
        resume_from: folder of a checkpoint to go on from; one without a finished checkpoint
            means starting at epoch 0.
    """

    until_epoch: int | None = None
    checkpoint: Path | None = None
    resume_from: Path | None = None


_WHOLE = Segment()


@dataclass(frozen=True)
class EpochRecord:
    """One epoch: its number from 1, mean training loss and training accuracy."""

    epoch: int
    loss: float
    accuracy: float


@dataclass(frozen=True)
class TrainResult:
    """What a training run did.

    Attributes:
        epoch: the last epoch that is done.
        history: one record per epoch, those before a resumption included.
        resumed_from: epoch that a checkpoint gave, 0 where it started afresh.
    """

    epoch: int
    history: tuple[EpochRecord, ...]
    resumed_from: int


@dataclass(frozen=True)
class EvalResult:
    """What an evaluation found.

    Attributes:
        accuracy: fraction of samples that are right; of another task, its metric.
        correct: bool ``[n]``, sample by sample, so that two networks can be compared in pairs;
            where scores are no plain right and wrong, whether they are 1.
        loss: the task's, mean over all samples.
        scores: float64 ``[n]``, from 0 to 1 unless the task has another metric.
        task: what was measured.
    """

    accuracy: float
    correct: NDArray[np.bool_]
    loss: float
    scores: NDArray[np.float64]
    task: Task = CLASSIFICATION

    @classmethod
    def of(cls, scores: NDArray[np.float64], loss: float, task: Task) -> EvalResult:
        """From the scores ``[n]`` of a whole split."""
        return cls(summarized(task, scores)[0], scores == 1.0, loss, scores, task)

    @property
    def standard_error(self) -> float:
        """Of ``accuracy``; of plain right and wrong that of a binomial fraction."""
        return summarized(self.task, self.scores)[1]

    @property
    def is_binary(self) -> bool:
        """Whether every sample is right or wrong."""
        return self.task.is_share and bool(np.isin(self.scores, (0.0, 1.0)).all())


def learning_rate(step: int, steps: int, schedule: Schedule) -> float:
    """Learning rate of ``step`` (from 0) of ``steps``: linear rise, then the schedule's decay."""
    rise = schedule.warmup * steps
    if step + 1 < rise:
        return schedule.learning_rate * (step + 1) / rise
    progress = (step + 1 - rise) / max(1.0, steps + 1 - rise)
    if schedule.decay == "constant":
        return schedule.learning_rate
    if schedule.decay == "linear":
        return schedule.learning_rate * (1.0 - min(1.0, progress))
    return schedule.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def train(
    model: nn.Module,
    samples: Samples,
    schedule: Schedule,
    segment: Segment = _WHOLE,
    *,
    device: str | torch.device = "cpu",
    on_epoch: Callable[[EpochRecord], None] | None = None,
    teacher: Teacher | None = None,
    task: Task = CLASSIFICATION,
) -> TrainResult:
    """Train ``model`` in place.

    Args:
        model: ``[T, N, C, H, W]`` to logits ``[N, classes]``.
        samples: to learn from.
        schedule: always the full one, also where ``segment`` stops early.
        segment: which part of the schedule to run; all of it by default.
        device: where to compute.
        on_epoch: called after each epoch, its checkpoint already written.
        teacher: of which it learns besides the labels; it is entered here.
        task: what it is trained for.

    Raises:
        FloatingPointError: frames, the loss, or after an epoch (before its checkpoint) a weight,
            scale or running statistic is NaN or infinite; named.
        RunFailed: the checkpoint is damaged, or of another network or schedule.
        DiskFull: a checkpoint cannot be written.
    """
    keep_freed_memory()
    model.to(device)
    optimizer = make_optimizer(model, schedule)
    names: dict[Tensor, str] = {p: name for name, p in model.named_parameters()}
    work = _Work(samples, schedule, device, task, teacher)
    history: list[EpochRecord] = []
    if segment.resume_from is not None:
        history = _resume(model, optimizer, names, schedule, segment.resume_from)
    done = len(history)
    require_finite(model, f"after epoch {done}" if done else "before training")
    until = segment.until_epoch
    last = schedule.epochs if until is None else min(until, schedule.epochs)
    for epoch in range(done, last):
        with torch.random.fork_rng():
            # A network may draw in its forward pass (dropout): from (seed, epoch) alone.
            state = np.random.SeedSequence([schedule.seed, epoch]).generate_state(1)
            torch.manual_seed(int(state[0]))
            with teacher or nullcontext():
                record = _train_epoch(model, optimizer, work, epoch)
        require_finite(model, f"after epoch {epoch + 1}")
        history.append(record)
        if segment.checkpoint is not None:
            tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
            about = {
                "epoch": epoch + 1,
                "schedule": _schedule_json(schedule),
                "history": [asdict(record) for record in history],
            }
            save_checkpoint(
                segment.checkpoint, tensors | optimizer_tensors(optimizer, names), about
            )
        if on_epoch is not None:
            on_epoch(record)
    return TrainResult(len(history), tuple(history), done)


def evaluate(
    model: nn.Module,
    samples: Samples,
    *,
    batch_size: int = 64,
    device: str | torch.device = "cpu",
    task: Task = CLASSIFICATION,
) -> EvalResult:
    """Accuracy of ``model`` in evaluation mode, or a task's score; its mode is put back.

    Raises:
        FloatingPointError: a weight, scale or running statistic, a frame, the input of a neuron
            or a logit is NaN or infinite; named.
        ValueError: no samples.
    """
    if not len(samples):
        raise ValueError("there are no samples to evaluate on.")
    keep_freed_memory()
    require_finite(model, "when it is evaluated")
    training = model.training
    model.to(device).eval()
    labels = torch.from_numpy(np.asarray(samples.labels, np.int64))
    scores: list[NDArray[np.float64]] = []
    loss = 0.0
    try:
        # Weights do not change here: quantized ones are computed once, not for every batch.
        with torch.no_grad(), parametrize.cached(), NeuronWatch(model) as watch:
            for index, batch in enumerate(plain_batches(samples.frames, batch_size)):
                wanted = labels[index * batch_size : (index + 1) * batch_size]
                inputs = samples.to_float(batch.to(device))
                inputs, target = task.prepare(inputs, wanted.to(device))
                output = model(inputs)
                watch.end_batch(f"batch {index + 1} of the evaluation")
                if not bool(torch.isfinite(output).all()):
                    raise FloatingPointError("the network's output is not finite.")
                output = output.double()
                scores.append(checked_scores(task.scores(output, target), len(wanted), task))
                loss += float(task.loss(output, target)) * len(wanted)
    finally:
        model.train(training)
    every = np.concatenate(scores)
    return EvalResult.of(every, loss / len(every), task)


def make_optimizer(model: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    """The schedule's; weight decay on tensors with two or more axes only."""
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for parameter in model.parameters():
        if parameter.requires_grad:
            groups[parameter.ndim > 1].append(parameter)
    taken = [
        {"params": parameters, "weight_decay": schedule.weight_decay if decayed else 0.0}
        for decayed, parameters in groups.items()
        if parameters
    ]
    if schedule.optimizer == "sgd":
        return torch.optim.SGD(
            taken, lr=schedule.learning_rate, momentum=_MOMENTUM, nesterov=True, fused=True
        )
    kind = torch.optim.AdamW if schedule.optimizer == "adamw" else torch.optim.Adam
    return kind(taken, lr=schedule.learning_rate, fused=True)


def _schedule_json(schedule: Schedule) -> dict[str, Any]:
    """What a checkpoint must agree with: all that changes a number."""
    told = asdict(schedule)
    del told["loader_workers"]
    if schedule.border == "zero":  # so that checkpoints of before go on
        del told["border"]
    return told


@dataclass(frozen=True)
class _Work:
    """What every epoch of a training has in common; see :func:`train`."""

    samples: Samples
    schedule: Schedule
    device: str | torch.device
    task: Task
    teacher: Teacher | None


def _train_epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, work: _Work, epoch: int
) -> EpochRecord:
    samples, schedule, task, teacher = work.samples, work.schedule, work.task, work.teacher
    device = work.device
    model.train()
    per_epoch = math.ceil(len(samples) / schedule.batch_size)
    total, right = 0.0, 0.0
    key = (schedule.seed, epoch)
    batches = training_batches(
        samples.frames,
        samples.labels,
        schedule.batch_size,
        key,
        Augmentation(schedule.shift, schedule.flip, schedule.border),
        schedule.loader_workers,
    )
    half = getattr(torch, schedule.mixed_precision, None)
    kind = torch.device(device).type
    # Half precision ends at 65,504: small gradients are scaled up, and what overflows is skipped.
    scaler = torch.amp.GradScaler(kind, enabled=half is torch.float16)
    for index, (stored, target) in enumerate(batches):
        step = epoch * per_epoch + index
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, schedule.epochs * per_epoch, schedule)
        wanted, inputs = target.to(device), samples.to_float(stored.to(device))
        if not is_finite(inputs):
            raise FloatingPointError(
                f"the frames of epoch {epoch + 1}, step {index + 1} are not finite."
            )
        inputs, aim = task.prepare(inputs, wanted)
        with torch.autocast(kind, half, enabled=half is not None):
            logits = model(inputs)
            loss = task.loss(logits, aim, schedule.label_smoothing)
            if teacher is not None:
                loss = teacher.loss(loss, inputs, logits)
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(
                f"the training loss is {value} in epoch {epoch + 1}, step {index + 1}; "
                f"a lower learning_rate may help."
            )
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        total += value * len(target)
        right += float(task.scores(logits.detach(), aim).double().sum())
    return EpochRecord(epoch + 1, total / len(samples), right / len(samples))


def _resume(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    names: dict[Tensor, str],
    schedule: Schedule,
    folder: Path,
) -> list[EpochRecord]:
    found = load_checkpoint(folder)
    if found is None:
        return []
    tensors, about = found
    try:
        if about["schedule"] != _schedule_json(schedule):
            raise RunFailed(f"the checkpoint in {folder} belongs to another training schedule.")
        weights = {k[6:]: v for k, v in tensors.items() if k.startswith("model/")}
        model.load_state_dict(weights)
        restore_optimizer(optimizer, names, tensors)
        return [EpochRecord(**record) for record in about["history"]]
    except (KeyError, TypeError, RuntimeError) as error:
        raise RunFailed(f"the checkpoint in {folder} is of another network: {error}") from error
