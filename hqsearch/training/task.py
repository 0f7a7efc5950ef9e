"""What a network is trained for, and what it is measured by: classification, or a user's own.

A study names its own with ``[evaluation] task = "file.py:Task"``: a class that derives from
:class:`Task` and overrides what differs.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from hqsearch.errors import PluginError
from hqsearch.problem.objective import ACCURACY, ENERGY, STORAGE, Direction, Objective

#: Names that mean something else in a study.
_TAKEN = frozenset({
    ENERGY.name, STORAGE.name, "average_bits", "energy_estimate", "number", "state", "run",
    "strategy", "kind", "copy_of", "seed", "seconds", "source",
})  # fmt: skip


class Task:
    """Classification: cross-entropy, and the share of samples whose largest logit is right.

    What it measures is an objective of the study, by the name of :attr:`metric`: a score for each
    sample, and what :meth:`summary` makes of them, with its standard error.

    Attributes:
        metric: the objective's name, ``accuracy`` by default.
        unit: of the metric; a ``fraction`` lies from 0 to 1 and is shown in per cent.
        direction: ``max`` where more of it is better, ``min`` where less is.
    """

    metric: str = ACCURACY.name
    unit: str = ACCURACY.unit
    direction: Direction = ACCURACY.direction

    @property
    def objective(self) -> Objective:
        """What the study optimizes: name, unit and direction of the metric.

        Raises:
            PluginError: one of them cannot be an objective's.
        """
        name, where = self.metric, f"task {type(self).__name__}"
        if not isinstance(name, str) or re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is None:
            raise PluginError(f"{where}: metric = {name!r} is no name of letters, digits and _")
        if name in _TAKEN or name.endswith("_se"):
            raise PluginError(f"{where}: metric = {name!r} is the name of something else")
        if not isinstance(self.unit, str) or not self.unit.isprintable():
            raise PluginError(f"{where}: unit = {self.unit!r} is no text")
        if self.direction not in ("max", "min"):
            raise PluginError(f"{where}: direction = {self.direction!r}; expected 'max' or 'min'")
        if name != ACCURACY.name:
            return Objective(name, self.unit, self.direction)
        if (self.unit, self.direction) != (ACCURACY.unit, ACCURACY.direction):
            raise PluginError(
                f"{where}: accuracy is a fraction to be maximised; give another metric its own name"
            )
        return ACCURACY

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
        """Of each sample ``[N]``, finite; of a fraction from 0 (wrong) to 1 (right)."""
        right: Tensor = output.argmax(1) == target
        return right

    def summary(self, scores: NDArray[np.float64]) -> tuple[float, float]:
        """The metric and its standard error, from the scores ``[n]`` of a whole split.

        Their mean by default. A metric that is no mean (F1, a correlation) overrides it.
        """
        if self.unit == ACCURACY.unit:
            return mean_score(scores)
        error = scores.std(ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else 0.0
        return float(scores.mean()), float(error)

    @property
    def is_share(self) -> bool:
        """Whether the metric is the mean of fractions: where samples are right or wrong, two
        networks can then be compared sample by sample."""
        return self.unit == ACCURACY.unit and type(self).summary is Task.summary

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


def summarized(task: Task, scores: NDArray[np.float64]) -> tuple[float, float]:
    """What a task's :meth:`Task.summary` makes of scores, looked at.

    Raises:
        ValueError: it is no finite number with a standard error of 0 or more, or no fraction.
    """
    value, error = map(float, task.summary(scores))
    where = f"the task's summary: {task.metric} {value:g} ± {error:g}"
    if not (np.isfinite(value) and np.isfinite(error)) or error < 0:
        raise ValueError(f"{where}, and finite numbers are needed")
    if task.unit == ACCURACY.unit and not 0 <= value <= 1:
        raise ValueError(f"{where}, and a fraction lies from 0 to 1")
    return value, error


def checked_scores(
    scores: Tensor, samples: int, task: Task = CLASSIFICATION
) -> NDArray[np.float64]:
    """Scores of a batch as float64 ``[n]``.

    Raises:
        ValueError: another number of them, or one that is not finite; of a fraction that is a
            mean, one outside 0 … 1.
    """
    values = np.asarray(scores.detach().cpu().double().numpy())
    if values.shape != (samples,):
        raise ValueError(f"the task's scores are {list(values.shape)}, not one for each sample")
    if not np.isfinite(values).all():
        raise ValueError("the task's scores must be finite")
    if task.is_share and (values.min() < 0 or values.max() > 1):
        raise ValueError(
            "the task's scores must lie from 0 to 1, for its metric is a fraction; another one "
            'says so: unit = "…"'
        )
    return values
