"""Teachers: nothing to learn from oneself, and what is learned reaches q, k and v."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hqsearch.errors import DefinitionError
from hqsearch.models import build_model
from hqsearch.quant import quantize_model
from hqsearch.training import Samples, Schedule, Segment, Teacher, train
from hqsearch.training.distillation import LOGITS_SHARE, pattern_distance, require_alike

SPIKFORMER = ("spikformer", {"embed_dim": 16, "depth": 1, "heads": 2, "pooled_stages": 2})
QSD = ("qsd", {"embed_dims": [8, 8, 16, 16], "depth": 2, "heads": 2, "strides": [1, 2, 2, 1]})
KINDS = ("logits", "fine-grained")


def network(which=SPIKFORMER, seed: int = 0) -> nn.Module:
    name, options = which
    model = build_model(name, options, timesteps=2, size=16, classes=3, in_channels=2, seed=seed)
    for norm in model.modules():  # so that neurons fire before any training
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.constant_(norm.bias, 0.5)
    return model


def frames(n: int = 6) -> torch.Tensor:
    return torch.randint(
        0, 6, (2, n, 2, 16, 16), generator=torch.Generator().manual_seed(1)
    ).float()


@pytest.mark.parametrize("which", [SPIKFORMER, QSD], ids=["spikformer", "qsd"])
@pytest.mark.parametrize("kind", KINDS)
def test_of_oneself_there_is_nothing_to_learn(which, kind):
    student = network(which).eval()
    label = torch.tensor(1.25)
    with torch.no_grad(), Teacher(copy.deepcopy(student), student, kind) as teacher:
        logits = student(frames())
        loss = teacher.loss(label, frames(), logits)
    share = 1.0 - LOGITS_SHARE if kind == "logits" else 1.0
    assert float(loss) == pytest.approx(1.25 * share, abs=1e-6)


@pytest.mark.parametrize("which", [SPIKFORMER, QSD], ids=["spikformer", "qsd"])
def test_patterns_reach_q_k_and_v_and_no_weight_behind_them(which):
    teacher_network, student = network(which, 1), network(which, 2)
    with Teacher(teacher_network, student, "fine-grained") as teacher:
        logits = student(frames())
        teacher.loss(torch.zeros(()), frames(), logits).backward()
    moved = {n for n, p in student.named_parameters() if p.grad is not None and p.grad.abs().sum()}
    for letter in "qkv":
        assert any(f".attention.{letter}." in name for name in moved)
    assert "head.weight" not in moved
    assert all(p.grad is None for p in teacher_network.parameters())
    assert teacher_network.training is False


def test_a_row_of_a_pattern_is_the_direction_of_its_similarities():
    generator = torch.Generator().manual_seed(0)
    s, t = ((torch.rand(4, 9, 5, generator=generator) > 0.5).float() for _ in range(2))
    expected = []
    for one, other in zip(s, t, strict=True):
        rows = [x @ x.T for x in (one, other)]
        rows = [r / (r.square().sum(1, keepdim=True) + 1e-3).sqrt() for r in rows]
        expected.append((rows[0] - rows[1]).square().sum(1).mean())
    assert float(pattern_distance([s], [t])) == pytest.approx(float(torch.stack(expected).mean()))
    silent = torch.zeros_like(s).requires_grad_()
    pattern_distance([silent], [t]).backward()
    assert bool(silent.grad.isfinite().all())


def small_samples() -> Samples:
    rng = np.random.default_rng(0)
    return Samples(
        rng.integers(0, 6, (20, 2, 2, 16, 16), dtype=np.uint8),
        rng.integers(0, 3, 20),
        lambda stored: stored.float(),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_stopping_and_going_on_gives_the_same_bits(kind, tmp_path: Path):
    def run(segment: Segment) -> nn.Module:
        parent = network(seed=4)
        student = copy.deepcopy(parent)
        quantize_model(student, {"blocks.0.attention.q": "2u"})
        schedule = Schedule(epochs=2, learning_rate=1e-2, batch_size=10)
        train(student, small_samples(), schedule, segment, teacher=Teacher(parent, student, kind))
        return student

    whole = run(Segment())
    run(Segment(1, tmp_path / "half"))
    resumed = run(Segment(None, None, tmp_path / "half"))
    plain = copy.deepcopy(network(seed=4))
    quantize_model(plain, {"blocks.0.attention.q": "2u"})
    train(plain, small_samples(), Schedule(epochs=2, learning_rate=1e-2, batch_size=10))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    name = "blocks.0.attention.k.weight"
    assert not torch.equal(whole.state_dict()[name], plain.state_dict()[name])
    assert not whole.blocks[0].attention.products._forward_pre_hooks


def test_another_shape_is_refused_with_both_named():
    wide = ("spikformer", {**SPIKFORMER[1], "heads": 4})
    with pytest.raises(
        DefinitionError, match=r"teacher has 1 attention blocks of 4 heads, the stu"
    ):
        Teacher(network(wide), network(), "fine-grained")
    many = ("spikformer", {**SPIKFORMER[1], "pooled_stages": 1})
    teacher_network, student = network(many), network()
    with (
        pytest.raises(DefinitionError, match="teacher has 64 tokens, the student 16"),
        Teacher(teacher_network, student, "fine-grained") as teacher,
    ):
        teacher.loss(torch.zeros(()), frames(), student(frames()))


def test_a_network_without_attention_is_refused_with_what_to_do():
    plain = nn.Linear(2, 2)
    with pytest.raises(DefinitionError, match="use distillation = 'logits' or 'none'"):
        require_alike(plain, plain)
