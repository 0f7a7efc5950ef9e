from __future__ import annotations

import numpy as np
import pytest
import tonic.transforms
from hypothesis import given, settings
from hypothesis import strategies as st

from hqsearch.data.files import EVENT
from hqsearch.data.framing import count_equally, count_frames, frame_events


def _events(seed: int, n: int, sensor: tuple[int, int], duration: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    events = np.empty(n, dtype=EVENT)
    events["x"], events["y"] = rng.integers(0, sensor[0], n), rng.integers(0, sensor[1], n)
    events["t"] = 1000 + np.sort(rng.integers(0, duration, n))
    events["p"] = rng.integers(0, 2, n)
    return events


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    n=st.integers(2, 3000),
    sensor=st.sampled_from([(34, 34), (128, 128), (240, 180), (31, 57)]),
    timesteps=st.integers(1, 16),
    size=st.sampled_from([16, 32, 33]),
)
def test_equals_tonic(
    seed: int, n: int, sensor: tuple[int, int], timesteps: int, size: int
) -> None:
    events = _events(seed, n, sensor, 300_000)
    ours = count_frames(events, sensor, timesteps, size)
    smaller = tonic.transforms.Downsample(sensor_size=(*sensor, 2), target_size=(size, size))
    frames = tonic.transforms.ToFrame(sensor_size=(size, size, 2), n_time_bins=timesteps)
    np.testing.assert_array_equal(ours, frames(smaller(events)))


def test_order_of_events_does_not_matter() -> None:
    events = _events(0, 500, (34, 34), 100_000)
    shuffled = np.random.default_rng(1).permutation(events)
    np.testing.assert_array_equal(
        count_frames(events, (34, 34), 4, 32), count_frames(shuffled, (34, 34), 4, 32)
    )


def test_channel_one_is_on() -> None:
    events = _events(0, 100, (34, 34), 100_000)
    events["p"] = True
    counts = count_frames(events, (34, 34), 2, 32)
    assert counts[:, 0].sum() == 0
    assert counts[:, 1].sum() > 90


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_events_give_empty_frames(n: int) -> None:
    assert count_frames(_events(0, n, (34, 34), 100), (34, 34), 4, 16).sum() == 0


@pytest.mark.parametrize(
    ("times", "lost"),
    [
        (np.arange(32).repeat(10), 0),  # whole milliseconds taken as they are
        (np.arange(11).repeat(30), 0),
        (np.r_[np.arange(0, 100_000, 100), np.full(500, 100_000)], 0),  # much at the last instant
        (np.arange(0, 100_000, 100), 1),
        (np.array([0, 5]), 0),
    ],
)
def test_no_end_of_a_recording_is_left_out(times: np.ndarray, lost: int) -> None:
    events = _events(0, len(times), (34, 34), 10)
    events["t"] = times
    counts = frame_events(events, (34, 34), 16, 32)
    assert len(times) - counts.sum() == lost
    assert counts[-1].sum() > 0


def test_closed_bins_are_fractions_of_the_duration() -> None:
    events = _events(0, 9, (34, 34), 10)
    events["t"] = np.arange(9)
    counts = count_frames(events, (34, 34), 3, 32, closed=True)
    assert counts.sum(axis=(1, 2, 3)).tolist() == [3, 3, 3]


def test_frames_need_not_be_square() -> None:
    """Rows and columns are counted as with each side's own square."""
    events = _events(0, 3000, (40, 30), 300_000)
    counts = count_frames(events, (40, 30), 4, (12, 20))
    assert counts.shape == (4, 2, 12, 20)
    assert (counts.sum(2) == count_frames(events, (40, 30), 4, 20).sum(2)).all()
    assert (counts.sum(3) == count_frames(events, (40, 30), 4, 12).sum(3)).all()


@pytest.mark.parametrize(("n", "timesteps"), [(1000, 4), (1003, 4), (17, 16), (5, 5)])
def test_equal_numbers_are_those_of_spikingjelly(n: int, timesteps: int) -> None:
    """T bins of n // T events in order of time; what is left over is in the last."""
    events = _events(0, n, (40, 30), 300_000)
    shuffled = events[np.random.default_rng(1).permutation(n)]
    ordered = shuffled[np.argsort(shuffled["t"], kind="stable")]
    counts = count_equally(shuffled, (40, 30), timesteps, 10)
    each = n // timesteps
    for step in range(timesteps):
        stop = n if step == timesteps - 1 else (step + 1) * each
        expected = np.zeros((2, 10, 10), int)
        for event in ordered[step * each : stop]:
            place = int(event["p"]), int(event["y"] * 10 / 30), int(event["x"] * 10 / 40)
            expected[place] += 1
        assert (counts[step] == expected).all()


def test_fewer_events_than_bins_fill_none() -> None:
    assert count_equally(_events(0, 3, (40, 30), 300), (40, 30), 4, 10).sum() == 0
