"""One call of an ATen operation, as handlers of a trace see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hqsearch.hardware.trace.state import TraceState
from hqsearch.hardware.trace.tags import TensorTag


@dataclass(frozen=True)
class TensorCall:
    """One call of an ATen operation.

    operands: its tensor arguments; tags: those of the operands that are followed.
    x: the first operand that is followed. results: its tensor results, at least one.
    """

    name: str
    args: Sequence[Any]
    operands: Sequence[Tensor]
    tags: Sequence[TensorTag]
    x: Tensor
    results: Sequence[Tensor]

    @property
    def tag(self) -> TensorTag:
        """Tag of ``x``."""
        return self.tags[0]

    @property
    def result(self) -> Tensor:
        """The first result."""
        return self.results[0]

    def all(self, tag: TensorTag) -> list[TensorTag]:
        """The same tag for every result."""
        return [tag] * len(self.results)


#: Adds what a call costs and gives the tags of its results, None for a result whose values are
#: no function of the operands; None altogether: it does not know the call.
Handler = Callable[[TraceState, TensorCall], Any]
