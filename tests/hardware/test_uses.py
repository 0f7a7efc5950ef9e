"""Exact counts against brute force: every multiply of a nonzero input is counted by convolving."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from hqsearch.hardware import load_profile
from hqsearch.hardware.energy import operations, padded_operations
from hqsearch.hardware.rates import RateMeter, RateSum, input_uses
from hqsearch.hardware.trace import trace_workload
from hqsearch.hardware.uses import Axis, axis_uses, convolution_uses, taps_read
from hqsearch.models.neurons import LIF

T, N = 2, 3
RULES = load_profile("sop-45nm").rules
Conv = nn.Conv1d | nn.Conv2d


def counted(layer: nn.Module, values: Tensor) -> int:
    """Multiplies (times magnitudes) that ``values`` cause in a layer, one by one."""
    ones = torch.ones_like(layer.weight, dtype=torch.float64)
    values = values.double()
    if isinstance(layer, nn.Linear):
        return int(F.linear(values, ones).sum())
    assert isinstance(layer, Conv)
    if layer.padding_mode != "zeros":
        values = F.pad(values, layer._reversed_padding_repeated_twice, mode=layer.padding_mode)
    convolve: Any = F.conv1d if isinstance(layer, nn.Conv1d) else F.conv2d
    padding = layer.padding if layer.padding_mode == "zeros" else 0
    more = (layer.stride, padding, layer.dilation, layer.groups)
    return int(convolve(values, ones, None, *more).sum())


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Conv, tuple[int, ...]]:
    """A convolution and the spatial shape of an input that it fits."""
    rank = draw(st.integers(1, 2))
    small = st.integers(1, 4)
    kernel = [draw(small) for _ in range(rank)]
    dilation = [draw(st.integers(1, 3)) for _ in range(rank)]
    padding: Any = draw(st.sampled_from(["same", "valid", "numbers", "numbers", "numbers"]))
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    size = tuple(r + draw(st.integers(1, 9)) for r in reach)
    stride = [1 if padding == "same" else draw(small) for _ in range(rank)]
    if padding == "numbers":
        padding = [draw(st.integers(0, min(4, s - 1))) for s in size]
    mode = draw(st.sampled_from(["zeros", "zeros", "reflect", "replicate", "circular"]))
    groups = draw(st.integers(1, 2))
    layer: Any = (nn.Conv1d, nn.Conv2d)[rank - 1](
        groups * draw(st.integers(1, 3)),
        groups * draw(st.integers(1, 3)),
        tuple(kernel),
        tuple(stride),
        padding if isinstance(padding, str) else tuple(padding),
        tuple(dilation),
        groups,
        padding_mode=mode,
    )
    return layer, size


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@given(convolutions(), st.integers(0, 2**31), st.booleans())
def test_accumulations_are_exact(
    drawn: tuple[Conv, tuple[int, ...]], seed: int, channels_last: bool
) -> None:
    layer, size = drawn
    generator = torch.Generator().manual_seed(seed)
    spikes = torch.randint(0, 4, (T * N, layer.in_channels, *size), generator=generator).float()
    spikes *= torch.rand(spikes.shape, generator=generator) < 0.4
    if channels_last:
        spikes = spikes.movedim(1, -1).contiguous().movedim(-1, 1)
    rates = RateSum()
    rates.add(spikes, T, N, uses=input_uses(layer, spikes.shape))
    found = rates.result()
    assert found is not None
    fan_out = layer.out_channels // layer.groups
    macs = taps_read(convolution_uses(layer, spikes.shape)) * T * layer.in_channels * fan_out
    assert macs * N == counted(layer, torch.ones_like(spikes))
    for share, plain, values in (
        (found.rate_per_use, found.rate, spikes != 0),
        (found.activity_per_use, found.activity, spikes),
    ):
        each = plain if share is None else share
        assert each * macs * N == pytest.approx(counted(layer, values), rel=1e-12, abs=1e-9)


class Mixed(nn.Module):
    """A random chain of convolutions, called once or step by step, then a linear head."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        self.loop = bool(rng.integers(2))
        self.layers, self.neurons = nn.ModuleList(), nn.ModuleList()
        width = 2
        for _ in range(3):
            new = 2 * int(rng.integers(1, 4))
            kernel = tuple(int(k) for k in rng.integers(1, 4, 2))
            mode = ("zeros", "replicate", "circular")[int(rng.integers(3))]
            self.layers.append(
                nn.Conv2d(
                    width, new, kernel, int(rng.integers(1, 3)), int(rng.integers(0, 3)),
                    groups=int(rng.integers(1, 3)), padding_mode=mode,
                )
            )  # fmt: skip
            self.neurons.append(LIF(threshold=0.05))
            width = new
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:  # [T, N, C, H, W]
        for layer, neuron in zip(self.layers, self.neurons, strict=True):
            if self.loop:
                x = torch.stack([layer(step) for step in x])
            else:
                x = layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])
            x = neuron(x)
        return self.head(x.sum((3, 4)))


@pytest.mark.parametrize("seed", range(24))
def test_networks_count_to_the_last_operation(seed: int) -> None:
    torch.manual_seed(seed)
    model, generator = Mixed(seed).eval(), torch.Generator().manual_seed(seed)
    size = torch.randint(5, 12, (2,), generator=generator).tolist()
    batch = torch.randint(0, 8, (T, N, 2, *size), generator=generator).float()
    expected: dict[str, int] = {}
    dense: dict[str, int] = {}

    def count(path: str, layer: nn.Module, x: Tensor) -> None:
        magnitude = x if path in ("layers.0", "head") else x != 0
        expected[path] = expected.get(path, 0) + counted(layer, magnitude)
        dense[path] = dense.get(path, 0) + counted(layer, torch.ones_like(x))

    hooks = [
        layer.register_forward_pre_hook(lambda m, args, path=path: count(path, m, args[0]))
        for path, layer in model.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    ]
    with torch.no_grad():
        model(batch)
    for hook in hooks:
        hook.remove()
    assert sum(count > 0 for count in expected.values()) >= 2  # some layers stay silent
    workload = trace_workload(model, batch, 3)
    with torch.no_grad(), RateMeter(model, workload) as meter:
        model(batch)
    rules = {**RULES, "frame_inputs": "event-driven", "integer_inputs": "unit-spikes"}
    for ops in (workload.layers, workload.with_rates(meter.rates()).layers):
        for path, op in ops.items():
            found = operations(op, rules) * N
            assert round(found) == expected[path], path
            assert found == pytest.approx(expected[path], rel=1e-12)
            assert op.valid_macs * N == dense[path]
            assert op.valid_macs <= op.macs
    meta = trace_workload(Mixed(seed).to("meta"), batch.to("meta"), 3).layers
    assert {p: (op.macs, op.valid_macs) for p, op in meta.items()} == {
        p: (op.macs, op.valid_macs) for p, op in workload.layers.items()
    }


def test_padding_by_hand() -> None:
    assert axis_uses(4, 4, Axis(3, before=1)).tolist() == [2, 3, 3, 2]
    assert axis_uses(4, 2, Axis(3, stride=2, before=1)).tolist() == [1, 2, 1, 1]
    # The last position is never read; mirrored, the second is read once more.
    assert axis_uses(4, 1, Axis(3, stride=2)).tolist() == [1, 1, 1, 0]
    assert axis_uses(4, 4, Axis(3, before=1, after=1, mode="reflect")).tolist() == [2, 4, 4, 2]
    assert axis_uses(4, 4, Axis(3, before=1, after=1, mode="replicate")).tolist() == [3, 3, 3, 3]


def test_published_counts_keep_the_padding() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), LIF(), nn.Conv2d(2, 2, 3, padding=1))
    frames = torch.zeros(T, 1, 1, 4, 4, device="meta")

    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = model

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x.flatten(0, 1))

    traced = trace_workload(Flat().to("meta"), frames, 3)
    op = traced.with_rate(0.5).layers["net.2"]
    assert op.macs_per_step == 2 * 2 * 9 * 16
    assert op.macs_per_step - op.padding_macs_per_step == 2 * 2 * 10**2  # (2 + 3 + 3 + 2)² taps
    assert operations(op, RULES) == 0.5 * op.valid_macs
    assert padded_operations(op, RULES) == 0.5 * op.macs
