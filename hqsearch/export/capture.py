"""What is known so far of a network that runs once, from which its graph of integers is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from hqsearch.errors import ExportError
from hqsearch.export.graph import Graph, Node, Value
from hqsearch.export.layers import StoredLayer
from hqsearch.export.values import Captured, Floats, Integers, Layout, Tag

Constants = npt.NDArray[np.int32]


class Capture:
    """What is known so far of a network that runs.

    stored: every weight layer as it is stored. nodes: may still lack the strides of products, which
    ``finish`` adds. weights: integers of each layer, and their unit. constants: by the value that a
    node writes; see ``IntegerNetwork``. digits: bits behind the point of what is rescaled.
    """

    def __init__(self, timesteps: int, stored: Mapping[str, StoredLayer], digits: int) -> None:
        self.timesteps, self.stored, self.digits = timesteps, stored, digits
        self.tags: Any = WeakTensorKeyDictionary()
        self.values: list[Captured] = []
        self.nodes: list[Node] = []
        self.finish: dict[int, Callable[[Node], Node]] = {}
        self.weights: dict[str, tuple[Integers, Floats]] = {}
        self.constants: dict[int, tuple[Constants, Constants]] = {}
        self.scopes: list[tuple[str, Counter[str]]] = [("", Counter())]
        self._shapes: dict[str, tuple[int, ...]] = {}
        self.rescaled: dict[tuple[Any, ...], Tag] = {}

    @property
    def scope(self) -> str:
        """The module that is running, for messages."""
        path = self.scopes[-1][0]
        return repr(path) if path else "the network itself"

    def new_value(
        self,
        layout: Layout,
        low: Integers,
        high: Integers,
        steps: int,
        layer: str | None = None,
    ) -> Captured:
        """One more value."""
        value = Captured(len(self.values), layout, low, high, steps, layer)
        self.values.append(value)
        return value

    def read(self, tensor: Tensor, where: str) -> Tag:
        """The tag of a tensor that something reads.

        Raises:
            ExportError: it could not be followed.
        """
        tag: Tag | None = self.tags.get(tensor)
        if tag is None:
            raise ExportError(
                f"the input of {where!r} does not come from the frames by operations that have "
                "an integer form."
            )
        return tag

    def operation(self, what: str, shape: tuple[int, ...]) -> str:
        """Path of an operation that is no module, as the cost model's trace names it."""
        path, counts = self.scopes[-1]
        counts[what] += 1
        suffix = f"_{counts[what]}" if counts[what] > 1 else ""
        return self.distinct(f"{path}.{what}{suffix}" if path else f"{what}{suffix}", shape)

    def distinct(self, path: str, shape: tuple[int, ...]) -> str:
        """``path``, or ``path@2`` … where it serves another shape, as the trace names it."""
        base, count = path, 1
        while self._shapes.setdefault(path, shape) != shape:
            count += 1
            path = f"{base}@{count}"
        return path

    def finished(self) -> Graph:
        """The graph, once everything ran."""
        for value in self.values:
            if value.layout.shape is None:
                value.layout.fix((value.layout.size,), None)
        values = tuple(Value(v.layout.shape or (), v.levels, v.signed) for v in self.values)
        nodes = tuple(
            self.finish[node.output](node) if node.output in self.finish else node
            for node in self.nodes
        )
        return Graph(self.timesteps, values, nodes)
