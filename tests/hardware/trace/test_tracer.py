"""The trace against published layer tables, what follows a layer, and bad input."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hqsearch.errors import DefinitionError
from hqsearch.hardware import Following, Workload
from hqsearch.hardware.trace import trace_workload
from hqsearch.models import build_model
from hqsearch.models.neurons import LIF
from hqsearch.quant import quantize_model

T, N = 3, 4


def frames(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 4, (T, N, *shape), generator=generator).float()


def spikformer_workload(classes: int = 11) -> Workload:
    options = {"embed_dim": 256, "depth": 2, "heads": 16, "pooled_stages": 4}
    with torch.device("meta"):
        model = build_model("spikformer", options, timesteps=16, size=128, classes=classes)
    model = model.to("meta")
    return trace_workload(model, torch.zeros(16, 1, 2, 128, 128, device="meta"), 4)


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


def test_attention_of_the_gesture_model() -> None:
    """16 tokens of head width 16: every product is of square matrices."""
    options = {"embed_dim": 64, "depth": 2, "heads": 4, "pooled_stages": 3}
    model = build_model("spikformer", options, timesteps=8, size=32, classes=11).to("meta")
    workload = trace_workload(model, torch.zeros(8, 1, 2, 32, 32, device="meta"), 4)
    products = [op for op in workload.operations if op.kind == "attention"]
    assert [op.macs_per_step for op in products] == [16 * 16 * 16 * 4] * 4


def test_what_the_network_does_not_read_is_named_and_not_stored() -> None:
    class Leftovers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.neuron, self.head = nn.Linear(5, 6), LIF(), nn.Linear(6, 2)
            self.norm, self.unused_norm = nn.BatchNorm1d(6), nn.BatchNorm1d(6)
            self.unused_layer, self.unused_layer_norm = nn.Linear(4, 4), nn.LayerNorm(6)
            self.pos_embed = nn.Parameter(torch.zeros(1, 7, 6))
            self.shift = nn.Parameter(torch.zeros(6))
            self.register_buffer("order", torch.arange(6))
            self.register_buffer("mask", torch.zeros(9))

        def forward(self, x: Tensor) -> Tensor:
            y = self.norm(self.first(x).flatten(0, 1)).unflatten(0, x.shape[:2])
            # Through a view that no operation made, and as an index.
            return self.head(self.neuron(y + self.shift.data)[..., self.order])

    for device in ("cpu", "meta"):
        traced = trace_workload(Leftovers().to(device), frames(5).to(device), 2, unknown="real")
        assert traced.unquantized == (("shift", 6), ("order", 6))
        assert traced.unread == (
            ("pos_embed", 42), ("mask", 9), ("unused_norm", 24), ("unused_layer", 20),
            ("unused_layer_norm.weight", 6), ("unused_layer_norm.bias", 6),
        )  # fmt: skip


class Using(nn.Module):
    """A convolution, a neuron, what a subclass does with the spikes, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.neuron, self.head = nn.Conv2d(2, 4, 3, padding=1), LIF(), nn.Linear(256, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.neuron(self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
        return self.head(self.use(y).flatten(2)).mean(0)

    def use(self, y: Tensor) -> Tensor:
        return y


class ShapeAlone(Using):
    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1, 4, 8, 8))

    def use(self, y: Tensor) -> Tensor:
        return y.view(*y.shape[:2], *self.place.shape[1:])


class InTraining(Using):
    def __init__(self) -> None:
        super().__init__()
        self.gain, self.norm = nn.Parameter(torch.ones(4, 1, 1)), nn.BatchNorm2d(4)

    def use(self, y: Tensor) -> Tensor:
        return self.norm(y.flatten(0, 1)).view_as(y) * self.gain if self.training else y


class OneOfThree(Using):
    def __init__(self) -> None:
        super().__init__()
        self.gains = nn.ParameterList(nn.Parameter(torch.ones(4, 1, 1)) for _ in range(3))
        self.ways = nn.ModuleDict({"a": nn.Conv2d(4, 4, 1), "b": nn.Conv2d(4, 4, 1)})

    def use(self, y: Tensor) -> Tensor:
        return self.ways["a"]((y * self.gains[1]).flatten(0, 1)).view_as(y)


class ByAnotherName(Using):
    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(4, 1, 1))
        self.same, self.table = self.gain, nn.Embedding(10, 4)
        self.register_buffer("factor", torch.tensor(2.0))

    def use(self, y: Tensor) -> Tensor:
        return y * self.same.data.detach() * float(self.factor)


@pytest.mark.parametrize(
    ("network", "unread"),
    [
        (ShapeAlone, {"place": 256}),
        (InTraining, {"gain": 4, "norm": 16}),
        (OneOfThree, {"gains.0": 4, "gains.2": 4, "ways.b": 20}),
        (ByAnotherName, {"table.weight": 40}),
    ],
)
def test_more_parameters_that_nothing_reads(network: type[Using], unread: dict[str, int]) -> None:
    assert dict(trace_workload(network().eval(), frames(2, 8, 8), 2).unread) == unread


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


def test_following_in_a_spikformer_with_and_without_quantizers() -> None:
    options = {"embed_dim": 16, "depth": 1, "heads": 2, "pooled_stages": 2}
    model = build_model("spikformer", options, timesteps=T, size=8, classes=3)
    following = trace_workload(model, frames(2, 8, 8), 4).following
    names = ("tokenizer.{}1", "tokenizer.{}2", "tokenizer.{}3", "tokenizer.{}4")
    expected = {
        name.format("conv"): Following(name.format("norm"), name.format("neuron")) for name in names
    }
    expected["tokenizer.position"] = Following(
        "tokenizer.position_norm", "tokenizer.position_neuron"
    )
    for name in ("attention.q", "attention.k", "attention.v", "attention.proj"):
        path = f"blocks.0.{name}"
        expected[path] = Following(f"{path}_norm", f"{path}_neuron")
    for name in ("fc1", "fc2"):
        path = f"blocks.0.mlp.{name}"
        expected[path] = Following(f"{path}_norm", f"{path}_neuron")
    expected["head"] = Following(None, None)
    assert following == expected
    assert all(item.absorbed == (path != "head") for path, item in following.items())
    quantize_model(model, dict.fromkeys(following, "4u"))
    assert trace_workload(model, frames(2, 8, 8), 4).following == expected


class Odd(nn.Module):
    """Layers followed in every other way."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d, self.e = (nn.Linear(4, 4) for _ in range(5))
        self.norm_a, self.norm_b, self.norm_c = (nn.BatchNorm1d(4) for _ in range(3))
        self.fire_a, self.fire_c, self.fire_d = LIF(), LIF(), LIF()

    def forward(self, x):  # [T, N, 4]
        steps = x.shape[0]

        def norm(module, y):
            return module(y.flatten(0, 1)).unflatten(0, (steps, -1))

        x = self.fire_a(norm(self.norm_a, self.a(x)).transpose(1, 2).contiguous())
        x = x.transpose(1, 2)
        x = x + norm(self.norm_b, self.b(x))  # normalized, no neuron
        y = norm(self.norm_c, self.c(x))
        x = self.fire_c(y) + y  # the normalized current is read twice
        x = self.fire_d(self.d(x))  # no normalization
        return self.e(x).mean(0)


def test_following_in_any_network() -> None:
    assert trace_workload(Odd(), torch.randn(T, N, 4), None).following == {
        "a": Following("norm_a", "fire_a"),
        "b": Following("norm_b", None),
        "c": Following("norm_c", None),
        "d": Following(None, "fire_d"),
        "e": Following(None, None),
    }


class Threshold(nn.Module):
    """A neuron without the usual attributes."""

    def forward(self, x: Tensor) -> Tensor:
        return (x > 0).float()


def test_a_users_own_neuron_can_be_named() -> None:
    model = nn.Sequential(nn.Linear(5, 6), Threshold(), nn.Linear(6, 2))
    plain = trace_workload(model, frames(5), 2)
    assert [op.kind for op in plain.operations] == ["weight", "compare", "weight"]
    assert plain.layers["2"].input_kind == "binary"  # true or false, whoever makes it
    workload = trace_workload(model, frames(5), 2, neurons=(Threshold,))
    assert [op.kind for op in workload.operations] == ["weight", "neuron", "weight"]
    assert workload.layers["2"].input_kind == "binary"


def test_unknown_operations_are_named_or_counted_as_real() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.special.i0(x)

    model = nn.Sequential(nn.Linear(5, 6), Odd(), nn.Linear(6, 2))
    with pytest.raises(DefinitionError, match=r"operation 'i0' .* \(test_tracer.py:\d+\)"):
        trace_workload(model, frames(5), 2)
    with pytest.raises(DefinitionError, match=r'\[model\] unknown = "real"'):
        trace_workload(model, frames(5), 2)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    workload = trace_workload(model, frames(5), 2, unknown="real")
    unknown = [op for op in workload.operations if op.kind == "unknown"]
    assert [(op.macs, op.input_kind) for op in unknown] == [(6 * T, "real")]
    assert workload.layers["2"].input_kind == "real"


def test_products_with_loose_parameters_are_layers_in_fp32() -> None:
    class Loose(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.matrix = nn.Parameter(torch.zeros(5, 2))

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.matrix

    workload = trace_workload(Loose(), frames(5), 2)
    (op,) = workload.operations
    assert (op.path, op.kind, op.weights, op.macs) == ("fixed_linear", "weight", 10, 10 * T)
    assert (op.input_kind, op.input_bits) == ("integer", 2)
    assert workload.unquantized == ()  # it is stored with its layer, once


@pytest.mark.parametrize(
    "batch", [torch.full((T, N, 5), 4.0), -torch.ones(T, N, 5), torch.full((T, N, 5), 0.5)]
)
def test_frames_that_do_not_fit_their_width(batch: Tensor) -> None:
    with pytest.raises(DefinitionError, match="frames of 2 bit"):
        trace_workload(nn.Linear(5, 2), batch, 2)


def test_a_batch_without_a_sample_axis_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"a batch to trace is \[T, N, …\]"):
        trace_workload(nn.Linear(5, 2), torch.zeros(T, 5), 2)


def test_the_trace_leaves_the_model_as_it_was() -> None:
    model = Odd().train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    trace_workload(model, frames(4), 2)
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
