"""Where the values of a graph lie in memory: planned once, when the C code is written.

A value needs its memory from the node that writes it to the last one that reads it; what is not
needed at the same time may lie in the same place. Membranes and sums over time keep theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hqsearch.export.graph import Add, Graph, Layer, Neuron, Pool, TimeSum

#: Bytes of an event, see ``hq_runtime.h``.
EVENT_BYTES = 8


@dataclass(frozen=True)
class Plan:
    """Sizes in bytes.

    places: offset in the scratch memory, by value; sums over time lie in a memory of their own,
    see ``sums``. membranes: index of a neuron's first membrane among those of its width, by value.
    wide: whether a value's elements are int32_t, by value, else uint8_t.
    """

    places: Mapping[int, int]
    sums: Mapping[int, int]
    membranes: Mapping[int, int]
    wide: Mapping[int, bool]
    scratch: int
    time_sums: int
    membranes32: int
    membranes64: int
    events: int
    row: int

    @property
    def ram(self) -> int:
        """Everything that is written to, without the stack."""
        state = 4 * self.membranes32 + 8 * self.membranes64 + self.time_sums
        return self.scratch + state + EVENT_BYTES * self.events + 4 * self.row


def plan_memory(graph: Graph) -> Plan:
    """Lay out everything that ``graph`` writes."""
    every, once = graph.split()
    order = (*every, *once)
    wide = {0: False}
    needed = {0: (0, 0)}
    sums: dict[int, int] = {}
    membranes: dict[int, int] = {}
    counts, total = {32: 0, 64: 0}, 0
    events = row = 1
    for time, node in enumerate(order):
        value = graph.values[node.output]
        narrow = isinstance(node, Neuron) or (
            isinstance(node, Add | Pool) and not value.signed and value.levels <= 255
        )
        wide[node.output] = not narrow
        needed[node.output] = (time, time)
        for number in node.inputs:
            needed[number] = (needed[number][0], time)
        if isinstance(node, TimeSum):
            sums[node.output] = total // 4
            total += 4 * value.size
        if isinstance(node, Neuron) and node.keeps:
            membranes[node.output] = counts[node.bits]
            counts[node.bits] += value.size
        if isinstance(node, Layer):
            read = graph.values[node.inputs[0]]
            events = max(events, 1 if node.flat else read.positions)
            row = max(row, node.weights[0] // node.groups)
    # Logits go to whoever asked for them.
    placed = [n for n in needed if n not in sums and n != order[-1].output]
    sizes = {n: _round(graph.values[n].size * (4 if wide[n] else 1)) for n in placed}
    places = _fit(sizes, needed)
    scratch = max((places[n] + sizes[n] for n in placed), default=4)
    return Plan(places, sums, membranes, wide, scratch, total, counts[32], counts[64], events, row)


def _round(size: int) -> int:
    return -(-size // 4) * 4


def _fit(sizes: Mapping[int, int], needed: Mapping[int, tuple[int, int]]) -> dict[int, int]:
    """Offsets, the largest values first, each as low as what is there at its time allows."""
    places: dict[int, int] = {}
    for number in sorted(sizes, key=lambda n: (-sizes[n], n)):
        first, last = needed[number]
        taken = sorted(
            (places[other], places[other] + sizes[other])
            for other in places
            if needed[other][0] <= last and first <= needed[other][1]
        )
        offset = 0
        for begin, end in taken:
            if offset + sizes[number] <= begin:
                break
            offset = max(offset, end)
        places[number] = offset
    return places
