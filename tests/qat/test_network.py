"""What the untrained network does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hqsearch.errors import PluginError
from hqsearch.qat.network import trace_untrained
from hqsearch.qat.structural_part import Part
from hqsearch.qat.study import QatStudy

MakeStudy = Callable[..., QatStudy]
LOOKS_AT_VALUES = """
from torch import nn
from hqsearch.models.neurons import LIF

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fire = nn.Conv2d(2, 4, 3, stride=4), LIF()
        self.head = nn.Linear(4, 11)

    def forward(self, x):
        scale = 1.0 if float(x.sum()) >= 0 else 2.0
        y = self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return self.head(self.fire(y).mean((0, 3, 4))) * scale

def build(**_):
    return Net()
"""


def users_part(make_study: MakeStudy, folder: Path, source: str) -> Part:
    (folder / "net.py").write_text(source)
    study = make_study(folder)
    model = study.model({}).model_copy(update={"name": None, "path": "net.py:build"})
    definition = study.definition.model_copy(update={"model": model, "folder": folder})
    return Part(replace(study, definition=definition))


def test_it_has_every_layer_and_no_rates(make_study: MakeStudy, tmp_path: Path) -> None:
    part = Part(make_study(tmp_path))
    workload = trace_untrained(part)
    assert set(workload.layers) == {layer.path for layer in part.layers}
    assert workload.timesteps == 2
    assert all(op.rate is None and op.activity is None for op in workload.operations)


def test_a_network_that_looks_at_values_is_run_on_real_frames(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    workload = trace_untrained(users_part(make_study, tmp_path, LOOKS_AT_VALUES))
    assert list(workload.layers) == ["conv", "head"]
    assert all(op.rate is None and op.rate_se is None for op in workload.operations)


def test_a_network_that_fails_is_named(make_study: MakeStudy, tmp_path: Path) -> None:
    broken = LOOKS_AT_VALUES.replace("nn.Linear(4, 11)", "nn.Linear(5, 11)")
    part = users_part(make_study, tmp_path, broken)
    with pytest.raises(PluginError, match=r"net\.py:build fails on frames \[2, 1, 2, 16, 16\]"):
        trace_untrained(part)
