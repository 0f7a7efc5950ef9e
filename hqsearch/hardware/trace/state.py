"""What the parts of one trace share: facts about tensors, operations, where the network is."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from hqsearch.hardware.rates import Uses
from hqsearch.hardware.trace.operations import OperationTotals, TracedOperations
from hqsearch.hardware.trace.tags import Tag


class TraceState:
    """The state of one trace.

    tags: tensor -> its :class:`Tag`, as long as the tensor lives.
    operations: what was traced so far.
    problems: what the trace does not know, in words.
    scopes: the modules that are running, outermost first: path, and how often each kind of
        operation without a module occurred in this call of it.
    """

    def __init__(self, timesteps: int, samples: int) -> None:
        self.timesteps, self.samples = timesteps, samples
        self.tags: Any = WeakTensorKeyDictionary()
        self.operations = TracedOperations(timesteps, samples)
        self.problems: list[str] = []
        self.scopes: list[tuple[str, Counter[str]]] = [("", Counter())]

    def input_tag(self, path: str, x: Tensor) -> Tag | None:
        """The tag of the module's input ``x``; a missing one is a problem."""
        tag: Tag | None = self.tags.get(x)
        if tag is None:
            self.problems.append(f"the input of {path!r} could not be followed")
        return tag

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
