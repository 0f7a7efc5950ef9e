"""What a network is trained for, and what it is measured by: classification, or a user's own.

A study names its own with ``[evaluation] task = "file.py:Task"``: a class that derives from
:class:`Task` and overrides what differs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


class Task:
    """Classification: cross-entropy, and the share of samples whose largest logit is right.

    What it measures is recorded as the objective ``accuracy``, which is maximised: a score from 0
    to 1 for each sample, their mean and its standard error.

    Attributes:
        metric: what the score is, for people.
    """

    metric: str = "accuracy"

    def prepare(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Any]:
        """A batch as the network and the loss get it.

        Args:
            inputs: frames ``[T, N, C, H, W]`` as floats.
            labels: int64 ``[N]``.

        Returns:
            The network's input, of the same shape, and the target of :meth:`loss` and
            :meth:`scores`.
        """
        return inputs, labels

    def loss(self, output: Tensor, target: Any, label_smoothing: float = 0.0) -> Tensor:
        """What training lowers: a scalar, the mean over the batch.

        Layer scores ask for it sample by sample, of batches of one.
        """
        return F.cross_entropy(output, target, label_smoothing=label_smoothing)

    def scores(self, output: Tensor, target: Any) -> Tensor:
        """Of each sample ``[N]``, from 0 (wrong) to 1 (right)."""
        right: Tensor = output.argmax(1) == target
        return right

    def refused(self, output: Any, samples: int, classes: int) -> str | None:
        """What is wrong with what a network returns for a batch; None where nothing is."""
        wanted = f"logits [N, classes] = [{samples}, {classes}]"
        if not isinstance(output, Tensor):
            found = f"a {type(output).__name__}"
            if isinstance(output, tuple | list):
                shapes = [str(list(o.shape)) for o in output if isinstance(o, Tensor)]
                found += f" of {len(output)} ({', '.join(shapes)})"
            return (
                f"returns {found}, and {wanted} are needed: return the logits alone, or set "
                '[model] readout = "mean" to take its first tensor, averaged over time'
            )
        if tuple(output.shape) == (samples, classes):
            return None
        if output.ndim == 3 and tuple(output.shape[1:]) == (samples, classes):
            return (
                f"returns {list(output.shape)}, logits of every timestep, and {wanted} are needed: "
                "average or sum them over time (output.mean(0)), or set [model] readout = "
                '"mean", "sum" or "last"'
            )
        return f"returns {list(output.shape)}, and {wanted} are needed"


#: What every study does that does not say otherwise.
CLASSIFICATION = Task()


def mean_score(scores: NDArray[np.float64]) -> tuple[float, float]:
    """Mean of scores ``[n]`` and its standard error, at least one sample's worth.

    >>> mean_score(np.array([1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]))
    (0.5, 0.17677669529663687)
    >>> mean_score(np.array([1.0, 1.0, 1.0, 1.0]))
    (1.0, 0.25)
    """
    n = len(scores)
    error = float(scores.std() / np.sqrt(n))
    return float(scores.mean()), max(float(error), 1.0 / n)


def checked_scores(scores: Tensor, samples: int) -> NDArray[np.float64]:
    """Scores of a batch as float64 ``[n]``.

    Raises:
        ValueError: another number of them, or one outside 0 … 1.
    """
    values = np.asarray(scores.detach().cpu().double().numpy())
    if values.shape != (samples,):
        raise ValueError(f"the task's scores are {list(values.shape)}, not one for each sample")
    if not bool(torch.isfinite(scores.double()).all()) or values.min() < 0 or values.max() > 1:
        raise ValueError("the task's scores must lie from 0 to 1")
    return values
