"""What the integer code executes is what the cost model counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hqsearch.export.counted import LOGITS, counted_costs
from hqsearch.export.counts import COUNTED
from hqsearch.export.graph import Rescale
from hqsearch.hardware import load_profile
from hqsearch.hardware.rates import RateMeter

from .integer_networks import frames_of, in_integers, made

PROFILE = load_profile("horowitz-45nm-memory")


@pytest.mark.parametrize(
    "kind",
    ["convolutional", "dense", "tokens", "spikformer", "integer spikformer", "qsd", "stateful qsd"],
)
@pytest.mark.parametrize("choices", [["4u", "3l"], ["2l"]])
def test_accumulations_are_those_of_the_cost_model(kind: str, choices: list[str]) -> None:
    model, shape = made(kind, seed=7)
    network, workload = in_integers(model, shape, choices)
    frames = frames_of(shape, 5, seed=4)
    with RateMeter(model, workload) as meter, torch.no_grad():
        for sample in frames:
            model(torch.from_numpy(sample).float().unsqueeze(1))
    costs = counted_costs(network, workload, PROFILE, frames, meter.rates())
    rows = {row.path: row for row in costs.rows}
    rescaled = {node.path for node in network.graph.nodes if isinstance(node, Rescale)}
    assert set(rows) == {op.path for op in workload.operations} | {LOGITS} | rescaled
    assert bool(rescaled) == (kind.endswith("qsd"))
    scales = {path for path in rows if path.rpartition(".")[2].startswith("scale")}
    assert set(costs.run.counts) == set(rows) - scales  # which are in the factors of rescaling
    for row in rows.values():
        assert row.counted["accumulations"] == pytest.approx(row.exact, rel=1e-12)
        for name in ("updates", "others"):
            both = row.path.startswith("mean") and kind == "tokens"  # space and time at once
            assert both or row.counted[name] == row.estimated[name]
        if row.recorded is not None:
            # A stream in fixed point may flip a spike or two of so few samples.
            assert row.recorded == pytest.approx(row.exact, rel=1e-2 if rescaled else 1e-3)
    assert sum(row.recorded is not None for row in rows.values()) >= 2


def test_multiplications_and_shifts_of_layers_between_neurons() -> None:
    model, shape = made("spikformer", seed=7)
    network, workload = in_integers(model, shape, ["4u", "4l"])
    costs = counted_costs(network, workload, PROFILE, frames_of(shape, 5, seed=4))
    inner = [
        row
        for row in costs.rows
        if row.kind == "weight" and workload.layers[row.path].input_source == "spikes"
    ]
    assert len(inner) > 5
    for row in inner:
        for name in ("accumulations", "multiplications", "shifts"):
            assert row.counted[name] == pytest.approx(row.estimated[name], rel=1e-12)
    assert sum(row.counted["shifts"] for row in inner) > 0
    assert sum(row.counted["multiplications"] for row in inner) > 0
    frames = next(r for r in costs.rows if r.path == "tokenizer.conv1")
    assert frames.estimated["accumulations"] == workload.layers["tokenizer.conv1"].valid_macs
    assert frames.counted["accumulations"] < frames.estimated["accumulations"]


def test_a_fetch_serves_all_positions_of_a_step() -> None:
    """At one position the code fetches once for each accumulation, as the model does."""
    model, shape = made("dense", seed=7)
    network, workload = in_integers(model, shape, ["4u"])
    costs = counted_costs(network, workload, PROFILE, frames_of(shape, 5, seed=4))
    for row in costs.rows:
        assert row.counted["fetches"] == row.counted["accumulations"] or row.path == LOGITS
        if row.kind == "weight" and workload.layers[row.path].input_source == "spikes":
            assert row.counted["fetches"] == pytest.approx(row.estimated["fetches"], rel=1e-12)
    text = costs.rows[0].as_json()
    assert list(text["counted"]) == list(COUNTED)
    assert costs.total("updates") == costs.total("updates", "estimated")
    assert np.isfinite(costs.run.logits).all()
