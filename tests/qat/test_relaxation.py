"""The relaxation of ``short-qat``: costs, who learns from what, state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hqsearch.data.encoding import get_encoding
from hqsearch.definition import SpaceDefinition
from hqsearch.hardware import CostModel, LayerRate, load_profile
from hqsearch.hardware.trace import trace_workload
from hqsearch.models import build_model, weight_layers
from hqsearch.models.neurons import LIF
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.space import Space, derive_space
from hqsearch.qat import relaxation as relaxation_module
from hqsearch.qat.held_out import held_out_part
from hqsearch.qat.relaxation import Batching, Goal, QatRelaxation
from hqsearch.quant import quantize_model
from hqsearch.training import Samples, Task

STEPS, SIZE, CLASSES = 2, 16, 3
TO_FLOAT = get_encoding("log2").to_float
#: Two layers tied, one pinned, the rest free.
RULES = {
    "choices": ("2u", "4u", "2l", "4l", "fp32"),
    "layers": (
        {"match": "blocks.*.attention.[qk]", "tie": True},
        {"match": "tokenizer.conv1", "pin": "8u"},
        {"match": "head", "choices": ("4u", "fp32")},
    ),
}


class OwnNetwork(nn.Module):
    """A user's: a layer that runs twice, a norm, dropout, a buffer that counts its calls."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, stride=4, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.fire = LIF()
        self.twice = nn.Linear(4, 4)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(4, CLASSES)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        y = self.norm(self.conv(x.flatten(0, 1))).unflatten(0, x.shape[:2])
        y = self.fire(y).mean((0, 3, 4))
        out: Tensor = self.head(self.drop(self.twice(self.twice(y))))
        return out


def spikformer() -> nn.Module:
    options = {"embed_dim": 16, "depth": 1, "heads": 2, "pooled_stages": 3}
    return build_model("spikformer", options, timesteps=STEPS, size=SIZE, classes=CLASSES, seed=3)


def samples(per_class: int = 8) -> Samples:
    """Frames of which every third, by class, lights another part of the image."""
    generator = np.random.default_rng(0)
    labels = np.arange(CLASSES * per_class) % CLASSES
    frames = generator.integers(0, 3, (len(labels), STEPS, 2, SIZE, SIZE), dtype=np.uint8)
    for frame, label in zip(frames, labels, strict=True):
        frame[:, :, 5 * label : 5 * label + 5] += 4
    return Samples(frames, labels, TO_FLOAT)


def cost_model(model: nn.Module, space: Space) -> CostModel:
    frames = torch.from_numpy(samples().frames[:4].swapaxes(0, 1).copy())
    workload = trace_workload(model.eval(), TO_FLOAT(frames), 4)
    layers = {path: (choice,) for path, choice in space.pinned}
    layers |= {path: d.values for d in space.dimensions for path in d.layers}
    return CostModel(workload, load_profile("horowitz-45nm-memory"), layers)


def relax(
    model: nn.Module | None = None, rules: Any = RULES, data: Any = None, held_out: float = 0.25
) -> QatRelaxation:
    model = model or spikformer()
    space = derive_space(SpaceDefinition.model_validate(rules), weight_layers(model))
    batching = Batching(held_out, batch_size=6, shift=1, seed=5)
    costs = cost_model(model, space)
    return QatRelaxation(model, space, costs, data or samples(), batching)


def one_hot(relaxation: QatRelaxation, candidate: Candidate) -> list[Tensor]:
    codes = relaxation._space.encode([candidate])[0]
    return [torch.eye(n)[i] for n, i in zip(relaxation.choices, codes, strict=True)]


def even(relaxation: QatRelaxation, learn: bool = False) -> list[Tensor]:
    return [torch.full((n,), 1.0 / n, requires_grad=learn) for n in relaxation.choices]


def estimate(costs: CostModel, space: Space, candidate: Candidate) -> list[float]:
    found = costs.estimate(costs.codes([space.assignment(candidate)]))
    return [float(found.energy[0]), float(found.storage[0]), float(found.average_bits[0])]


def own(relaxation: QatRelaxation) -> dict[str, Tensor]:
    return {name: t.clone() for name, t in relaxation.state().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, t in after.items() if not torch.equal(before[name], t)}


def test_costs_of_the_fp32_network_are_one() -> None:
    relaxation = relax(rules={"choices": RULES["choices"]})
    whole = one_hot(relaxation, relaxation._space.baseline("fp32"))
    torch.testing.assert_close(relaxation.costs(whole), torch.ones(3), rtol=1e-6, atol=0)


@pytest.mark.parametrize("refreshed", [False, True], ids=["parent's rates", "own rates"])
def test_costs_of_a_candidate_are_the_cost_models(refreshed: bool) -> None:
    """Tied, pinned and constant parts included, as fractions of the fp32 parent's."""
    relaxation = relax()
    space, parent = relaxation._space, relaxation._parent_costs
    fp32 = parent.uniform("fp32")
    unit = [parent.energy(fp32).total, parent.storage(fp32).kib, 32.0]
    costs = parent
    if refreshed:
        facts = relaxation.end_epoch(0, even(relaxation))
        assert set(facts["rates"]) == set(parent.workload.rate_paths)
        rates = {
            name.removeprefix("rates/"): LayerRate(*t.tolist())
            for name, t in relaxation.state().items()
            if name.startswith("rates/")
        }
        costs = CostModel(parent.workload.with_rates(rates), parent.profile, parent.layers)
    generator = np.random.default_rng(1)
    energies = set()
    for candidate in [*space.baselines().values(), *(space.random(generator) for _ in range(5))]:
        expected = np.array(estimate(costs, space, candidate)) / unit
        found = relaxation.costs(one_hot(relaxation, candidate)).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        energies.add(float(found[0]))
        if refreshed:
            assert estimate(parent, space, candidate)[0] != pytest.approx(expected[0] * unit[0])
    assert len(energies) > 5


def test_costs_are_linear_in_the_mixture() -> None:
    relaxation = relax()
    generator = np.random.default_rng(2)
    first, second = (one_hot(relaxation, relaxation._space.random(generator)) for _ in range(2))
    between = [(0.3 * a + 0.7 * b).requires_grad_() for a, b in zip(first, second, strict=True)]
    costs = relaxation.costs(between)
    expected = 0.3 * relaxation.costs(first) + 0.7 * relaxation.costs(second)
    torch.testing.assert_close(costs, expected)
    slopes = torch.autograd.grad(costs[0], between)
    steps = [float((b - a) @ s) for a, b, s in zip(first, second, slopes, strict=True)]
    difference = relaxation.costs(second) - relaxation.costs(first)
    assert sum(steps) == pytest.approx(float(difference[0]), rel=1e-4)


def test_what_does_not_fit_is_that_of_the_expected_bits() -> None:
    """Exact for every candidate; between candidates never more than the expectation (Jensen)."""
    relaxation = relax()
    space, flat = relaxation._space, relaxation._parent_costs
    profile = load_profile("resident-45nm")
    generator = np.random.default_rng(3)
    drawn = [space.random(generator) for _ in range(8)]
    weights = flat.workload.weights
    middle = float(np.median([estimate(flat, space, c)[2] for c in drawn])) * weights / 8192
    buffer = replace(profile.constants["weight_buffer"], value=middle)
    profile = replace(profile, constants={**profile.constants, "weight_buffer": buffer})
    costs = CostModel(flat.workload, profile, flat.layers)
    bent = QatRelaxation(spikformer(), space, costs, samples(), Batching(0.25, 6, 1, 5))
    fp32 = costs.uniform("fp32")
    unit = [costs.energy(fp32).total, costs.storage(fp32).kib, 32.0]
    exact = np.array([estimate(costs, space, c) for c in drawn]) / unit
    assert 0 < (exact[:, 2] * 32 * weights > middle * 8192).sum() < 8
    for candidate, expected in zip(drawn, exact, strict=True):
        own_costs = bent.costs(one_hot(bent, candidate)).tolist()
        assert own_costs == pytest.approx(expected.tolist(), rel=1e-5)
    mixtures = [one_hot(bent, c) for c in drawn]
    mean = [torch.stack(same).mean(0).requires_grad_() for same in zip(*mixtures, strict=True)]
    between = bent.costs(mean)
    assert float(between[0].detach()) < exact[:, 0].mean()
    assert float(between[1].detach()) == pytest.approx(exact[:, 1].mean(), rel=1e-5)
    slopes = torch.autograd.grad(between[0], mean)
    assert all(torch.isfinite(s).all() for s in slopes)


@pytest.mark.parametrize("learn", ["weights", "logits"])
def test_a_one_hot_mixture_is_the_candidates_network(learn: Any) -> None:
    relaxation = relax()
    candidate = relaxation._space.random(np.random.default_rng(4))
    batch = next(relaxation.weight_batches(0))
    single = spikformer()
    quantize_model(single, relaxation._space.assignment(candidate))
    logits = single.train()(TO_FLOAT(batch[0]))
    expected = nn.functional.cross_entropy(logits, batch[1])
    assert torch.equal(relaxation.loss(one_hot(relaxation, candidate), batch, learn), expected)


@pytest.mark.parametrize("build", [spikformer, OwnNetwork])
def test_a_logit_step_changes_no_weight_and_no_statistics(build: Any) -> None:
    rules = RULES if build is spikformer else {"choices": RULES["choices"]}
    relaxation = relax(build(), rules)
    before, mixture = own(relaxation), even(relaxation, learn=True)
    loss = relaxation.loss(mixture, next(relaxation.logit_batches(0)), "logits")
    loss.backward()
    # Untrained deep layers may never fire; what fires must be judged.
    assert sum(g.grad is not None and bool(g.grad.any()) for g in mixture) > 1
    assert all(p.grad is None and p.requires_grad for p in relaxation.named_parameters().values())
    assert not changed(before, relaxation.state())
    relaxation.end_epoch(0, even(relaxation))
    assert not changed(before, {k: v for k, v in relaxation.state().items() if "rates/" not in k})


@pytest.mark.parametrize("build", [spikformer, OwnNetwork])
def test_a_weight_step_updates_statistics_and_gives_logits_no_gradient(build: Any) -> None:
    rules = RULES if build is spikformer else {"choices": RULES["choices"]}
    relaxation = relax(build(), rules)
    before, mixture = own(relaxation), even(relaxation, learn=True)
    relaxation.loss(mixture, next(relaxation.weight_batches(0)), "weights").backward()
    assert all(g.grad is None for g in mixture)
    assert all(p.grad is not None for p in relaxation.named_parameters().values())
    moved = changed(before, relaxation.state())
    assert {n.rpartition(".")[2] for n in moved} >= {"running_mean", "num_batches_tracked"}
    if build is OwnNetwork:
        assert "model/calls" in moved


class Halves(Task):
    """The first logit is to be the class's number, of frames half as bright."""

    def prepare(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Any]:
        return inputs / 2, labels.float()

    def loss(self, output: Tensor, target: Any, label_smoothing: float = 0.0) -> Tensor:
        return (output[:, 0] - target).square().mean() + label_smoothing


@pytest.mark.parametrize("learn", ["weights", "logits"])
def test_the_studys_own_loss_is_lowered(learn: Any) -> None:
    plain = relax(spikformer())
    space, costs = plain._space, plain._parent_costs
    given = spikformer(), space, costs, samples(), Batching(0.25, 6, 1, 5)
    own_task = QatRelaxation(*given, goal=Goal(task=Halves(), label_smoothing=0.25))
    smoothed = QatRelaxation(spikformer(), *given[1:], goal=Goal(label_smoothing=0.25))
    batch = next(plain.weight_batches(0))
    candidate = space.random(np.random.default_rng(4))
    for relaxation, scale in ((own_task, 0.5), (smoothed, 1.0)):
        single = spikformer()
        quantize_model(single, space.assignment(candidate))
        logits = single.train()(scale * TO_FLOAT(batch[0]))
        if relaxation is own_task:
            expected = (logits[:, 0] - batch[1]).square().mean() + 0.25
        else:
            expected = nn.functional.cross_entropy(logits, batch[1], label_smoothing=0.25)
        assert torch.equal(relaxation.loss(one_hot(relaxation, candidate), batch, learn), expected)
    assert own_task._measure() != smoothed._measure()  # of dimmer frames


def test_samples_are_mirrored_where_the_study_says_so() -> None:
    plain = relax()
    batching = replace(plain._batching, shift=0, flip=True)
    plain._batching = replace(batching, flip=False)
    flipped = QatRelaxation(spikformer(), plain._space, plain._parent_costs, samples(), batching)
    same = mirrored = 0
    for (frames, _), (others, _) in zip(
        plain.weight_batches(0), flipped.weight_batches(0), strict=True
    ):
        for one, other in zip(frames.unbind(1), others.unbind(1), strict=True):
            same += torch.equal(one, other)
            mirrored += torch.equal(one.flip(-1), other)
    assert same
    assert mirrored
    assert same + mirrored == 18


def _gradients(data: Any) -> tuple[list[Tensor], list[Tensor]]:
    """Of the weights, and of the mixture, in the first step of either."""
    relaxation = relax(data=data)
    relaxation.loss(even(relaxation), next(relaxation.weight_batches(0)), "weights").backward()
    weights = [p.grad for p in relaxation.named_parameters().values()]
    mixture = even(relaxation, learn=True)
    relaxation.loss(mixture, next(relaxation.logit_batches(0)), "logits").backward()
    assert all(g.grad is not None for g in mixture)
    return [g for g in weights if g is not None], [g.grad for g in mixture if g.grad is not None]


def test_planted_labels_reach_only_those_who_learn_from_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = samples()
    parts = held_out_part(data.labels, 0.25, 5)
    monkeypatch.setattr(relaxation_module, "held_out_part", lambda *_: parts)
    weights, logits = _gradients(data)
    for part, (weights_change, logits_change) in zip(
        parts, [(True, False), (False, True)], strict=True
    ):
        labels = data.labels.copy()
        labels[part] = (labels[part] + 1) % CLASSES
        planted = _gradients(replace(data, labels=labels))
        for before, after, change in (
            (weights, planted[0], weights_change),
            (logits, planted[1], logits_change),
        ):
            same = all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
            assert same != change


def test_batches_are_the_parts_once_and_come_from_seed_and_epoch() -> None:
    relaxation = relax()
    learn, held = held_out_part(samples().labels, 0.25, 5)
    for batches, part in (
        (relaxation.weight_batches, learn),
        (relaxation.logit_batches, held),
    ):
        first, again, later = list(batches(0)), list(batches(0)), list(batches(1))
        assert sum(len(labels) for _, labels in first) == len(part)
        for (frames, labels), (frames_again, labels_again) in zip(first, again, strict=True):
            assert torch.equal(frames, frames_again)
            assert torch.equal(labels, labels_again)
        assert not all(torch.equal(a, b) for (a, _), (b, _) in zip(first, later, strict=True))
    assert relaxation.weight_steps() == len(list(relaxation.weight_batches(0))) == 3


@pytest.mark.parametrize("build", [spikformer, OwnNetwork])
def test_state_brings_back_everything(build: Any) -> None:
    rules = RULES if build is spikformer else {"choices": RULES["choices"]}
    first, second = relax(build(), rules), relax(build(), rules)
    for batch in first.weight_batches(0):
        first.loss(even(first), batch, "weights").backward()
    with torch.no_grad():
        for parameter in first.named_parameters().values():
            parameter -= 0.01 * torch.sign(parameter.grad)
    first.end_epoch(0, even(first))
    parameters = second.named_parameters()
    second.load_state(own(first))
    assert all(p is second.named_parameters()[name] for name, p in parameters.items())
    assert not changed(first.state(), second.state())
    assert torch.equal(first.costs(even(first)), second.costs(even(second)))
    batch = next(first.logit_batches(1))
    torch.manual_seed(0)
    expected = first.loss(even(first), batch, "logits")
    torch.manual_seed(0)
    assert torch.equal(second.loss(even(second), batch, "logits"), expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("tokenizer.norm2.running_mean", "tokenizer.norm2.running_mean"),
        ("tokenizer.norm3.bias", "tokenizer.norm3.bias"),
        ("tokenizer.conv2.parametrizations.weight.original", "tokenizer.conv2.weight"),
        ("tokenizer.conv2.parametrizations.weight.0.quantizers.4u.step", r"conv2\..*\.4u\.step"),
    ],
)
def test_a_supernet_that_holds_no_number_is_not_gone_on_with(
    name: str, told: str, value: float
) -> None:
    relaxation = relax(spikformer())
    relaxation.require_finite("after epoch 1")
    state = relaxation.state()
    tensor = state[f"model/{name}"]
    tensor[(0,) * tensor.ndim] = value
    with pytest.raises(FloatingPointError, match=f"{told} is not finite after epoch 1"):
        relaxation.require_finite("after epoch 1")


def test_norms_biases_and_scales_do_not_decay() -> None:
    relaxation = relax()
    parameters, spared = relaxation.named_parameters(), relaxation.no_decay()
    assert spared < set(parameters)
    decayed = set(parameters) - spared
    assert decayed == {n for n in parameters if n.endswith("weight.original")}
    assert len(decayed) == len(weight_layers(spikformer()))
