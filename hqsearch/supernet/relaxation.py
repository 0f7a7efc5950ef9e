"""The second protocol of evaluators: a differentiable stand-in that a supernet can train.

An evaluator whose ``strategy_tasks`` holds ``"supernet"`` builds a :class:`Relaxation` of itself
and hands it to :func:`hqsearch.supernet.train.run_supernet`. Every dimension of its space gets a
vector of the probability simplex instead of one value (the *mixture*: a Gumbel-softmax sample),
and the relaxation says what the loss and the costs are at such a point.

The bi-level scheme (weights on the training part, logits on a held-out part of the *training*
split) is that of DARTS (Liu et al. 2019, arXiv 1806.09055), first order; sampling is that of
FBNet (Wu et al. 2019, arXiv 1812.03443). How SpikeHQ does it in detail is not published, so
this is a reconstruction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from torch import Tensor

from hqsearch.training.finite import require_finite_tensors

#: What a step teaches: the network's weights, or the logits of the choices.
Learn = Literal["weights", "logits"]


class Relaxation(ABC):
    """A differentiable stand-in for an evaluator: what the supernet trains.

    Guarantees that an implementation gives:

    * a one-hot mixture means the candidate that it stands for: its costs are the evaluator's
      cheap metrics, its loss that of a network with these choices;
    * batches, and everything else random, come from (seed, epoch) alone, so that a training
      that was cut off goes on bit for bit;
    * the validation and test splits are never touched.
    """

    #: Number of values per dimension of the space, in its order; 1 for structural dimensions.
    choices: tuple[int, ...]
    #: Columns of :meth:`costs`: names among the evaluator's ``metrics``.
    metrics: tuple[str, ...]

    def named_parameters(self) -> dict[str, Tensor]:
        """Trained weights by name: leaf tensors that require a gradient. May be empty."""
        return {}

    def no_decay(self) -> frozenset[str]:
        """Names of the weights without weight decay: norms, biases, scales."""
        return frozenset()

    @abstractmethod
    def weight_batches(self, epoch: int) -> Iterator[Any]:
        """The training split without its held-out part, shuffled from (seed, epoch)."""

    def weight_steps(self) -> int:
        """How many batches :meth:`weight_batches` yields; counted unless overridden."""
        return sum(1 for _ in self.weight_batches(0))

    @abstractmethod
    def logit_batches(self, epoch: int) -> Iterator[Any]:
        """The held-out part, likewise. The trainer cycles through it where it is shorter."""

    @abstractmethod
    def loss(self, mixture: Sequence[Tensor], batch: Any, learn: Learn) -> Tensor:
        """The task's loss, a scalar.

        Args:
            mixture: per dimension a vector ``[n_choices]`` of the simplex, float32 on the CPU.
                Detached where weights learn; exactly one-hot where samples are hard.
            batch: of :meth:`weight_batches` or :meth:`logit_batches`.
            learn: ``"weights"``: training mode, batch norm statistics are updated.
                ``"logits"``: weights get no gradient and no state changes, running batch norm
                statistics included.
        """

    @abstractmethod
    def costs(self, mixture: Sequence[Tensor]) -> Tensor:
        """Expected costs ``[n_metrics]``, differentiable, as fractions of the fp32 network's."""

    def end_epoch(self, epoch: int, mixture: Sequence[Tensor]) -> dict[str, Any]:
        """Refresh what costs rest on (firing rates); JSON-able facts for the history.

        ``mixture`` holds the selection probabilities after the epoch.
        """
        return {}

    def require_finite(self, when: str) -> None:
        """Refuse to go on with what is no number; ``when`` ends the sentence.

        Raises:
            FloatingPointError: names the first tensor that is NaN or infinite.
        """
        require_finite_tensors(self.named_parameters(), when)

    def state(self) -> dict[str, Tensor]:
        """Everything that training changes besides optimizers and logits."""
        return {}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:  # noqa: B027 - nothing to load
        """Inverse of :meth:`state`."""
