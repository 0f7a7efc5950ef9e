"""Files that a study names besides its network travel to workers too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hqsearch.definition.files import study_of_tables
from hqsearch.executors.shipping import named_files


def test_trained_weights_and_a_task_are_shipped(tmp_path: Path) -> None:
    for name in ("net.py", "task.py", "trained.pt"):
        (tmp_path / name).write_text("")
    tables: dict[str, Any] = {
        "space": "spikformer",
        "evaluator": "short-qat",
        "data": {"dataset": "simulated-gestures"},
        "model": {"path": "net.py:build", "weights": "trained.pt"},
        "evaluation": {"task": "task.py:Mine"},
        "objective": [{"name": "accuracy"}, {"name": "storage"}],
    }
    found = named_files(study_of_tables(tables, "mine", tmp_path))
    assert found == [
        ("model.path", tmp_path / "net.py", "build"),
        ("evaluation.task", tmp_path / "task.py", "Mine"),
        ("model.weights", tmp_path / "trained.pt", ""),
    ]
