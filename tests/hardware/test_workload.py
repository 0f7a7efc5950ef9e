"""The trace against published layer tables, hand-counted small networks, and bad input."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn

from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.hardware import LayerRate, RateMeter, Workload, rates_from_json, rates_to_json
from hqsearch.models import build_model
from hqsearch.models.neurons import LIF

T, N = 3, 4


def frames(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 4, (T, N, *shape), generator=generator).float()


def spikformer_workload(classes: int = 11) -> Workload:
    options = {"embed_dim": 256, "depth": 2, "heads": 16, "pooled_stages": 4}
    with torch.device("meta"):
        model = build_model("spikformer", options, timesteps=16, size=128, classes=classes)
    model = model.to("meta")
    return Workload.trace(model, torch.zeros(16, 1, 2, 128, 128, device="meta"), 4)


def test_spikformer_reproduces_the_published_table() -> None:
    workload = spikformer_workload()
    macs = {path: op.macs_per_step for path, op in workload.layers.items()}
    widths = {"q": 1, "k": 1, "v": 1, "proj": 1, "fc1": 4, "fc2": 4}
    per_block = {
        f"{'mlp' if name.startswith('fc') else 'attention'}.{name}": width * 4_194_304
        for name, width in widths.items()
    }
    expected = {
        "tokenizer.conv1": 9_437_184,
        "tokenizer.conv2": 75_497_472,
        "tokenizer.conv3": 75_497_472,
        "tokenizer.conv4": 75_497_472,
        "tokenizer.position": 37_748_736,
        **{f"blocks.{b}.{name}": count for b in (0, 1) for name, count in per_block.items()},
        "head": 2_816,
    }
    assert macs == expected
    assert sum(macs.values()) == 374_344_448
    assert workload.weights == 2_553_152
    assert sum(op.bias for op in workload.layers.values()) == 3_083
    assert workload.layers["head"].timesteps == 1
    assert {op.timesteps for p, op in workload.layers.items() if p != "head"} == {16}
    products = [op for op in workload.operations if op.kind == "attention"]
    assert [op.macs_per_step for op in products] == [1_048_576] * 4
    assert [op.rate_path for op in products[:2]] == [
        "blocks.0.attention.q_neuron",
        "blocks.0.attention.v_neuron",
    ]
    assert workload.unquantized == ()


def test_spikformer_input_kinds_and_what_follows() -> None:
    layers = spikformer_workload().layers
    kinds = {path: (op.input_kind, op.input_levels) for path, op in layers.items()}
    assert kinds["tokenizer.conv1"] == ("integer", 15)
    assert kinds["tokenizer.conv2"] == ("binary", 1)
    # Residual sums: pooled spikes + position, then + attention, + MLP, …
    assert kinds["blocks.0.attention.q"] == ("integer", 2)
    assert kinds["blocks.0.mlp.fc1"] == ("integer", 3)
    assert kinds["blocks.1.mlp.fc1"] == ("integer", 5)
    assert kinds["blocks.0.mlp.fc2"] == ("binary", 1)
    assert kinds["head"][0] == "real"
    assert layers["head"].norm is None
    assert layers["head"].neuron is None
    assert all(op.norm and op.neuron for path, op in layers.items() if path != "head")
    assert layers["tokenizer.conv1"].input_source == "frames"


def test_following_agrees_with_the_quantizers() -> None:
    from hqsearch.quant.absorb import following

    options = {"embed_dim": 16, "depth": 1, "heads": 2, "pooled_stages": 2}
    model = build_model("spikformer", options, timesteps=T, size=8, classes=3)
    batch = frames(2, 8, 8)
    layers = Workload.trace(model, batch, 4).layers
    found = following(model, batch)
    assert {p: (f.norm, f.neuron) for p, f in found.items()} == {
        p: (op.norm, op.neuron) for p, op in layers.items()
    }


class Loop(nn.Module):
    """One timestep at a time, stacked again: what single-step models do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 4, 3, padding=1, groups=2)
        self.neuron = LIF()
        self.head = nn.Linear(4 * 6, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        current = torch.stack([self.conv(step) for step in x])
        return self.head(self.neuron(current).flatten(2)).mean(0)


def test_time_loops_count_every_step_once() -> None:
    workload = Workload.trace(Loop(), frames(2, 6), None)
    conv, head = workload.layers["conv"], workload.layers["head"]
    assert (conv.timesteps, conv.macs_per_step, conv.weights) == (T, 4 * 6 * 3, 12)
    assert (head.timesteps, head.macs_per_step, head.bias) == (T, 72, 0)
    assert conv.input_kind == "real"
    assert head.input_kind == "binary"
    assert (conv.norm, conv.neuron) == (None, "neuron")
    assert conv.fan_out == conv.macs_per_step / 12
    assert conv.reuse == 6 * T


class BatchFirst(nn.Module):
    """Time as the second axis, a residual sum, and a norm that nothing absorbs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 5)
        self.neuron = LIF()
        self.second = nn.Linear(5, 5)
        self.norm = nn.BatchNorm1d(5)
        self.position = nn.Parameter(torch.zeros(5))
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.transpose(0, 1))
        spikes = self.neuron(x.transpose(0, 1)).transpose(0, 1)
        hidden = self.norm(self.second(spikes).flatten(0, 1)).unflatten(0, (N, T))
        return self.head((hidden + spikes + self.position).mean(1))


def test_other_axis_orders_and_unabsorbed_norms() -> None:
    workload = Workload.trace(BatchFirst(), frames(5), 2)
    layers = workload.layers
    assert [layers[p].timesteps for p in ("first", "second", "head")] == [T, T, 1]
    assert (layers["second"].norm, layers["second"].neuron) == ("norm", None)
    adds = [op for op in workload.operations if op.kind == "add"]
    assert [(op.input_kind, op.outputs) for op in adds] == [("real", 5), ("real", 5)]
    assert workload.unquantized == (("position", 5),)


def test_norms_that_belong_to_no_layer_are_operations_and_parameters() -> None:
    class Standalone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(5, 5), nn.Linear(5, 2)
            self.neuron, self.norm = LIF(), nn.BatchNorm1d(5)

        def forward(self, x: Tensor) -> Tensor:
            spikes = self.neuron(self.first(x))
            summed = (spikes + spikes).flatten(0, 1)
            return self.head(self.norm(summed)).unflatten(0, x.shape[:2]).mean(0)

    workload = Workload.trace(Standalone(), frames(5), 2)
    (norm,) = (op for op in workload.operations if op.kind == "norm")
    assert (norm.path, norm.channels, norm.timesteps) == ("norm", 5, T)
    assert workload.unquantized == (("norm", 10),)
    assert workload.layers["head"].input_kind == "real"


def test_measured_rates_are_exact() -> None:
    batch = frames(5)
    layers = Workload.trace(BatchFirst(), batch, 2).layers
    nonzero = (batch != 0).double().mean((0, 2))
    assert layers["first"].rate == pytest.approx(float(nonzero.mean()))
    assert layers["first"].activity == pytest.approx(float(batch.mean()))
    assert layers["first"].rate_se == pytest.approx(float(nonzero.std()) / N**0.5)


class IntegerNeuron(nn.Module):
    """Amplitudes k/4 stand for k unit spikes, as in QSD-Transformer's I-LIF."""

    tau, threshold, unit, levels = 2.0, 1.0, 0.25, 4

    def forward(self, x: Tensor) -> Tensor:
        return (x.clamp(0, 1) * 4).round() / 4


def test_integer_neurons_count_unit_spikes() -> None:
    model = nn.Sequential(nn.Linear(5, 6), IntegerNeuron(), nn.Linear(6, 2))
    workload = Workload.trace(model, frames(5), 2)
    op = workload.layers["2"]
    assert (op.input_kind, op.input_levels, op.input_bits) == ("integer", 4, 3)
    with torch.no_grad():
        hidden = model[1](model[0](frames(5)))
    assert op.activity == pytest.approx(float(hidden.mean()) * 4, rel=1e-6)
    with torch.no_grad(), RateMeter(model, workload) as meter:
        model(frames(5))
    assert meter.rates()["2"].activity == pytest.approx(op.activity)


def test_pooled_spikes_stay_integers_unless_padding_blurs_the_unit() -> None:
    def net(pool: nn.Module) -> nn.Module:
        return nn.Sequential(nn.Conv1d(2, 4, 1), LIF(), pool, nn.Conv1d(4, 2, 1))

    class Single(nn.Module):
        def __init__(self, pool: nn.Module) -> None:
            super().__init__()
            self.net = net(pool)

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x.flatten(0, 1))

    kinds = {}
    for name, pool in (
        ("max", nn.MaxPool1d(2)),
        ("mean", nn.AvgPool1d(2)),
        ("padded", nn.AvgPool1d(2, padding=1)),
    ):
        op = Workload.trace(Single(pool), frames(2, 6), 2).layers["net.3"]
        kinds[name] = (op.input_kind, op.input_levels, op.unit, op.timesteps)
    assert kinds == {
        "max": ("binary", 1, 1.0, T),
        "mean": ("integer", 2, 0.5, T),
        "padded": ("real", 0, 1.0, T),
    }


class Threshold(nn.Module):
    """A neuron without the usual attributes."""

    def forward(self, x: Tensor) -> Tensor:
        return (x > 0).float()


def test_a_users_own_neuron_can_be_named() -> None:
    model = nn.Sequential(nn.Linear(5, 6), Threshold(), nn.Linear(6, 2))
    with pytest.raises(DefinitionError, match=r"operation 'gt' in '1'"):
        Workload.trace(model, frames(5), 2)
    workload = Workload.trace(model, frames(5), 2, neurons=(Threshold,))
    assert workload.layers["2"].input_kind == "binary"


def test_unknown_operations_are_named_or_counted_as_real() -> None:
    model = nn.Sequential(nn.Linear(5, 6), nn.GELU(), nn.Linear(6, 2))
    with pytest.raises(DefinitionError, match=r"operation 'gelu' in '1'"):
        Workload.trace(model, frames(5), 2)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    workload = Workload.trace(model, frames(5), 2, unknown="real")
    unknown = [op for op in workload.operations if op.kind == "unknown"]
    assert [(op.macs, op.input_kind) for op in unknown] == [(6 * T, "real")]
    assert workload.layers["2"].input_kind == "real"


def test_products_with_loose_parameters_are_refused() -> None:
    class Loose(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.matrix = nn.Parameter(torch.zeros(5, 2))

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.matrix

    with pytest.raises(DefinitionError, match="mm"):
        Workload.trace(Loose(), frames(5), 2)


@pytest.mark.parametrize(
    "batch", [torch.full((T, N, 5), 4.0), -torch.ones(T, N, 5), torch.full((T, N, 5), 0.5)]
)
def test_frames_that_do_not_fit_their_width(batch: Tensor) -> None:
    with pytest.raises(DefinitionError, match="frames of 2 bit"):
        Workload.trace(BatchFirst(), batch, 2)


def test_the_trace_leaves_the_model_as_it_was() -> None:
    model = BatchFirst().train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    Workload.trace(model, frames(5), 2)
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_json_round_trip() -> None:
    workload = Workload.trace(BatchFirst(), frames(5), 2)
    assert Workload.from_json(json.dumps(workload.to_json())) == workload
    assert Workload.from_json(json.loads(json.dumps(workload.to_json()))) == workload
    with pytest.raises(DefinitionError, match="no workload"):
        Workload.from_json({"timesteps": 1})
    rates = {"a": LayerRate(0.5, 1.0, float("nan")), "b": LayerRate(0.1, 0.1, 0.01)}
    again = rates_from_json(json.loads(json.dumps(rates_to_json(rates))))
    assert again["b"] == rates["b"]
    assert again["a"].se != again["a"].se


def test_stated_rates_and_timesteps() -> None:
    workload = spikformer_workload()
    assert workload.layers["tokenizer.conv2"].rate is None
    stated = workload.with_rate(0.2)
    assert stated.layers["tokenizer.conv2"].rate == pytest.approx(0.2)
    q = stated.layers["blocks.0.attention.q"]
    assert (q.rate, q.activity) == (pytest.approx(1 - 0.8**2), pytest.approx(0.4))
    assert stated.layers["head"].rate is None
    half = stated.at_timesteps(8)
    assert half.layers["tokenizer.conv2"].macs * 2 == stated.layers["tokenizer.conv2"].macs
    assert half.layers["head"].macs == stated.layers["head"].macs
    for bad in (-0.1, 1.5):
        with pytest.raises(DefinitionError, match="firing rate"):
            workload.with_rate(bad)
    with pytest.raises(UnknownName, match=r"tokenizer\.conv2"):
        workload.layer("tokenizer.conv22")
