"""Every recorded study runs on small files in its native layout, loaded through tonic's class."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hqsearch.show.live import LiveProgress
from hqsearch.store.log import LogReader, storage_url
from hqsearch.study.running import Request, start

SMALL = {
    "data.size": 16,
    "model.timesteps": 2,
    "model.embed_dim": 16,
    "model.depth": 1,
    "model.heads": 2,
    "model.pooled_stages": 3,
    "evaluation.parent_epochs": 1,
    "evaluation.parent_threads": 1,
    "evaluation.epochs": 1,
}


def _makers() -> dict[str, Any]:
    """What makes a data set's files, from the tests of the loaders."""
    path = Path(__file__).parents[1] / "data" / "test_recordings.py"
    spec = importlib.util.spec_from_file_location("recorded_layouts", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.MAKERS)


@pytest.mark.parametrize("name", ["nmnist", "dvs-gesture", "cifar10-dvs", "n-caltech101"])
def test_two_evaluations_on_the_native_layout(name: str, tmp_path: Path) -> None:
    make, classes, _ = _makers()[name]
    make(tmp_path / "data")
    console = Console(file=io.StringIO(), width=200)
    request = Request(
        name,
        "nsga2",
        evaluations=2,
        data=tmp_path / "data",
        studies_dir=tmp_path / "studies",
        executor="in-process",
        overrides=SMALL,
    )
    with LiveProgress(console) as progress:
        assert start(request, progress).finished == 2
    assert isinstance(console.file, io.StringIO)
    told = console.file.getvalue()
    assert "standard error" in told  # few validation samples are warned of
    assert "Simulated" not in told
    folder = tmp_path / "studies" / name
    trials = LogReader(storage_url(None, folder), name).trials()
    assert [t.state for t in trials] == ["COMPLETE", "COMPLETE"]
    assert json.loads((folder / "prepared.json").read_text())["classes"] == classes
