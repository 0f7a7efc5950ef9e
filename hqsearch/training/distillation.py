"""Learning from a teacher of the same shape: its logits, or its similarity patterns of q, k and v.

``logits`` is Hinton et al. 2015 (arXiv 1503.02531). ``fine-grained`` reconstructs the fine-grained
distillation of QSD-Transformer, whose code is not public: for each block, head and each of q, k and
v, the spikes ``s`` [L, d] of the L tokens give the pattern ``s s^T``, each row divided by its
length (Tung & Mori, ICCV 2019, arXiv 1907.09682), and the squared distance of the student's rows
from the teacher's is added to the loss. The gradient goes through the student's neurons.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqsearch.errors import DefinitionError
from hqsearch.models.attention import AttentionProducts, by_head

Distilled = Literal["logits", "fine-grained"]

#: Temperature of logits, and the part of the loss that is the teacher's.
TEMPERATURE = 2.0
LOGITS_SHARE = 0.7
#: Weight of the patterns' mean squared distance, which is 0 to 2 for a row. Right after
#: quantization of study ``gesture``'s parent (2u, 4u, 2l, 4l) the distance is 0.32 to 0.43 and the
#: cross-entropy in training mode 0.21 to 0.48: so the patterns start at about a tenth of it.
PATTERN_WEIGHT = 0.1
#: Added under the root of a row's length: rows of silent tokens stay zero, their gradient small.
_SOFT = 1e-3


class Teacher:
    """Adds to a student's loss what it can learn from a teacher, while it is entered.

    Without a gradient of its own, in evaluation mode. It keeps nothing from batch to batch, so that
    a training goes on from a checkpoint bit for bit.

    Args:
        network: the teacher, on the student's device; it is put in evaluation mode.
        student: of the same shape.
        kind: what is learned.

    Raises:
        DefinitionError: ``fine-grained`` of networks without attention, or of two shapes.
    """

    def __init__(self, network: nn.Module, student: nn.Module, kind: Distilled) -> None:
        self._network = network.eval()
        self._taught = self._learned = None
        if kind == "fine-grained":
            require_alike(network, student)
            self._taught, self._learned = _Patterns(network), _Patterns(student)

    def __enter__(self) -> Teacher:
        for watched in (self._taught, self._learned):
            if watched is not None:
                watched.watch()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for watched in (self._taught, self._learned):
            if watched is not None:
                watched.forget()

    def loss(self, loss: Tensor, inputs: Tensor, logits: Tensor) -> Tensor:
        """The student's ``loss`` of ``logits`` ``[N, classes]``, and what the teacher adds.

        Right after the student ran on ``inputs`` ``[T, N, ...]``.
        """
        with torch.no_grad():
            right = self._network(inputs)
        if self._taught is not None and self._learned is not None:
            apart = pattern_distance(self._learned.take(), self._taught.take())
            return loss + PATTERN_WEIGHT * apart
        soft = F.kl_div(
            F.log_softmax(logits / TEMPERATURE, 1),
            F.log_softmax(right / TEMPERATURE, 1),
            reduction="batchmean",
            log_target=True,
        )
        return (1.0 - LOGITS_SHARE) * loss + LOGITS_SHARE * TEMPERATURE**2 * soft


def pattern_distance(student: list[Tensor], teacher: list[Tensor]) -> Tensor:
    """Mean squared distance of the rows of two networks' patterns, a scalar from 0 to 2.

    Args:
        student: spikes of every block and of each of q, k and v, ``[M * heads, L, d]``.
        teacher: the same of the teacher.

    Raises:
        DefinitionError: other tokens or heads.
    """
    for one, other in zip(student, teacher, strict=True):
        if one.shape[:2] != other.shape[:2]:
            raise DefinitionError(
                "distillation = 'fine-grained' needs a teacher of the student's shape: the "
                f"teacher has {other.shape[1]} tokens, the student {one.shape[1]}."
            )
    apart = [
        (_pattern(one) - _pattern(other)).square().sum(-1).mean()
        for one, other in zip(student, teacher, strict=True)
    ]
    return torch.stack(apart).mean()


def require_alike(teacher: nn.Module, student: nn.Module) -> None:
    """Refuse two networks whose patterns cannot be compared.

    Raises:
        DefinitionError: no spiking attention, or attention of two shapes, both named.
    """
    shapes = [_attention_shape(network) for network in (teacher, student)]
    if not shapes[1]:
        raise DefinitionError(
            "distillation = 'fine-grained' compares q, k and v of spiking attention, and this "
            "network has none that is known (hqsearch.models.attention.AttentionProducts); "
            "use distillation = 'logits' or 'none'."
        )
    if shapes[0] != shapes[1]:
        raise DefinitionError(
            "distillation = 'fine-grained' needs a teacher of the student's shape: the teacher has "
            f"{_words(shapes[0])}, the student {_words(shapes[1])}."
        )


class _Patterns:
    """q, k and v of every attention of a network, as it last ran."""

    def __init__(self, network: nn.Module) -> None:
        self._modules = _attentions(network)
        self._seen: list[Tensor] = []
        self._hooks: list[Any] = []

    def watch(self) -> None:
        for module in self._modules:
            self._hooks.append(module.register_forward_pre_hook(self._hook))

    def forget(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._seen.clear()

    def take(self) -> list[Tensor]:
        """What was seen since the last time."""
        seen, self._seen = self._seen, []
        return seen

    def _hook(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        assert isinstance(module, AttentionProducts)
        self._seen += [by_head(spikes, module.heads) for spikes in args]


def _pattern(spikes: Tensor) -> Tensor:
    """Similarities ``[M * heads, L, L]`` of tokens, each row of length 1 (0 for a silent one)."""
    similar = torch.bmm(spikes, spikes.transpose(1, 2))
    return similar * (similar.square().sum(-1, keepdim=True) + _SOFT).rsqrt()


def _attentions(network: nn.Module) -> list[AttentionProducts]:
    return [m for m in network.modules() if isinstance(m, AttentionProducts)]


def _attention_shape(network: nn.Module) -> list[int]:
    """Heads of every attention, in order."""
    return [module.heads for module in _attentions(network)]


def _words(heads: list[int]) -> str:
    return f"{len(heads)} attention blocks of {', '.join(map(str, sorted(set(heads)))) or 0} heads"
