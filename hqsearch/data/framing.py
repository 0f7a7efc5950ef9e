"""Events to frames: counts in time bins, or in bins of equally many events, on a coarser grid.

With equal time bins this gives what ``tonic.transforms.Downsample(sensor_size, target_size)``
followed by ``tonic.transforms.ToFrame(n_time_bins=T)`` give (a test compares them), several times
faster and without their need for events in order of time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hqsearch.sides import Size, sides

#: Structured array with fields x, y, t (microseconds) and p (1 for ON).
Events = NDArray[Any]


#: Events that may be in no bin: one, or this share of a recording.
_LOSS = 1 / 200


def frame_events(
    events: Events, sensor: tuple[int, int], timesteps: int, size: Size
) -> NDArray[np.int64]:
    """:func:`count_frames`, with the end of a recording in the last bin where it matters.

    Bins of whole microseconds leave out more than the last event where a recording is short or
    its clock coarse; then bins are exact fractions of its duration, and every event is in one.

    Returns:
        Counts ``[timesteps, 2, H, W]``.
    """
    counts = count_frames(events, sensor, timesteps, size)
    if len(events) - counts.sum() <= max(1, int(_LOSS * len(events))):
        return counts
    return count_frames(events, sensor, timesteps, size, closed=True)


def count_frames(
    events: Events, sensor: tuple[int, int], timesteps: int, size: Size, closed: bool = False
) -> NDArray[np.int64]:
    """Count events in ``timesteps`` equal bins of time.

    The bins span the recording from its first to its last event, in whole microseconds; as in
    tonic, what is left over at the end (less than ``timesteps`` microseconds, and the last
    event) is in no bin. With ``closed`` they are exact fractions of that time, and what happens at
    its very end is in the last bin.

    Args:
        events: Structured array ``[n]`` with fields x, y, t, p, within ``sensor``; their times
            span less than 2**52.
        sensor: (width, height) in pixels.
        size: of the frames.

    Returns:
        Counts ``[timesteps, 2, H, W]``; channel 0 is OFF, channel 1 is ON.
    """
    if len(events) == 0:
        return np.zeros((timesteps, 2, *sides(size)), dtype=np.int64)
    times = events["t"].astype(np.int64)
    since = times - times.min()
    duration = int(since.max())
    window = duration // timesteps
    if duration == 0 or (window == 0 and not closed):
        return np.zeros((timesteps, 2, *sides(size)), dtype=np.int64)
    step = since * timesteps // duration if closed else since // window
    if closed:
        step = np.minimum(step, timesteps - 1)
    return _counted(events, step, sensor, timesteps, size)


def count_window(
    events: Events, start: int, length: int, sensor: tuple[int, int], timesteps: int, size: Size
) -> NDArray[np.int64]:
    """Count the events of a window in ``timesteps`` equal bins, exact fractions of its length.

    Args:
        events: as for :func:`count_frames`, from ``start`` to before ``start + length``.
        start: of the window, in microseconds.
        length: of the window, in microseconds.

    Returns:
        Counts ``[timesteps, 2, H, W]``.
    """
    step = (events["t"].astype(np.int64) - start) * timesteps // length
    return _counted(events, step, sensor, timesteps, size)


def count_equally(
    events: Events, sensor: tuple[int, int], timesteps: int, size: Size
) -> NDArray[np.int64]:
    """Count events in ``timesteps`` bins of equally many, in the order of their times.

    What does not divide is in the last bin, as in spikingjelly's ``split_by="number"``
    (Fang et al., 2023), which the public training code of Spikformer uses.

    Returns:
        Counts ``[timesteps, 2, H, W]``; all 0 where there are fewer events than bins.
    """
    each = len(events) // timesteps
    if each == 0:
        return np.zeros((timesteps, 2, *sides(size)), dtype=np.int64)
    step = np.empty(len(events), dtype=np.int64)
    step[np.argsort(events["t"], kind="stable")] = np.arange(len(events)) // each
    return _counted(events, np.minimum(step, timesteps - 1), sensor, timesteps, size)


def _counted(
    events: Events, step: NDArray[np.int64], sensor: tuple[int, int], timesteps: int, size: Size
) -> NDArray[np.int64]:
    """How many ``events`` are in each ``step`` ``[n]``, channel and pixel; later ones are not."""
    height, width = sides(size)
    # The product is in floating point, and truncated, because tonic's is.
    column = (events["x"] * (width / sensor[0])).astype(np.int64)
    row = (events["y"] * (height / sensor[1])).astype(np.int64)
    channel = events["p"].astype(np.int64)
    flat = ((step * 2 + channel) * height + row) * width + column
    counts = np.bincount(flat[step < timesteps], minlength=timesteps * 2 * height * width)
    return counts.reshape(timesteps, 2, height, width)
