"""Real trainings with structural dimensions: cut everywhere, and on several workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

STUDY = """title = "Small, with timesteps and a neuron to choose"
space = "space.toml"
evaluator = "short-qat"
evaluations = 7
[data]
dataset = "simulated-gestures"
size = 16
train = 44
validation = 33
test = 11
[model]
name = "spikformer"
timesteps = 2
embed_dim = 16
depth = 1
heads = 2
pooled_stages = 3
[evaluation]
parent_epochs = 2
parent_threads = 1
epochs = 1
batch_size = 11
threads = 1
[[objective]]
name = "accuracy"
[[objective]]
name = "energy"
"""
SPACE = """choices = ["2u", "4l"]
[[structure]]
name = "timesteps"
values = [2, 1]
[[structure]]
name = "neuron"
values = ["lif", "integer"]
"""
ASSISTED = {"strategy.nsga2.assist": True, "strategy.nsga2.prior": True}


@pytest.fixture
def study(tmp_path: Path) -> str:
    (tmp_path / "space.toml").write_text(SPACE)
    (tmp_path / "small.toml").write_text(STUDY)
    return str(tmp_path / "small.toml")


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "options"), [("random", {}), ("nsga2", ASSISTED)])
def test_a_run_that_is_cut_everywhere_goes_on_as_if_it_had_not_been(
    tmp_path: Path,
    launched: Any,
    cut_driver: Callable[[Callable[[], Any]], int],
    study: str,
    strategy: str,
    options: dict[str, Any],
) -> None:
    def run(folder: Path, **more: Any) -> Any:
        asked = {"strategy": strategy, "evaluations": 7, "overrides": options, **more}
        return launched.run(folder, study, **asked)

    run(tmp_path / "whole", executor="in-process")
    whole = launched.table(tmp_path / "whole", "small")
    assert len({row[2].partition("neuron=")[2] for row in whole}) == 2
    assert cut_driver(lambda: run(tmp_path / "cut", executor="in-process")) > 2
    assert launched.table(tmp_path / "cut", "small") == whole
    run(tmp_path / "two", executor="ray", workers=2)
    assert sorted(launched.table(tmp_path / "two", "small")) == sorted(whole)
