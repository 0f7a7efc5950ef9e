"""A whole study of frames that are not square: search, final training, packed file, integers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import torch

import hqsearch
from hqsearch.export.packed_file import read_packed, sizes_of
from hqsearch.show.models import packed_text
from tests.study.small_networks import build

SHAPE = (2, 2, 8, 12)


def split(samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts uint8, more of them in later classes, and labels."""
    labels = np.arange(samples) % 3
    mean = 0.3 + labels[:, None, None, None, None]
    counts = np.random.default_rng(seed).poisson(mean, (samples, *SHAPE))
    return counts.clip(0, 15).astype(np.uint8), labels


def test_search_train_and_export(tmp_path: Path) -> None:
    study = hqsearch.Study(
        "wide",
        model=build,
        data=hqsearch.Frames(split(24, 0), split(18, 1), split(18, 2), encoding="log2"),
        choices=["4u", "fp32"],
        settings={"evaluation.epochs": 1, "evaluation.parent_epochs": 1},
        studies_dir=tmp_path / "studies",
    )
    study.run("random", evaluations=3, executor="in-process")
    net = study.train(study.trials()[0], epochs=1, executor="in-process")
    assert net.about["input"]["size"] == [8, 12]
    file = tmp_path / "wide.hq"
    hqsearch.export(net, file)
    again = hqsearch.load_model(file, build)
    counts = split(6, 3)[0]
    frames = torch.from_numpy(counts.swapaxes(0, 1).copy()).float()
    with torch.no_grad():
        torch.testing.assert_close(again(frames), net(frames), rtol=1e-5, atol=1e-5)
    packed = read_packed(file)
    assert "2 timesteps of 2 × 8 × 12, log2" in packed_text(packed, sizes_of(packed, file), file)
    hqsearch.export(net, tmp_path / "c", format="c")
    assert "2 x 8 x 12" in (tmp_path / "c" / "hq_model.h").read_text()
    program = tmp_path / "classify"
    sources = sorted(map(str, (tmp_path / "c").glob("*.c")))
    subprocess.run(["gcc", "-O1", "-o", str(program), *sources], check=True)
    (tmp_path / "samples.bin").write_bytes(counts.tobytes())
    told = subprocess.run(
        [str(program), str(tmp_path / "samples.bin")], check=True, capture_output=True, text=True
    )
    classes = [int(line.split()[0]) for line in told.stdout.splitlines()[: len(counts)]]
    with torch.no_grad():
        assert classes == again(frames).argmax(1).tolist()
