"""Values that are needed at one time never share memory."""

from __future__ import annotations

import pytest

from hqsearch.export.c_plan import plan_memory

from .integer_networks import in_integers, made, spikformer


@pytest.mark.parametrize("kind", ["convolutional", "dense", "tokens", "spikformer"])
def test_nothing_that_is_needed_is_written_over(kind: str) -> None:
    graph = in_integers(*made(kind), ["4u"])[0].graph
    plan = plan_memory(graph)
    order = [node for part in graph.split() for node in part]
    holder: dict[int, int] = {}

    def cells(value: int) -> range:
        size = graph.values[value].size * (4 if plan.wide[value] else 1)
        assert plan.places[value] % 4 == 0
        assert plan.places[value] + size <= plan.scratch
        return range(plan.places[value], plan.places[value] + size)

    holder.update(dict.fromkeys(cells(0), 0))
    for node in order:
        for read in node.inputs:
            if read in plan.places:
                assert {holder[cell] for cell in cells(read)} == {read}
        if node.output in plan.places:
            holder.update(dict.fromkeys(cells(node.output), node.output))


def test_memory_is_used_again() -> None:
    model = spikformer(4, embed_dim=16, depth=3)
    graph = in_integers(model, (4, 2, 16, 16), ["4u"])[0].graph
    plan = plan_memory(graph)
    sizes = {n: graph.values[n].size * (4 if plan.wide[n] else 1) for n in plan.places}
    assert plan.scratch < sum(sizes.values()) / 3
    assert plan.membranes32 + plan.membranes64 == sum(
        graph.values[n.output].size for n in graph.neurons
    )
    assert (
        plan.ram
        == plan.scratch + 4 * plan.membranes32 + plan.time_sums + 8 * plan.events + 4 * (plan.row)
    )
