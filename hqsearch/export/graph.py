"""The integer nodes that a network is made of, and their JSON.

A graph is a list of nodes in the order of execution. Each reads values by number and writes one.
A value holds integers ``[*shape]`` for one sample and one timestep, channels first; value 0 is the
frame. Nodes up to a :class:`TimeSum` run in every timestep, those behind it once.

==============  ==================================================================================
Layer           a Conv1d, Conv2d or Linear: sums of its integer weights; padding adds nothing
Neuron          a leaky integrate-and-fire neuron with hard reset to 0, or an integer neuron that
                keeps nothing, which has taken in the scale, the bias and the normalisation before
                it; spikes, or counts of unit spikes
Rescale         times a factor per channel, plus an offset, in fixed point: what no neuron has
                fired on, where it is added up or read by a layer
Add             element by element
Pool            largest value, or sum, of a window (an average is a sum in smaller units)
Product         products of two activations, of attention: ``out[h] = left[h] @ right[h]``
SpaceSum        sum over all positions of a channel
TimeSum         sum over all timesteps
Logits          sums times a factor per class, plus an offset, in fixed point
==============  ==================================================================================

``path`` is that of the operation in the cost model's workload, so that counts can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Final

from hqsearch.errors import DefinitionError

#: Raised when the meaning of a node changes. The first one had neurons of binary spikes alone, and
#: no :class:`Rescale`.
GRAPH_VERSION: Final = 2
#: What is read, too.
EARLIER: Final = (1,)
#: What its neurons were.
_ABSENT: Final = {"levels": 1, "rest": 0}


@dataclass(frozen=True, slots=True)
class Value:
    """Integers of one sample and one timestep, ``[*shape]``, channels first.

    levels: no value is larger in magnitude. signed: whether values may be negative.
    """

    shape: tuple[int, ...]
    levels: int
    signed: bool = False

    @property
    def channels(self) -> int:
        """Size of the first axis."""
        return self.shape[0]

    @property
    def positions(self) -> int:
        """Product of the other axes."""
        return math.prod(self.shape[1:])

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window over two axes, (rows, columns); one axis is a row."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Node:
    """What every node has: the operation's path, the values it reads, the one it writes."""

    kind: ClassVar[str]
    path: str
    inputs: tuple[int, ...]
    output: int


@dataclass(frozen=True, slots=True)
class Layer(Node):
    """Integer weights ``[O, I / groups, rows, columns]``; a Linear has a window of 1 × 1.

    read: rows and columns of its input, as it reads them. flat: a Linear that reads all of an
    image flattened, as torch does, and so one row and column.
    """

    kind = "layer"
    layer: str
    choice: str
    weights: tuple[int, int, int, int]
    groups: int
    window: Window
    read: tuple[int, int]
    flat: bool


@dataclass(frozen=True, slots=True)
class Neuron(Node):
    """Membrane potential M in units of 2^-(leak·T + fraction) of a sum::

        M = M - M / 2^leak + (sum << (leak·T + fraction - leak))
                           + (bias << (leak·T - leak + bias_shift))
        fires where M >= threshold << threshold_shift, or <= where the threshold is negative

    This is exact: M divides evenly in each of T steps. ``bits`` is the width of M, 32 or 64. With
    ``levels`` above 1, or ``rest``, M is not averaged (``leak`` is 0) and the output m counts
    thresholds: the j with M >= (2j - 1) (threshold << threshold_shift), j = 1 … levels. With
    ``rest`` the next step begins with (M - 2 m (threshold << threshold_shift)) >> rest, else
    with 0.
    Thresholds and biases are one for each channel, or one for all; those of a neuron that took in a
    stored layer, ``layer``, are stored with it, else ``layer`` is empty.
    """

    kind = "neuron"
    layer: str
    leak: int
    fraction: int
    threshold_shift: int
    bias_shift: int
    bits: int
    levels: int = 1
    rest: int = 0

    @property
    def counts(self) -> bool:
        """Whether it is an integer neuron."""
        return self.levels > 1 or self.rest > 0

    @property
    def keeps(self) -> bool:
        """Whether it has a membrane."""
        return not self.counts or self.rest > 0


@dataclass(frozen=True, slots=True)
class Rescale(Node):
    """``(value * factor + (offset << offset_shift) + 2^(shift - 1)) >> shift``: the nearest one,
    half upwards. Factors and offsets are one for each channel, or one for all.
    """

    kind = "rescale"
    shift: int
    offset_shift: int


@dataclass(frozen=True, slots=True)
class Add(Node):
    """``left + right``."""

    kind = "add"


@dataclass(frozen=True, slots=True)
class Pool(Node):
    """The largest value of each window (``largest``), else the sum; padding is left out."""

    kind = "pool"
    window: Window
    read: tuple[int, int]
    largest: bool


@dataclass(frozen=True, slots=True)
class Product(Node):
    """``out[h, i, j] = sum over d of left[h, i, d] * right[h, d, j]``.

    sizes: heads, rows i, depth d, columns j. Strides are for (h, i, d), (h, d, j) and (h, i, j)
    over the values in memory, where all channels of a position lie together. gate: the operand (0
    or 1) whose zeros are skipped.
    """

    kind = "product"
    sizes: tuple[int, int, int, int]
    left: tuple[int, int, int]
    right: tuple[int, int, int]
    out: tuple[int, int, int]
    gate: int


@dataclass(frozen=True, slots=True)
class SpaceSum(Node):
    """``[C, …]`` to ``[C]``."""

    kind = "space_sum"


@dataclass(frozen=True, slots=True)
class TimeSum(Node):
    """All timesteps to one."""

    kind = "time_sum"


@dataclass(frozen=True, slots=True)
class Logits(Node):
    """``logit = (value * factor + (offset << offset_shift)) / 2^shift``, one factor and offset for
    each class.
    """

    kind = "logits"
    shift: int
    offset_shift: int


KINDS: Final[Mapping[str, type[Node]]] = {
    cls.kind: cls for cls in (Layer, Neuron, Rescale, Add, Pool, Product, SpaceSum, TimeSum, Logits)
}


@dataclass(frozen=True)
class Graph:
    """A network of integers.

    nodes: in the order of execution; the last one is :class:`Logits`. values: by number, value 0
    is the frame.
    """

    timesteps: int
    values: tuple[Value, ...]
    nodes: tuple[Node, ...]

    @property
    def classes(self) -> int:
        """Number of logits."""
        return self.values[self.nodes[-1].output].size

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The weight layers, in the order of execution."""
        return tuple(node for node in self.nodes if isinstance(node, Layer))

    @property
    def neurons(self) -> tuple[Neuron, ...]:
        """The neurons, in the order of execution."""
        return tuple(node for node in self.nodes if isinstance(node, Neuron))

    def split(self) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
        """Nodes that run in every timestep (sums over time among them), and those behind."""
        late: set[int] = set()
        every: list[Node] = []
        once: list[Node] = []
        for node in self.nodes:
            after = isinstance(node, Logits) or bool(late.intersection(node.inputs))
            (once if after else every).append(node)
            if after or isinstance(node, TimeSum):
                late.add(node.output)
        return tuple(every), tuple(once)

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``."""
        return {
            "version": GRAPH_VERSION,
            "timesteps": self.timesteps,
            "values": [asdict(value) for value in self.values],
            "nodes": [{"kind": node.kind, **asdict(node)} for node in self.nodes],
        }

    @classmethod
    def from_json(cls, data: Any) -> Graph:
        """Read what :meth:`to_json` gave.

        Raises:
            DefinitionError: the data is no graph, is of a newer version, or its nodes do not fit
                together.
        """
        if isinstance(data, Mapping) and data.get("version") not in (*EARLIER, GRAPH_VERSION):
            raise DefinitionError(
                f"this graph is of version {data.get('version')!r}; this hqsearch reads version "
                f"{GRAPH_VERSION}. Install the version that wrote it, or export again."
            )
        try:
            values = tuple(
                Value(_whole_numbers(item["shape"]), int(item["levels"]), bool(item["signed"]))
                for item in data["values"]
            )
            nodes = tuple(_node(item) for item in data["nodes"])
            graph = cls(int(data["timesteps"]), values, nodes)
            graph._check()
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise DefinitionError(
                f"this is no graph of hqsearch ({type(error).__name__}: {error}); export again."
            ) from error
        return graph

    def _check(self) -> None:
        """Every value is written once, before it is read.

        Raises:
            ValueError: what is wrong.
        """
        if self.timesteps < 1 or not self.nodes or not isinstance(self.nodes[-1], Logits):
            raise ValueError("a graph has timesteps and nodes, the last of which gives logits")
        if any(min(value.shape, default=0) < 1 or value.levels < 0 for value in self.values):
            raise ValueError("a value without elements")
        written = {0}
        for node in self.nodes:
            if not written.issuperset(node.inputs) or node.output in written:
                raise ValueError(f"node {node.path!r} reads or writes a value out of turn")
            written.add(node.output)
        if written != set(range(len(self.values))):
            raise ValueError("a value that no node writes")


def _whole_numbers(items: Any) -> tuple[int, ...]:
    if not all(isinstance(item, int) for item in items):
        raise ValueError(f"{items!r} are no whole numbers")
    return tuple(items)


def _node(item: Mapping[str, Any]) -> Node:
    kind = KINDS[item["kind"]]
    given: dict[str, Any] = {}
    for field in fields(kind):
        value: Any = item[field.name] if field.name in item else _ABSENT[field.name]
        if field.name == "window":
            pairs = [_whole_numbers(value[part.name]) for part in fields(Window)]
            value = Window(*((first, second) for first, second in pairs))
        elif isinstance(value, list | tuple):
            value = _whole_numbers(value)
        given[field.name] = value
    return kind(**given)
