"""The training loop: learns, resumes bit for bit, refuses what it cannot do."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from hqsearch.errors import DefinitionError, RunFailed
from hqsearch.models import build_model, weight_layers
from hqsearch.quant import quantize_model
from hqsearch.training import (
    Samples,
    Schedule,
    Segment,
    evaluate,
    load_state,
    make_optimizer,
    save_state,
    train,
)
from hqsearch.training.loop import learning_rate

OPTIONS = {"embed_dim": 16, "depth": 1, "heads": 2, "pooled_stages": 2}
CYCLE = ["4u", "2l", "fp32", "2u", "4l"]


def to_float(frames: torch.Tensor) -> torch.Tensor:
    return frames.float()


def data(count: int = 48) -> Samples:
    """Two classes that differ in where the events are."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, count)
    frames = rng.poisson(0.2, (count, 3, 2, 16, 16)).astype(np.uint8)
    for index, label in enumerate(labels):
        frames[index, :, :, 8 * label : 8 * label + 8] += 2
    return Samples(frames, labels, to_float)


def part(samples: Samples, rows: slice) -> Samples:
    return Samples(samples.frames[rows], samples.labels[rows], samples.to_float)


def network(quantized: bool = False, seed: int = 0) -> nn.Module:
    model = build_model("spikformer", OPTIONS, timesteps=3, size=16, classes=2, seed=seed)
    if quantized:
        paths = [layer.path for layer in weight_layers(model)]
        quantize_model(model, {p: CYCLE[i % len(CYCLE)] for i, p in enumerate(paths)})
    return model


def test_it_learns_and_evaluates_sample_by_sample():
    samples = data()
    model = network()
    schedule = Schedule(epochs=12, learning_rate=1e-2, batch_size=8, shift=1)
    result = train(model, part(samples, slice(32)), schedule)
    assert [record.epoch for record in result.history] == list(range(1, 13))
    assert result.history[-1].loss < 0.5 * result.history[0].loss
    found = evaluate(model, part(samples, slice(32, None)), batch_size=5)
    assert found.correct.shape == (16,)
    assert found.accuracy == found.correct.mean() >= 0.9
    whole = evaluate(model, part(samples, slice(32, None)), batch_size=16)
    assert whole.loss == pytest.approx(found.loss, rel=1e-4)
    assert found.standard_error == pytest.approx(
        max(math.sqrt(found.accuracy * (1 - found.accuracy) / 16), 1 / 16)
    )
    assert model.training


@pytest.mark.parametrize("quantized", [False, True])
def test_stopping_and_resuming_is_bit_for_bit_the_uninterrupted_run(tmp_path, quantized):
    samples = data(20)
    schedule = Schedule(epochs=3, learning_rate=2e-3, batch_size=8, shift=2, seed=7)
    straight = network(quantized)
    whole = train(straight, samples, schedule)

    train(network(quantized), samples, schedule, Segment(until_epoch=1, checkpoint=tmp_path))
    torch.manual_seed(99)
    resumed = network(quantized, seed=5)
    result = train(resumed, samples, schedule, Segment(checkpoint=tmp_path, resume_from=tmp_path))
    assert result.resumed_from == 1
    assert result.history == whole.history
    state = resumed.state_dict()
    for name, value in straight.state_dict().items():
        assert torch.equal(value, state[name]), name
    finished = train(network(quantized), samples, schedule, Segment(resume_from=tmp_path))
    assert (finished.epoch, finished.resumed_from) == (3, 3)


def test_resuming_from_an_empty_folder_starts_afresh_and_the_seed_matters(tmp_path):
    samples = data(12)

    def run(seed, **segment):
        model = network()
        schedule = Schedule(epochs=1, learning_rate=1e-3, batch_size=4, seed=seed)
        return train(model, samples, schedule, Segment(**segment)).history

    assert run(0, resume_from=tmp_path / "none") == run(0)
    assert run(0) != run(1)


def test_each_epoch_is_reported_after_its_checkpoint(tmp_path):
    samples = data(8)
    seen = []

    def on_epoch(record):
        told = json.loads((tmp_path / "checkpoint.json").read_text())
        seen.append((record.epoch, told["epoch"], len(list(tmp_path.glob("*.safetensors")))))

    schedule = Schedule(epochs=2, learning_rate=1e-3, batch_size=8)
    train(network(), samples, schedule, Segment(checkpoint=tmp_path), on_epoch=on_epoch)
    assert seen == [(1, 1, 1), (2, 2, 1)]


def test_a_loss_that_is_not_finite_stops_the_run():
    samples = data(8)
    schedule = Schedule(epochs=1, learning_rate=1e-3, batch_size=4)

    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(1, 2)

        def forward(self, x):
            return self.head(x.mean((0, 2, 3, 4)).unsqueeze(1)) * float("nan")

    with pytest.raises(FloatingPointError, match="epoch 1, step 1"):
        train(Broken(), samples, schedule)
    with pytest.raises(FloatingPointError, match="not finite"):
        evaluate(Broken(), samples)


def test_checkpoints_of_another_schedule_or_network_or_damaged_are_refused(tmp_path):
    samples = data(8)
    schedule = Schedule(epochs=2, learning_rate=1e-3, batch_size=8)
    model = network()
    train(model, samples, schedule, Segment(until_epoch=1, checkpoint=tmp_path))

    def resume(model, schedule):
        train(model, samples, schedule, Segment(resume_from=tmp_path))

    with pytest.raises(RunFailed, match="another training schedule"):
        resume(network(), Schedule(epochs=3, learning_rate=1e-3, batch_size=8))
    with pytest.raises(RunFailed, match="another network"):
        resume(network(quantized=True), schedule)
    (tmp_path / "epoch-1.safetensors").write_bytes(b"no tensors")
    with pytest.raises(RunFailed, match="damaged"):
        resume(network(), schedule)
    (tmp_path / "checkpoint.json").write_text("{")
    with pytest.raises(RunFailed, match="damaged"):
        resume(network(), schedule)


def test_a_parent_gives_its_weights_to_a_quantized_child(tmp_path):
    parent, child = network(seed=1), network(seed=2)
    save_state(parent, tmp_path / "parent.safetensors")
    load_state(child, tmp_path / "parent.safetensors")
    for name, value in parent.state_dict().items():
        assert torch.equal(value, child.state_dict()[name])
    with pytest.raises(RunFailed, match="another network"):
        load_state(nn.Linear(2, 2), tmp_path / "parent.safetensors")


def test_learning_rate_rises_then_falls_to_nearly_zero():
    schedule = Schedule(epochs=1, learning_rate=0.1, warmup=0.25)
    rates = [learning_rate(step, 40, schedule) for step in range(40)]
    peak = int(np.argmax(rates))
    assert 8 <= peak <= 10
    assert max(rates) == pytest.approx(0.1)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < rates[-1] < 0.001
    flat = Schedule(epochs=1, learning_rate=0.1, warmup=0.0)
    assert learning_rate(0, 1, flat) > 0


def test_norms_biases_and_scales_do_not_decay():
    model = network(quantized=True)
    decayed, free = make_optimizer(model, Schedule(1, 1e-3, weight_decay=0.3)).param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.3, 0.0)
    names = {parameter: name for name, parameter in model.named_parameters()}
    assert all(names[p].endswith(("weight", "original")) for p in decayed["params"])
    assert any(names[p].endswith(".step") for p in free["params"])
    assert any(names[p].endswith(".log2_scale") for p in free["params"])


@pytest.mark.parametrize(
    "change",
    [{"epochs": -1}, {"learning_rate": 0.0}, {"batch_size": 0}, {"warmup": 1.5}, {"shift": -1}],
)
def test_a_schedule_out_of_range_is_refused(change):
    with pytest.raises(DefinitionError, match=next(iter(change))):
        Schedule(**{"epochs": 1, "learning_rate": 1e-3, **change})


def test_no_samples():
    with pytest.raises(ValueError, match="no samples"):
        evaluate(network(), data(0))


def test_dropout_draws_from_seed_and_epoch_alone() -> None:
    """A network that draws in its forward pass gives the same result whatever ran before."""
    frames = np.random.default_rng(0).integers(0, 3, (16, 2, 2, 4, 4), dtype=np.uint8)
    labels = np.arange(16) % 2

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop, self.head = torch.nn.Dropout(0.5), torch.nn.Linear(32, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.drop(x.mean(0).flatten(1)))

    def losses() -> list[float]:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = Net()
        schedule = Schedule(epochs=2, learning_rate=0.1, batch_size=8, shift=0)
        done = train(model, Samples(frames, labels, to_float), schedule)
        return [record.loss for record in done.history]

    first = losses()
    torch.rand(7)
    assert losses() == first
