from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hqsearch.data import DataSpec, simulate_gesture
from hqsearch.data.simulated import CLASSES, simulated_samples
from hqsearch.errors import DefinitionError

SAMPLES = 132


@pytest.fixture(scope="module")
def gestures() -> list[tuple[np.ndarray, int]]:
    return [simulate_gesture(0, index) for index in range(SAMPLES)]


def test_events_are_within_sensor_and_time(gestures: list[tuple[np.ndarray, int]]) -> None:
    for events, _ in gestures[:22]:
        assert events.dtype.names == ("x", "y", "t", "p")
        assert events["x"].min() >= 0
        assert events["x"].max() < 128
        assert events["y"].min() >= 0
        assert events["y"].max() < 128
        assert (np.diff(events["t"]) >= 0).all()
        assert events["t"].min() >= 0
        assert events["t"].max() <= 1_450_000


def test_statistics_are_those_of_recordings(gestures: list[tuple[np.ndarray, int]]) -> None:
    counts = np.array([len(events) for events, _ in gestures])
    labels = np.array([label for _, label in gestures])
    for label, name in enumerate(CLASSES):
        mean = counts[labels == label].mean()
        assert 50_000 <= mean <= 180_000, f"{name}: {mean:.0f} events"
    assert ((counts >= 63_000) & (counts <= 181_000)).mean() >= 0.65
    on = sum(int(events["p"].sum()) for events, _ in gestures) / counts.sum()
    assert 0.47 <= on <= 0.53


def test_classes_take_turns(gestures: list[tuple[np.ndarray, int]]) -> None:
    assert [label for _, label in gestures[:11]] == list(range(11))


def test_samples_repeat_and_differ() -> None:
    first, _ = simulate_gesture(3, 14)
    again, _ = simulate_gesture(3, 14)
    np.testing.assert_array_equal(first, again)
    assert len(simulate_gesture(4, 14)[0]) != len(first)
    assert len(simulate_gesture(3, 25)[0]) != len(first)


def test_active_arm_is_on_its_side(gestures: list[tuple[np.ndarray, int]]) -> None:
    # The right hand is at image-left, as in the recordings.
    mean_x = {label: [] for label in range(11)}
    for events, label in gestures:
        mean_x[label].append(events["x"].mean())
    assert np.mean(mean_x[1]) < 60 < 70 < np.mean(mean_x[2])
    assert np.mean(mean_x[3]) < 60 < 70 < np.mean(mean_x[5])


def _turning(events: np.ndarray) -> float:
    """Mean sign of the turn of the events' centre around its mean, > 0 counter-clockwise."""
    window = events["t"] // 60_000
    n = np.bincount(window)
    x = np.bincount(window, events["x"]) / n
    y = np.bincount(window, events["y"]) / n
    dx, dy = x - x.mean(), -(y - y.mean())
    return float(np.sum(dx[:-1] * dy[1:] - dy[:-1] * dx[1:]))


def test_clockwise_of_the_subject_is_counter_clockwise_in_the_image(
    gestures: list[tuple[np.ndarray, int]],
) -> None:
    for label, sign in ((3, 1), (4, -1), (5, 1), (6, -1)):
        turns = [sign * _turning(events) > 0 for events, own in gestures if own == label]
        assert np.mean(turns) >= 0.9, CLASSES[label]


def test_orientation_agrees_with_the_recordings(recorded_data: Path) -> None:
    from hqsearch.data.files import read_events

    for label, sign in ((3, 1), (4, -1), (5, 1), (6, -1)):
        folder = recorded_data / "dvs-gesture-clips" / f"{label:02d}_{CLASSES[label]}"
        assert sign * _turning(read_events(folder / "clip.bin", (128, 128))) > 0, folder.name


def test_splits_share_no_index_and_keep_when_another_grows() -> None:
    small = simulated_samples(
        DataSpec("simulated-gestures", 8, 32, train=11, validation=22, test=33)
    )
    large = simulated_samples(
        DataSpec("simulated-gestures", 8, 32, train=99, validation=22, test=33)
    )
    origins = [sample.origin for part in small.splits.values() for sample in part]
    assert len(set(origins)) == 66
    assert [s.origin for s in large.splits["validation"]] == [
        s.origin for s in small.splits["validation"]
    ]


def test_fewer_samples_than_classes_are_refused() -> None:
    with pytest.raises(DefinitionError, match="at least 11"):
        simulated_samples(DataSpec("simulated-gestures", 8, 32, train=5))
