"""QSD-Transformer: published sizes exactly, pictures and event frames, its fold."""

from __future__ import annotations

import pytest
import torch

from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.hardware.trace import trace_workload
from hqsearch.models import build_model, deploy, weight_layers
from hqsearch.models.qsd import PUBLISHED

TINY = {"embed_dims": [8, 8, 16, 16], "depth": 2, "heads": 2, "strides": [1, 2, 2, 1]}
PICTURE = {"timesteps": 1, "size": 16, "classes": 5, "in_channels": 3}

#: name: weight layers, weights, biases, real parameters (the specification's table).
TABLE = {
    "qsd-8-256": (138, 8_261_208, 9_936, 8_336_504),
    "qsd-15m": (138, 15_015_072, 13_120, 15_116_720),
    "qsd-8-384": (138, 31_193_520, 18_520, 31_340_392),
    "qsd-8-512": (138, 55_163_456, 24_360, 55_358_952),
    "qsd-8-768": (138, 123_461_472, 36_040, 123_754_216),
    "qsd-12-512": (194, 74_378_304, 35_240, 74_663_016),
}


def on_meta(name, **options):
    with torch.device("meta"):
        return build_model(name, options, timesteps=1, size=224, classes=1000, in_channels=3)


@pytest.mark.parametrize("name", TABLE)
def test_published_sizes(name):
    assert set(TABLE) == set(PUBLISHED)
    model = on_meta(name)
    layers = weight_layers(model)
    biases = {n: p for n, p in model.named_parameters() if n.endswith(".bias") and "norm" not in n}
    scales = [p for n, p in model.named_parameters() if n.endswith("_scale")]
    found = (
        len(layers),
        sum(layer.weights for layer in layers),
        sum(p.numel() for p in biases.values()),
        sum(p.numel() for p in model.parameters()),
    )
    assert found == TABLE[name]
    assert sum(p.numel() for p in scales) == {
        "qsd-8-256": 3_328, "qsd-15m": 4_512, "qsd-8-384": 6_528, "qsd-8-512": 8_704,
        "qsd-8-768": 13_056, "qsd-12-512": 13_056,
    }[name]  # fmt: skip


def test_operations_of_15m_in_the_order_of_execution():
    model = on_meta("qsd-15m")
    work = trace_workload(model, torch.zeros(1, 1, 3, 224, 224, device="meta"), 8)
    assert list(work.layers) == [layer.path for layer in weight_layers(model)]
    by_kind = {
        kind: sum(o.macs for o in work.operations if o.kind == kind)
        for kind in ("weight", "attention")
    }
    assert by_kind == {"weight": 6_440_813_376, "attention": 31_968_384}
    real = sum(
        op.macs for op in work.layers.values() if op.input_kind == "real" or op.path == "stem.conv"
    )
    assert real / by_kind["weight"] == pytest.approx(0.107, abs=5e-4)


def test_folding_15m_gives_spike_inputs_and_more_weights():
    model = on_meta("qsd-15m", fold=True)
    layers = weight_layers(model)
    assert sum(layer.weights for layer in layers) == 33_201_504
    work = trace_workload(model, torch.zeros(1, 1, 3, 224, 224, device="meta"), 8)
    real = {path for path, op in work.layers.items() if op.input_kind == "real"}
    assert {path.rpartition(".")[2] for path in real} == {"reduce"}
    assert work.following["blocks3.0.attention.q"].absorbed


@pytest.mark.parametrize("neuron", ["integer", "integer-lif", "lif"])
@pytest.mark.parametrize("frames", [1, 3])
def test_pictures_and_event_frames_with_every_neuron(neuron, frames):
    options = {**TINY, "neuron": neuron}
    model = build_model("qsd", options, timesteps=3, size=16, classes=5, in_channels=2)
    x = torch.randint(0, 16, (frames, 4, 2, 16, 16)).float()
    logits = model(x)
    logits.square().sum().backward()
    assert logits.shape == (4, 5)
    grad = model.stem.conv.weight.grad
    assert bool(grad.isfinite().all())
    assert float(grad.abs().sum()) > 0
    work = trace_workload(model, x, 4)
    assert not [op for op in work.operations if op.kind == "unknown"]


def test_copies_are_computed_once_by_a_stateless_network_and_the_cost_says_so():
    def make(neuron):
        options = {**TINY, "neuron": neuron}
        network = build_model("qsd", options, timesteps=4, size=16, classes=5, in_channels=3)
        return network.eval()

    picture = torch.randint(0, 16, (1, 2, 3, 16, 16)).float()
    copies = picture.expand(4, -1, -1, -1, -1)
    macs = {}
    for neuron in ("integer", "lif"):
        model = make(neuron)
        with torch.no_grad():
            torch.testing.assert_close(model(picture), model(copies), rtol=1e-5, atol=1e-5)
        layers = trace_workload(model, picture, 4).layers
        macs[neuron] = {path: op.macs for path, op in layers.items()}
        told = trace_workload(model, picture, 4, timesteps=4).layers.items()
        assert {path: op.macs for path, op in told} == macs[neuron]
        steps = {op.timesteps for path, op in told if path != "stem.conv"}
        assert steps == ({4} if neuron == "lif" else {1})
    stem = macs["integer"].pop("stem.conv")
    assert macs["lif"].pop("stem.conv") == stem
    assert {path: 4 * count for path, count in macs["integer"].items()} == macs["lif"]


def test_a_picture_may_be_anything_that_the_trace_is_told():
    model = build_model("qsd", TINY, **PICTURE).eval()
    work = trace_workload(model, torch.rand(1, 2, 3, 16, 16), None)
    assert work.layers["stem.conv"].input_kind == "real"


def test_the_fold_of_a_network_gives_the_same_logits():
    unfolded = build_model("qsd", {**TINY, "fold": True}, **PICTURE, seed=3, deployed=False)
    frames = torch.randint(0, 256, (1, 32, 3, 16, 16)).float()
    for block in (unfolded.blocks3[0], unfolded.blocks4[0]):
        torch.nn.init.ones_(block.attention_scale)
    unfolded(frames)  # running statistics of their own
    unfolded.eval()
    spikes = (torch.randint(0, 5, (2, 16, 4, 4)) / 4).float()
    block = unfolded.blocks3[0].attention
    with torch.no_grad():
        parts = block.q(spikes), block.proj(spikes)
        deploy(unfolded)
        folded = block.q(spikes), block.proj(spikes)
    for one, other in zip(parts, folded, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    fresh = build_model("qsd", {**TINY, "fold": True}, **PICTURE)
    assert {n: p.shape for n, p in fresh.named_parameters()} == {
        n: p.shape for n, p in unfolded.named_parameters()
    }


@pytest.mark.parametrize(
    "change, text",
    [
        ({"embed_dims": [8, 8, 16]}, "4 whole numbers"),
        ({"embed_dims": [7, 8, 16, 16]}, "must be even"),
        ({"embed_dims": [8, 8, 16, 17]}, "not a multiple of heads"),
        ({"depth": 0}, "depth must be at least 1"),
        ({"depth": True}, "whole number"),
        ({"strides": [1, 2, 2, 0]}, "strides must be at least 1"),
        ({"levels": 0}, "levels must be a whole number from 1"),
        ({"fold": "yes"}, "fold must be true or false"),
    ],
)
def test_sizes_that_cannot_be_built_are_refused(change, text):
    with pytest.raises(DefinitionError, match=text):
        build_model("qsd", {**TINY, **change}, **PICTURE)


def test_a_name_fixes_its_sizes_and_leaves_the_rest():
    with pytest.raises(UnknownName, match="depth"):
        build_model("qsd-15m", {"depth": 4}, **PICTURE)
    with pytest.raises(UnknownName, match="did you mean 'qsd-15m'"):
        build_model("qsd-15", {}, **PICTURE)


def test_frames_of_another_shape_are_refused():
    model = build_model("qsd", TINY, **PICTURE)
    with pytest.raises(ValueError, match=r"expected frames \[T, N, C, H, W\]"):
        model(torch.zeros(2, 1, 3, 16, 16))
