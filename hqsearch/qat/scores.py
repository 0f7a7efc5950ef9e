"""Free knowledge: by how much every choice of every dimension alone raises the parent's loss.

Post-training quantization of one dimension at a time, nothing else changed, on a small seeded
part of the training split; validation and test are not read. Differences are paired by sample,
which makes their standard errors small. It is the score of HAWQ-like methods, measured instead
of expanded to second order; quantization-aware training regains much of what it shows as lost,
so it ranks layers better than it predicts accuracies.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hqsearch.evaluator.tasks import ScoresResult
from hqsearch.problem.space import Space
from hqsearch.qat.structural_part import Part
from hqsearch.quant import quantize_model
from hqsearch.schemes.choice import FP32
from hqsearch.training.batches import Samples, plain_batches
from hqsearch.training.finite import NeuronWatch
from hqsearch.training.task import CLASSIFICATION, Task

#: Training samples that are scored on, and how many run at a time.
SAMPLES = 128
BATCH = 64


def score_part(part: Part, space: Space, seed: int) -> ScoresResult:
    """:func:`score_choices` of the prepared parent of a structural part, on a worker."""
    torch.set_num_threads(part.study.options.threads)
    return score_choices(
        part.parent(),
        space,
        part.samples("train"),
        seed,
        part.study.device,
        part.study.task,
        part.study.options.label_smoothing,
    )


def score_choices(
    model: nn.Module,
    space: Space,
    training: Samples,
    seed: int,
    device: str = "cpu",
    task: Task = CLASSIFICATION,
    label_smoothing: float = 0.0,
) -> ScoresResult:
    """Scores of every dimension that stands for weight layers.

    Args:
        model: the fp32 parent; it comes back as it was, but for pinned layers.
        space: which layers may be stored how.
        training: the training split.
        seed: of the samples drawn.
        device: to run on.
        task: whose loss is raised.
        label_smoothing: of that loss.

    Returns:
        In the loss that the study trains with; nats of mean cross-entropy of a plain one.

    Raises:
        FloatingPointError: a frame, the input of a neuron or a logit is NaN or infinite.
    """
    count = min(SAMPLES, len(training))
    chosen = np.sort(np.random.default_rng(seed).choice(len(training), count, replace=False))
    labels = torch.from_numpy(np.asarray(training.labels, np.int64)[chosen])
    scored = _Scored(training, chosen, labels, seed, device, task, label_smoothing)
    quantize_model(model, dict(space.pinned))
    model.to(device).eval()
    parent = scored.losses(model)
    modules = dict(model.named_modules())
    scores: dict[str, dict[str, float]] = {}
    errors: dict[str, dict[str, float]] = {}
    for dimension in space.dimensions:
        if dimension.kind != "weights":
            continue
        scores[dimension.name], errors[dimension.name] = {}, {}
        for value in dimension.values:
            change = np.zeros(count)
            if value != FP32:
                quantize_model(model, dict.fromkeys(dimension.layers, value))
                change = scored.losses(model.to(device)) - parent
                for path in dimension.layers:
                    parametrize.remove_parametrizations(
                        modules[path], "weight", leave_parametrized=False
                    )
            scores[dimension.name][value] = float(change.mean())
            errors[dimension.name][value] = float(change.std() / np.sqrt(count))
    loss = float(parent.mean())
    return ScoresResult(scores=scores, standard_errors=errors, samples=count, loss=loss)


class _Scored:
    """Samples that are scored on, prepared once, one by one: a loss is then that of one sample."""

    def __init__(
        self,
        training: Samples,
        chosen: NDArray[np.int64],
        labels: Tensor,
        seed: int,
        device: str,
        task: Task,
        label_smoothing: float,
    ) -> None:
        self._task, self._label_smoothing = task, label_smoothing
        inputs: list[Tensor] = []
        self._targets: list[Any] = []
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            for frames, label in zip(
                plain_batches(training.frames[chosen], 1), labels, strict=True
            ):
                taken = training.to_float(frames.to(device))
                prepared, target = task.prepare(taken, label[None].to(device))
                inputs.append(prepared)
                self._targets.append(target)
        self._batches = torch.cat(inputs, 1).split(BATCH, 1)

    def losses(self, model: nn.Module) -> NDArray[np.float64]:
        """The task's loss of every sample ``[n]``.

        Raises:
            FloatingPointError: a frame, the input of a neuron or a logit is NaN or infinite.
        """
        parts: list[Tensor] = []
        with torch.no_grad(), NeuronWatch(model) as watch:
            for batch in self._batches:
                parts.append(model(batch))
                watch.end_batch("scoring")
            logits = torch.cat(parts).double()
            if not bool(torch.isfinite(logits).all()):
                raise FloatingPointError("the network's output is not finite in scoring.")
            every = [
                self._task.loss(one, target, self._label_smoothing)
                for one, target in zip(logits.split(1), self._targets, strict=True)
            ]
        return np.asarray(torch.stack(every).double().cpu().numpy())
