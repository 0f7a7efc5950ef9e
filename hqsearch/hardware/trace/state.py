"""What the parts of one trace share: facts about tensors, operations, where the network is."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from hqsearch.hardware.rates import Uses
from hqsearch.hardware.trace.operations import OperationTotals, TracedOperations
from hqsearch.hardware.trace.tags import TensorTag


class TraceState:
    """The state of one trace.

    tags: tensor -> its :class:`TensorTag`, as long as the tensor lives.
    operations: what was traced so far.
    problems: what the trace does not know, in words.
    scopes: the modules that are running, outermost first: path, and how often each kind of
        operation without a module occurred in this call of it.
    owners: weight, by identity, → the first layer that has it.
    fixed: parameters of weight layers outside the modules that are searched.
    """

    def __init__(self, timesteps: int, samples: int) -> None:
        self.timesteps, self.samples = timesteps, samples
        self.tags: Any = WeakTensorKeyDictionary()
        self.operations = TracedOperations(timesteps, samples)
        self.problems: list[str] = []
        self.scopes: list[tuple[str, Counter[str]]] = [("", Counter())]
        self.fixed: list[Tensor] = []
        self.owners: dict[int, str] = {}
        self._written: dict[int, tuple[Any, TensorTag]] = {}

    def input_tag(self, path: str, x: Tensor) -> TensorTag | None:
        """The tag of the module's input ``x``; a missing one is a problem."""
        tag = self.tag_of(x)
        if tag is None:
            self.problems.append(f"the input of {path!r} could not be followed{user_line()}")
        return tag

    def tag_of(self, x: Tensor) -> TensorTag | None:
        """The tag of ``x``, or of what was written into its memory."""
        tag: TensorTag | None = self.tags.get(x)
        if tag is None and self._written:
            written = self._written.get(_memory(x))
            if written is not None:
                tag = written[1].read_as(x.shape, self.timesteps, self.samples)
        return tag

    def write(self, target: Tensor, tag: TensorTag) -> None:
        """``target`` is memory that something followed was written into."""
        before = self._written.get(_memory(target))
        # The storage itself is kept: its identity says nothing once it is gone.
        merged = tag if before is None else before[1].with_written(tag)
        self._written[_memory(target)] = (target.untyped_storage(), merged)

    def unfollowed(self, x: Tensor) -> TensorTag:
        """What is taken for granted of values that could not be followed: they are real."""
        single = x.ndim > 0 and x.shape[0] == self.samples != self.timesteps * self.samples
        return TensorTag("real", "other", 1 if single else self.timesteps)

    def operation_path(self, what: str) -> str:
        """Path for an operation that is no module: where it happens, and a number from 2 on.

        ``block.add``, ``block.add_2``, …
        """
        path, counts = self.scopes[-1]
        counts[what] += 1
        suffix = f"_{counts[what]}" if counts[what] > 1 else ""
        return f"{path}.{what}{suffix}" if path else f"{what}{suffix}"

    def measure(
        self, totals: OperationTotals, values: Tensor, unit: float, uses: Uses | None = None
    ) -> None:
        """Add the firing rate of ``values`` (none on the meta device); ``uses`` as in RateSum."""
        if not values.is_meta:
            totals.rates.add(values, self.timesteps, self.samples, unit, uses=uses)


def user_line() -> str:
    """`` (file.py:12)`` of the innermost line that is neither torch's nor hqsearch's."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_NOT_THE_USERS) and not name.startswith("<"):
            return f" ({Path(name).name}:{frame.f_lineno})"
        if frame.f_back is None:
            return ""
        frame = frame.f_back
    return ""


#: Folders whose lines say nothing to whoever wrote a network.
_NOT_THE_USERS = (
    str(Path(torch.__file__).parent),
    *(str(Path(__file__).parents[n] / room) for n, room in ((1, ""), (2, "qat"), (2, "study"))),
)


def _memory(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
