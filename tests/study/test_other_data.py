"""Other data under the same path: refused before anything is trained on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import hqsearch
from hqsearch.errors import StudyMismatch

STUDY = """title = "Arrays"
space = { choices = ["4u", "fp32"] }
evaluator = "short-qat"
evaluations = 3
[data]
dataset = "arrays"
path = "mine.npz"
size = 8
channels = 2
encoding = "count"
[model]
name = "spikformer"
timesteps = 2
embed_dim = 8
depth = 1
heads = 2
pooled_stages = 2
[evaluation]
parent_epochs = 1
epochs = 1
batch_size = 10
[[objective]]
name = "accuracy"
[[objective]]
name = "storage"
"""


def write(file: Path, seed: int) -> None:
    labels = np.arange(60) % 3
    counts = np.random.default_rng(seed).poisson(0.5, (60, 2, 2, 8, 8)).astype(np.uint8)
    np.savez(file, data=counts, labels=labels)


def test_nothing_of_the_study_changes(tmp_path: Path) -> None:
    write(tmp_path / "mine.npz", 0)
    (tmp_path / "arrays.toml").write_text(STUDY)
    study = hqsearch.Study(tmp_path / "arrays.toml", studies_dir=tmp_path / "studies")
    study.run("random", executor="in-process")
    folder = tmp_path / "studies" / "arrays"
    kept = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    write(tmp_path / "mine.npz", 1)
    again = hqsearch.Study(tmp_path / "arrays.toml", studies_dir=tmp_path / "studies")
    with pytest.raises(StudyMismatch, match="data are not those that study 'arrays' was made of"):
        again.run("random", evaluations=4, executor="in-process")
    assert {p: p.read_bytes() for p in kept} == kept
    assert not [
        p for p in folder.rglob("*") if p.is_file() and "parents" in p.parts and p not in kept
    ]
