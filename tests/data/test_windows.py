"""One long recording, many samples: what windows hold, and where they go."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hqsearch.data import DataSpec, check_data, data_outlook, load_data, prepare_data
from hqsearch.data.looking import few_frames, split_facts
from hqsearch.data.prepare import list_samples
from hqsearch.errors import DataError


def _conftest() -> Any:
    spec = importlib.util.spec_from_file_location(
        "data_conftest", Path(__file__).parent / "conftest.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SENSOR = (34, 30)


def _recording(path: Path, length: float, seed: int, silent: tuple[float, float] = (0, 0)) -> None:
    """``length`` seconds of 2,000 events each as .npy, with nothing in ``silent``."""
    rng = np.random.default_rng(seed)
    events = _conftest().random_events(rng, int(2000 * length), SENSOR)
    events["t"] = np.sort(rng.integers(0, int(1e6 * length), len(events["t"])))
    events["t"][0], events["t"][-1] = 0, int(1e6 * length) - 1
    kept = (events["t"] < 1e6 * silent[0]) | (events["t"] >= 1e6 * silent[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.rec.fromarrays([events[k][kept] for k in "xytp"], names="x,y,t,p"))


def _spec(root: Path, **keys: Any) -> DataSpec:
    given: dict[str, Any] = {"sensor": SENSOR, "window": "100 ms", "time_unit": "us", **keys}
    return DataSpec("folder", 4, keys.pop("size", 16), path=root, **given)


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """Five recordings of 0.75 to 1.15 s of each of two classes."""
    for label in "ab":
        for k in range(5):
            path = tmp_path / "clips" / label / f"s{k}.npy"
            _recording(path, 0.75 + 0.1 * k, 10 * k + ord(label))
    return tmp_path


def test_windows_of_a_recording_stay_together(long: Path) -> None:
    samples = list_samples(_spec(long / "clips"))
    origins = {name: {s.origin for s in part} for name, part in samples.splits.items()}
    assert not origins["train"] & origins["validation"]
    assert not origins["train"] & origins["test"]
    assert not origins["validation"] & origins["test"]
    assert len(set().union(*origins.values())) == 10
    # 0.75 s hold seven windows and a half that is left out; 0.85 s eight.
    assert sum(map(len, samples.splits.values())) == 2 * (7 + 8 + 9 + 10 + 11)
    for part in samples.splits.values():
        assert {s.label for s in part} == {0, 1}
    assert any("90 windows of 100 ms were cut from 10 recordings" in w for w in samples.warnings)


def test_frames_of_windows_hold_their_events(long: Path) -> None:
    """Each event of a whole window is in the bin that its time says, and in one sample."""
    spec = _spec(long / "clips", encoding="count")
    data = prepare_data(spec, long / "cache")
    listed = list_samples(spec)
    assert data.train.frames.shape == (len(listed.splits["train"]), 4, 2, 16, 16)
    for k in (0, 3, len(data.train) - 1):
        sample = listed.splits["train"][k]
        assert sample.window is not None
        start, length = sample.window
        events = np.load(sample.origin)
        for step in range(4):
            low, high = start + step * length // 4, start + (step + 1) * length // 4
            inside = events[(events["t"] >= low) & (events["t"] < high)]
            assert data.train.frames[k, step].sum() == len(inside)
            assert data.train.frames[k, step, 1].sum() == inside["p"].sum()
    assert load_data(spec, long / "cache").fingerprint == data.fingerprint
    assert data_outlook(spec, long / "cache").samples["train"] == len(data.train)
    again = prepare_data(spec, long / "other", workers=1)
    assert again.fingerprint == data.fingerprint


def test_windows_may_be_binned_by_events(long: Path) -> None:
    data = prepare_data(_spec(long / "clips", encoding="count", bins="events"), long / "cache")
    counts = np.asarray(data.train.frames).sum(axis=(2, 3, 4))
    assert (np.ptp(counts[:, :-1], axis=1) == 0).all()
    assert ((counts[:, -1] - counts[:, 0] >= 0) & (counts[:, -1] - counts[:, 0] < 4)).all()


def test_a_requested_number_of_samples_is_one_of_windows(long: Path) -> None:
    parts = list_samples(_spec(long / "clips", train=20, validation=9, test=8)).splits
    assert {name: len(part) for name, part in parts.items()} == {
        "train": 20, "validation": 9, "test": 8,
    }  # fmt: skip


def test_windows_with_hardly_an_event_and_short_recordings_are_told(tmp_path: Path) -> None:
    root = tmp_path / "clips"
    for label in "ab":
        for k in range(4):
            _recording(root / label / f"{k}.npy", 1.0, k, (0.2, 0.4) if k == 0 else (0, 0))
    _recording(root / "a" / "short.npy", 0.08, 9)
    samples = list_samples(_spec(root))
    assert sum(map(len, samples.splits.values())) == 2 * (3 * 10 + 8)
    told = " ".join(samples.warnings)
    assert "4 windows of fewer than 4 events" in told
    assert "short.npy: shorter than 100 ms, so left out" in told


def test_an_end_that_almost_is_a_window_is_one(tmp_path: Path) -> None:
    for label in "ab":
        for k in range(3):
            _recording(tmp_path / label / f"{k}.npy", 0.095, k)
    assert sum(map(len, list_samples(_spec(tmp_path)).splits.values())) == 6


def test_groups_hold_recordings_together(long: Path) -> None:
    spec = _spec(long / "clips", group=r"/(s\d)\.")
    facts = split_facts(spec)
    assert facts is not None
    assert "windows of 100 ms: " in facts.summary
    assert "5 groups by '/(s\\\\d)\\\\.', none in two splits: 3 in train, 1 in validation" in (
        facts.summary
    )
    groups = {n: {s.group for s in part} for n, part in list_samples(spec).splits.items()}
    assert not groups["train"] & groups["validation"]
    assert not groups["train"] & groups["test"]
    frames = few_frames(spec, 3)
    assert frames is not None
    assert frames.shape == (3, 4, 2, 16, 16)


def test_windows_longer_than_every_recording_are_refused(long: Path) -> None:
    spec = _spec(long / "clips", window="10 s")
    with pytest.raises(DataError, match="no recording is as long as"):
        check_data(spec, long / "cache")


def test_all_unusable_recordings_are_named_at_once(long: Path) -> None:
    for k in (1, 3):
        (long / "clips" / "a" / f"s{k}.npy").write_bytes(b"\x93NUMPY torn")
    with pytest.raises(DataError, match="2 recordings cannot be used") as caught:
        check_data(_spec(long / "clips"), long / "cache")
    assert "s1.npy" in str(caught.value)
    assert "s3.npy" in str(caught.value)
