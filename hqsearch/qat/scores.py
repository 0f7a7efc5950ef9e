"""Free knowledge: by how much every choice of every dimension alone raises the parent's loss.

Post-training quantization of one dimension at a time, nothing else changed, on a small seeded
part of the training split; validation and test are not read. Differences are paired by sample,
which makes their standard errors small. It is the score of HAWQ-like methods, measured instead
of expanded to second order; quantization-aware training regains much of what it shows as lost,
so it ranks layers better than it predicts accuracies.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
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

#: Training samples that are scored on, and how many run at a time.
SAMPLES = 128
BATCH = 64


def score_part(part: Part, space: Space, seed: int) -> ScoresResult:
    """:func:`score_choices` of the prepared parent of a structural part, on a worker."""
    torch.set_num_threads(part.study.options.threads)
    return score_choices(part.parent(), space, part.samples("train"), seed, part.study.device)


def score_choices(
    model: nn.Module, space: Space, training: Samples, seed: int, device: str = "cpu"
) -> ScoresResult:
    """Scores of every dimension that stands for weight layers.

    Args:
        model: the fp32 parent; it comes back as it was, but for pinned layers.
        space: which layers may be stored how.
        training: the training split.
        seed: of the samples drawn.
        device: to run on.

    Returns:
        In nats of mean cross-entropy.

    Raises:
        FloatingPointError: a frame, the input of a neuron or a logit is NaN or infinite.
    """
    count = min(SAMPLES, len(training))
    chosen = np.sort(np.random.default_rng(seed).choice(len(training), count, replace=False))
    batches = [training.to_float(b) for b in plain_batches(training.frames[chosen], BATCH)]
    target = torch.from_numpy(np.asarray(training.labels, np.int64)[chosen])
    quantize_model(model, dict(space.pinned))
    model.to(device).eval()
    parent = _losses(model, batches, target, device)
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
                change = _losses(model.to(device), batches, target, device) - parent
                for path in dimension.layers:
                    parametrize.remove_parametrizations(
                        modules[path], "weight", leave_parametrized=False
                    )
            scores[dimension.name][value] = float(change.mean())
            errors[dimension.name][value] = float(change.std() / np.sqrt(count))
    loss = float(parent.mean())
    return ScoresResult(scores=scores, standard_errors=errors, samples=count, loss=loss)


def _losses(
    model: nn.Module, batches: list[Tensor], target: Tensor, device: str
) -> NDArray[np.float64]:
    """Cross-entropy of every sample ``[n]``.

    Raises:
        FloatingPointError: a frame, the input of a neuron or a logit is NaN or infinite.
    """
    parts: list[Tensor] = []
    with torch.no_grad(), NeuronWatch(model) as watch:
        for batch in batches:
            parts.append(model(batch.to(device)).cpu())
            watch.end_batch("scoring")
    logits = torch.cat(parts).double()
    if not bool(torch.isfinite(logits).all()):
        raise FloatingPointError("the network's output is not finite in scoring.")
    return np.asarray(F.cross_entropy(logits, target, reduction="none").numpy())
