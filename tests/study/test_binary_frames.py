"""A whole study of frames that are spikes: costs, training, packed file, operations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import hqsearch
from tests.study.small_networks import build

SHAPE = (2, 2, 8, 8)


def split(samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts, up to more than a byte holds, and labels."""
    labels = np.arange(samples) % 3
    mean = 0.1 + labels[:, None, None, None, None] / 2
    counts = np.random.default_rng(seed).poisson(mean, (samples, *SHAPE))
    return counts * 300, labels


def test_events_are_spikes_from_the_first_layer_on(tmp_path: Path) -> None:
    study = hqsearch.Study(
        "spikes",
        model=build,
        data=hqsearch.Frames(split(24, 0), split(18, 1), split(18, 2), encoding="binary"),
        choices=["4u", "fp32"],
        settings={"evaluation.epochs": 1, "evaluation.parent_epochs": 1},
        studies_dir=tmp_path / "studies",
    )
    assert not any("clipped" in note for note in study.check().as_json()["notes"])
    study.run("random", evaluations=3, executor="in-process")
    trial = next(t for t in study.trials() if set(t.choices.values()) == {"4u"})
    net = study.train(trial, epochs=1, executor="in-process")
    hqsearch.export(net, tmp_path / "spikes.hq")
    again = hqsearch.load_model(tmp_path / "spikes.hq", build)
    counts = split(6, 3)[0]
    frames = torch.from_numpy((counts > 0).swapaxes(0, 1).copy()).float()
    with torch.no_grad():
        torch.testing.assert_close(again(frames), net(frames), rtol=1e-5, atol=1e-5)
    first = study.count(trial, samples=12).rows[0]
    assert first.path == "tokenizer.conv1"
    assert first.counted["accumulations"] == pytest.approx(first.exact, rel=1e-12) != 0
