"""The event camera: renders the scene and turns changes of log intensity into events.

Every pixel remembers the log intensity of its last event and fires whenever the present one has
moved by its threshold, at the interpolated time of the crossing (Hu et al., "v2e", CVPRW 2021;
also Rebecq et al., "ESIM", CoRL 2018). Thresholds differ between pixels; a pixel is silent for
a refractory period; noise, hot pixels and doubled events come on top. The constants reproduce
statistics of DVS128 Gesture recordings.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hqsearch.data.framing import Events
from hqsearch.data.simulated.person import Floats, Motion, Person

SIDE = 128
FRAME_RATE = 400
FRAMES = 581
#: Microseconds between two frames, and of a whole sample.
STEP = 1_000_000 // FRAME_RATE
DURATION = (FRAMES - 1) * STEP

THRESHOLD = 0.115
THRESHOLD_MISMATCH = 0.12
REFRACTORY = 500
NOISE_RATE = 0.12
DUPLICATE_SHARE = 0.13
STRAY_SHARE = (0.05, 0.22)
#: Pixels that the body moves before it is drawn again: an edge then changes by less than a
#: threshold, so that its events still spread over time.
BODY_STEP = 0.05
#: What the sensor's read-out can pass in one sample; an order above what gestures make.
MOST_EVENTS = 1_200_000

#: tonic.io.events_struct; spelt out because importing tonic takes a second.
EVENT = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", bool)])


def watch(arms: Floats, person: Person, motion: Motion, rng: np.random.Generator) -> Events:
    """Events of the scene, in order of time.

    Args:
        arms: Capsules ``[FRAMES, n, 6]`` of the arms, back to front.
        rng: For the sensor's imperfections.
    """
    threshold = THRESHOLD * np.clip(rng.normal(1, THRESHOLD_MISMATCH, (SIDE, SIDE)), 0.5, 1.5)
    background = rng.uniform(0, 0.12) * _smooth(rng)
    clothes = person.texture * _smooth(rng)
    alpha, colour = _draw_body(person.body, person.body_brightness, clothes)
    brightness = np.tile(person.arm_brightness, 2)
    x, y, t, p = _events(
        arms,
        brightness,
        background,
        alpha,
        colour,
        motion.sway,
        threshold,
        int(rng.integers(2**62)),
    )
    parts = ((x, y, t, p), _scatter(x, y, t, rng), _noise(rng))
    columns = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
    order = _time_order(columns[2])
    events = np.empty(len(order), dtype=EVENT)
    for name, column in zip(("x", "y", "t", "p"), columns, strict=True):
        events[name] = column[order]
    return events


def _smooth(rng: np.random.Generator) -> Floats:
    """A smooth random pattern of about unit amplitude, ``[SIDE, SIDE]``."""
    rows = np.arange(SIDE)
    pattern = np.zeros((SIDE, SIDE))
    for _ in range(4):
        fx, fy = rng.normal(0, 0.25, 2)
        phase = rng.uniform(0, 2 * np.pi)
        pattern += np.sin(fx * rows[None, :] + fy * rows[:, None] + phase)
    return pattern / 2


def _scatter(
    x: NDArray[np.int32],
    y: NDArray[np.int32],
    t: NDArray[np.int32],
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], ...]:
    """Stray events around the motion (folds, shadows, reflections): x, y, t, p.

    Recordings hold many of them: 12 % of their events have no neighbour within 4 x 4 pixels
    and 5 ms.
    """
    count = int(len(t) * rng.uniform(*STRAY_SHARE))
    source = rng.integers(0, len(t), count) if len(t) else np.zeros(0, dtype=np.int64)
    reach = rng.uniform(4, 14)
    place = np.stack([x[source], y[source]]) + rng.normal(0, reach, (2, len(source)))
    place = np.rint(place).astype(np.int64)
    when = t[source] + rng.integers(-30_000, 30_000, len(source))
    inside = ((place >= 0) & (place < SIDE)).all(axis=0) & (when >= 0) & (when < DURATION)
    polarity = rng.integers(0, 2, len(source))
    return place[0, inside], place[1, inside], when[inside], polarity[inside]


def _noise(rng: np.random.Generator) -> tuple[NDArray[np.int64], ...]:
    """Background activity and hot pixels: x, y, t, p."""
    count = rng.poisson(NOISE_RATE * SIDE * SIDE * DURATION / 1e6)
    # A few leaky pixels make most of the background activity.
    leak = np.cumsum(rng.lognormal(0, 1.5, SIDE * SIDE))
    pixel = np.searchsorted(leak, rng.random(count) * leak[-1], side="right")
    y, x = np.divmod(pixel, SIDE)
    t, p = rng.integers(0, DURATION, count), rng.integers(0, 2, count)
    hot = int(rng.integers(0, 6))
    rates = rng.uniform(20, 300, hot)
    counts = rng.poisson(rates * DURATION / 1e6)
    places, polarity = rng.integers(0, SIDE, (2, hot)), rng.integers(0, 2, hot)
    total = int(counts.sum())
    return (
        np.concatenate([x, np.repeat(places[0], counts)]),
        np.concatenate([y, np.repeat(places[1], counts)]),
        np.concatenate([t, rng.integers(0, DURATION, total)]),
        np.concatenate([p, np.repeat(polarity, counts)]),
    )


@njit(cache=True, nogil=True)
def _cover(px: float, py: float, c: Floats) -> float:
    """How much of pixel (px, py) the tapered capsule ``c`` covers, 0 to 1."""
    dx, dy = c[3] - c[0], c[4] - c[1]
    squared = dx * dx + dy * dy
    h = 0.0
    if squared > 1e-12:
        h = ((px - c[0]) * dx + (py - c[1]) * dy) / squared
        h = min(1.0, max(0.0, h))
    ex, ey = px - c[0] - h * dx, py - c[1] - h * dy
    radius = c[2] + h * (c[5] - c[2])
    distance = ex * ex + ey * ey
    outer = radius + 0.5
    if distance >= outer * outer:
        return 0.0
    inner = radius - 0.5
    if inner > 0.0 and distance <= inner * inner:
        return 1.0
    return float(min(1.0, outer - np.sqrt(distance)))


@njit(cache=True, nogil=True)
def _draw_body(body: Floats, brightness: Floats, clothes: Floats) -> tuple[Floats, Floats]:
    """Cover and cover-weighted brightness of the body at rest."""
    alpha = np.zeros((SIDE, SIDE))
    colour = np.zeros((SIDE, SIDE))
    for k in range(len(body)):
        for row in range(SIDE):
            for column in range(SIDE):
                a = _cover(column, row, body[k])
                if a > 0.0:
                    shade = brightness[k] + clothes[row, column]
                    alpha[row, column] += a * (1.0 - alpha[row, column])
                    colour[row, column] = colour[row, column] * (1.0 - a) + a * shade
    return alpha, colour


@njit(cache=True, nogil=True)
def _box(capsules: Floats) -> tuple[int, int, int, int]:
    """First and one past the last row and column that the capsules can touch."""
    left, right, top, bottom = SIDE, 0, SIDE, 0
    for k in range(len(capsules)):
        c = capsules[k]
        left = min(left, int(np.floor(min(c[0] - c[2], c[3] - c[5]) - 0.5)))
        right = max(right, int(np.ceil(max(c[0] + c[2], c[3] + c[5]) + 0.5)) + 1)
        top = min(top, int(np.floor(min(c[1] - c[2], c[4] - c[5]) - 0.5)))
        bottom = max(bottom, int(np.ceil(max(c[1] + c[2], c[4] + c[5]) + 0.5)) + 1)
    return max(0, top), min(SIDE, bottom), max(0, left), min(SIDE, right)


@njit(cache=True, nogil=True)
def _shifted(plane: Floats, row: int, column: int, weights: Floats) -> float:
    """Bilinear sample of ``plane`` at a pixel moved by less than one pixel up and left."""
    up, left = max(row - 1, 0), max(column - 1, 0)
    here = weights[0] * plane[row, column] + weights[1] * plane[row, left]
    above = weights[2] * plane[up, column] + weights[3] * plane[up, left]
    return float(here + above)


@njit(cache=True, nogil=True)
def _render_body(
    scene: Floats,
    background: Floats,
    alpha: Floats,
    colour: Floats,
    sway: Floats,
    box: tuple[int, int, int, int],
) -> None:
    """Draw background and body, moved by ``sway`` pixels, into ``scene`` inside ``box``."""
    whole_x, whole_y = int(np.floor(sway[0])), int(np.floor(sway[1]))
    fx, fy = sway[0] - whole_x, sway[1] - whole_y
    weights = np.array([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy])
    for row in range(box[0], box[1]):
        source_row = min(SIDE - 1, max(0, row - whole_y))
        for column in range(box[2], box[3]):
            source_column = min(SIDE - 1, max(0, column - whole_x))
            a = _shifted(alpha, source_row, source_column, weights)
            c = _shifted(colour, source_row, source_column, weights)
            scene[row, column] = background[row, column] * (1.0 - a) + c


@njit(cache=True, nogil=True)
def _render_arms(
    image: Floats,
    scene: Floats,
    arms: Floats,
    brightness: Floats,
    box: tuple[int, int, int, int],
) -> None:
    """Restore ``image`` from ``scene`` inside ``box`` and draw the arms over it."""
    for row in range(box[0], box[1]):
        for column in range(box[2], box[3]):
            image[row, column] = scene[row, column]
    for k in range(len(arms)):
        top, bottom, left, right = _box(arms[k : k + 1])
        shade = brightness[k]
        for row in range(top, bottom):
            for column in range(left, right):
                a = _cover(column, row, arms[k])
                if a > 0.0:
                    image[row, column] += a * (shade - image[row, column])


@njit(cache=True, nogil=True)
def _union(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return min(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), max(a[3], b[3])


@njit(cache=True, nogil=True)
def _chance(state: int) -> tuple[int, float]:
    """One step of xorshift64: the next state and a number in [0, 1)."""
    state ^= (state << 13) & 0x7FFFFFFFFFFFFFFF
    state ^= state >> 7
    state ^= (state << 17) & 0x7FFFFFFFFFFFFFFF
    return state, (state >> 10) / 9007199254740992.0


@njit(cache=True, nogil=True)
def _events(
    arms: Floats,
    brightness: Floats,
    background: Floats,
    alpha: Floats,
    colour: Floats,
    sway: Floats,
    threshold: Floats,
    seed: int,
) -> tuple[NDArray[np.int32], ...]:
    """Events of the scene, in order of frames: x, y, t, p."""
    out = np.empty((4, MOST_EVENTS), dtype=np.int32)
    n = 0
    state = seed | 1
    everything = (0, SIDE, 0, SIDE)
    scene = np.zeros((SIDE, SIDE))
    drawn = sway[0]
    _render_body(scene, background, alpha, colour, drawn, everything)
    image = scene.copy()
    _render_arms(image, scene, arms[0], brightness, everything)
    reference = image.copy()
    before = image.copy()
    silent_until = np.zeros((SIDE, SIDE), dtype=np.int32)
    body = _body_box(alpha)
    previous = _box(arms[0])
    for frame in range(1, len(arms)):
        here = _box(arms[frame])
        box = _union(previous, here)
        previous = here
        moved = sway[frame] - drawn
        if abs(moved[0]) + abs(moved[1]) > BODY_STEP:
            drawn = sway[frame]
            _render_body(scene, background, alpha, colour, drawn, body)
            box = _union(box, body)
        _render_arms(image, scene, arms[frame], brightness, box)
        start = (frame - 1) * STEP
        for row in range(box[0], box[1]):
            for column in range(box[2], box[3]):
                now, was = image[row, column], before[row, column]
                before[row, column] = now
                step = threshold[row, column]
                change = now - reference[row, column]
                if abs(change) < step:
                    continue
                polarity = 1 if change > 0 else 0
                signed = step if change > 0 else -step
                while abs(now - reference[row, column]) >= step:
                    reference[row, column] += signed
                    part = 1.0
                    if now != was:
                        part = min(1.0, max(0.0, (reference[row, column] - was) / (now - was)))
                    t = start + int(part * (STEP - 1))
                    if t < silent_until[row, column]:
                        continue
                    silent_until[row, column] = t + REFRACTORY
                    if n + 2 > MOST_EVENTS:
                        return out[0], out[1], out[2], out[3]
                    out[0, n], out[1, n], out[2, n], out[3, n] = column, row, t, polarity
                    n += 1
                    state, chance = _chance(state)
                    if chance < DUPLICATE_SHARE:
                        out[0, n], out[1, n], out[2, n], out[3, n] = column, row, t + 1, polarity
                        n += 1
    return out[0, :n], out[1, :n], out[2, :n], out[3, :n]


@njit(cache=True, nogil=True)
def _time_order(t: NDArray[np.integer]) -> NDArray[np.int64]:
    """A stable counting sort: the indices that put ``t`` (0 to DURATION) in order."""
    first = np.zeros(DURATION + 2, dtype=np.int32)
    for value in t:
        first[value + 1] += 1
    for value in range(DURATION):
        first[value + 1] += first[value]
    order = np.empty(len(t), dtype=np.int64)
    for index in range(len(t)):
        order[first[t[index]]] = index
        first[t[index]] += 1
    return order


@njit(cache=True, nogil=True)
def _body_box(alpha: Floats) -> tuple[int, int, int, int]:
    """Rows and columns that the body can reach, sway included."""
    top, bottom, left, right = SIDE, 0, SIDE, 0
    for row in range(SIDE):
        for column in range(SIDE):
            if alpha[row, column] > 0.0:
                top, bottom = min(top, row), max(bottom, row + 1)
                left, right = min(left, column), max(right, column + 1)
    margin = 12
    return (
        max(0, top - margin),
        min(SIDE, bottom + margin),
        max(0, left - margin),
        min(SIDE, right + margin),
    )
