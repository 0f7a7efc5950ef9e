"""Rates measured over batches equal the plain averages; energy follows them."""

from __future__ import annotations

import pytest
import torch

from hqsearch.hardware import CostModel, load_profile
from hqsearch.hardware.rates import RateMeter
from hqsearch.hardware.trace import trace_workload
from hqsearch.models import build_model
from hqsearch.models.neurons import LIF
from hqsearch.quant import quantize_model

OPTIONS = {"embed_dim": 16, "depth": 1, "heads": 2, "pooled_stages": 2}
T = 3


def model_and_batches() -> tuple[torch.nn.Module, list[torch.Tensor]]:
    model = build_model("spikformer", OPTIONS, timesteps=T, size=8, classes=3, seed=1)
    for module in model.modules():
        if isinstance(module, LIF):
            module.threshold = 0.2
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    generator = torch.Generator().manual_seed(0)
    batches = [
        torch.randint(0, 16, (T, n, 2, 8, 8), generator=generator).float() for n in (4, 4, 2)
    ]
    with torch.no_grad():  # takes the batch's statistics, so that every neuron fires
        model.train()(batches[0])
    return model.eval(), batches


def test_rates_over_batches_are_per_sample_means() -> None:
    model, batches = model_and_batches()
    seen: list[torch.Tensor] = []
    layer = model.get_submodule("blocks.0.mlp.fc1")
    handle = layer.register_forward_pre_hook(lambda m, args: seen.append(args[0].detach()))
    with torch.no_grad(), RateMeter(model) as meter:
        for batch in batches:
            model(batch)
    handle.remove()
    shares, sizes = [], []
    for batch, values in zip(batches, seen, strict=True):
        n = batch.shape[1]
        whole = values.reshape(T, n, -1).double()
        shares.append((whole != 0).double().mean((0, 2)))
        sizes.append(whole.abs().mean((0, 2)))
    expected, activity = torch.cat(shares), torch.cat(sizes)
    rate = meter.rates()["blocks.0.mlp.fc1"]
    assert 0 < rate.rate < 1
    assert rate.rate == pytest.approx(float(expected.mean()))
    assert rate.activity == pytest.approx(float(activity.mean()))
    assert rate.activity > rate.rate
    assert rate.se == pytest.approx(float(expected.std()) / len(expected) ** 0.5)


def test_meter_and_trace_agree_and_the_meter_cleans_up() -> None:
    model, batches = model_and_batches()
    with torch.no_grad(), RateMeter(model) as meter:
        model(batches[0])
    workload = trace_workload(model, batches[0], 4)
    traced = {op.path: op for op in workload.operations}
    rates = meter.rates()
    paths = [p for p, op in traced.items() if op.kind in ("weight", "neuron")]
    assert sorted(paths) == sorted(rates)
    for path in paths:
        assert traced[path].rate == pytest.approx(rates[path].rate)
    with torch.no_grad(), RateMeter(model, workload) as sparing:
        model(batches[0])
    assert set(sparing.rates()) < set(rates)
    assert "blocks.0.attention.v_neuron" in sparing.rates()
    for path, rate in sparing.rates().items():
        assert rate.rate == pytest.approx(rates[path].rate)
        assert rate.activity == pytest.approx(rates[path].activity)
        assert rate.se == pytest.approx(rates[path].se)
    costs = CostModel(workload, load_profile("loihi-14nm"), {})
    spared, full = (costs.energy(costs.uniform("fp32"), m.rates()).total for m in (sparing, meter))
    assert spared == pytest.approx(full, rel=1e-6)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_energy_changes_with_the_quantized_networks_own_rates() -> None:
    model, batches = model_and_batches()
    workload = trace_workload(model, batches[0], 4)
    costs = CostModel(workload, load_profile("sop-45nm"), dict.fromkeys(workload.layers, ("2u",)))
    choices = costs.uniform("2u")
    quantize_model(model, dict.fromkeys(workload.layers, "2u"))
    with torch.no_grad(), RateMeter(model, workload) as meter:
        model(batches[0])
    rates = meter.rates()
    measured = costs.energy(choices, rates)
    assert measured.total != costs.energy(choices).total
    fc1 = next(row for row in measured.rows if row.path == "blocks.0.mlp.fc1")
    assert fc1.rate == rates["blocks.0.mlp.fc1"].rate
    doubled = {p: type(r)(min(2 * r.rate, 1.0), 2 * r.activity, r.se) for p, r in rates.items()}
    assert costs.energy(choices, doubled).total > measured.total
