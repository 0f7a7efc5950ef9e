"""The event camera: what it is silent about, and how it fires."""

from __future__ import annotations

import numpy as np
import pytest

from hqsearch.data.simulated import camera
from hqsearch.data.simulated.camera import DURATION, FRAMES, SIDE, watch
from hqsearch.data.simulated.person import Motion, Person, draw_person, limbs


@pytest.fixture
def ideal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sensor without noise and strays."""
    monkeypatch.setattr(camera, "NOISE_RATE", 0.0)
    monkeypatch.setattr(camera, "STRAY_SHARE", (0.0, 0.0))
    monkeypatch.setattr(camera, "_noise", lambda _: (np.zeros(0, np.int64),) * 4)


def scene(speed: float) -> tuple[Person, Motion]:
    """A right arm that hangs and moves sideways by ``speed`` pixels in all; the rest is still."""
    person = draw_person(np.random.default_rng(0))
    shoulders = np.tile(person.shoulders, (FRAMES, 1, 1))
    elbows, hands = shoulders + np.array([0.0, 25.0]), shoulders + np.array([0.0, 45.0])
    hands[:, 0, 0] -= np.linspace(0, speed, FRAMES)
    return person, Motion(elbows, hands, shoulders, np.zeros((FRAMES, 2)))


def events(speed: float, seed: int = 1) -> np.ndarray:
    person, motion = scene(speed)
    return watch(limbs(person, motion), person, motion, np.random.default_rng(seed))


@pytest.mark.usefixtures("ideal")
def test_nothing_that_stands_still_is_seen() -> None:
    assert len(events(0.0)) == 0


@pytest.mark.usefixtures("ideal")
def test_faster_motion_fires_more_where_the_hand_moves() -> None:
    slow, fast = events(8.0), events(24.0)
    assert 0 < len(slow) < len(fast)
    person, _ = scene(0.0)
    assert np.median(fast["x"]) < person.shoulders[0, 0]
    assert fast["y"].min() > person.shoulders[0, 1]


def test_events_are_in_time_and_within_the_sensor() -> None:
    seen = events(24.0)
    assert (np.diff(seen["t"]) >= 0).all()
    assert seen["t"].min() >= 0
    assert seen["t"].max() <= DURATION
    for axis in "xy":
        assert seen[axis].min() >= 0
        assert seen[axis].max() < SIDE
    np.testing.assert_array_equal(seen, events(24.0))
    assert len(seen) != len(events(24.0, seed=2))


def test_noise_comes_at_its_rate() -> None:
    x, y, t, p = camera._noise(np.random.default_rng(0))
    expected = camera.NOISE_RATE * SIDE * SIDE * DURATION / 1e6
    assert expected - 200 < len(t) < expected + 5 * 300 * DURATION / 1e6 + 200
    assert len(x) == len(y) == len(t) == len(p)
    assert set(np.unique(p)) == {0, 1}
    assert t.max() < DURATION


def test_the_order_of_time_is_stable() -> None:
    times = np.array([5, 3, 5, 0, 3, DURATION])
    assert camera._time_order(times).tolist() == np.argsort(times, kind="stable").tolist()


@pytest.mark.parametrize(
    ("point", "cover"), [((10.0, 10.0), 1.0), ((12.0, 10.0), 0.5), ((20.0, 10.0), 0.0)]
)
def test_a_capsule_covers_pixels_by_their_distance(
    point: tuple[float, float], cover: float
) -> None:
    capsule = np.array([10.0, 5.0, 2.0, 10.0, 15.0, 2.0])
    assert camera._cover(*point, capsule) == pytest.approx(cover)
