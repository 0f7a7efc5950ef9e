"""How often a network is given a picture, and what it is billed for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hqsearch.data import Images, open_frames
from hqsearch.definition import study_of_tables
from hqsearch.errors import DefinitionError
from hqsearch.evaluator import GivenObjects
from hqsearch.qat.dry_run import _frames as few_seen
from hqsearch.qat.network import trace_untrained
from hqsearch.qat.options import QatOptions
from hqsearch.qat.structural_part import Part
from hqsearch.qat.study import QatStudy

NET = """
from torch import nn

def build(*, classes, in_channels):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(in_channels, classes)
        def forward(self, x):
            return self.head(x.mean((0, 3, 4)))
    return Net()
"""
SPIKFORMER = {"name": "spikformer", "embed_dim": 16, "depth": 1, "heads": 2, "pooled_stages": 2}


@pytest.fixture
def part_of(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    given = Images(*[(np.zeros((6, 3, 16, 16), np.uint8), np.arange(6) % 2)] * 2)

    def make(model, **data):
        tables = {
            "space": {"choices": ["2u", "fp32"]},
            "evaluator": "short-qat",
            "data": {**given.table(), **data},
            "model": {**model, "timesteps": 3},
            "objective": [{"name": "accuracy"}, {"name": "storage"}],
        }
        definition = study_of_tables(tables, "mine", tmp_path)
        objects = GivenObjects(None, given)
        return Part(QatStudy(definition, tmp_path, "cpu", QatOptions(), objects=objects))

    return make


@pytest.mark.parametrize(
    "model, presented, steps",
    [
        (SPIKFORMER, None, 1),
        (SPIKFORMER, "every-step", 3),
        ({"path": "net.py:build"}, None, 3),
        ({"path": "net.py:build"}, "once", 1),
    ],
)
def test_a_picture_is_given_once_or_every_timestep(part_of, model, presented, steps):
    part = part_of(model, **({"presented": presented} if presented else {}))
    assert part.batch_shape(2) == (steps, 2, 3, 16, 16)
    stored = torch.arange(2 * 3 * 16 * 16).reshape(1, 2, 3, 16, 16).to(torch.uint8)
    seen = part.as_seen(part.study.objects.frames.stored.encoding)(stored)
    assert seen.shape == part.batch_shape(2)
    assert all((step == stored[0]).all() for step in seen)


def test_the_first_layer_is_billed_as_often_as_it_runs(part_of):
    once = trace_untrained(part_of(SPIKFORMER)).layers
    every = trace_untrained(part_of(SPIKFORMER, presented="every-step")).layers
    more = {path: op.macs // once[path].macs for path, op in every.items()}
    assert more.pop("tokenizer.conv1") == 3
    assert set(more.values()) == {1}


def test_events_are_presented_as_they_come(part_of):
    with pytest.raises(DefinitionError, match="presented applies to pictures alone"):
        part_of(SPIKFORMER, still=False, encoding="count", presented="once")


@pytest.mark.filterwarnings("error")
def test_a_look_at_prepared_pictures_does_not_share_their_file(part_of, monkeypatch, tmp_path):
    part = part_of(SPIKFORMER)
    given = part.study.objects.frames
    given.write(tmp_path / "frames")
    frames = open_frames(tmp_path / "frames")
    monkeypatch.setattr(Part, "prepared", object())
    monkeypatch.setattr(Part, "frames", frames)
    seen = few_seen(part)
    assert seen.shape == part.batch_shape(3)
