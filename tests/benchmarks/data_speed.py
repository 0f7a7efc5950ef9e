"""How fast data are made: simulated gestures, framing against tonic's, pictures from files.

Counts processor time of one thread, so that other work on the machine matters little::

    python tests/benchmarks/data_speed.py [--samples 55] [--pictures PATH]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import tonic.transforms

from hqsearch.data import DataSpec, check_data, prepare_data, simulate_gesture
from hqsearch.data.framing import count_frames
from hqsearch.data.simulated import SENSOR

TIMESTEPS, SIZE = 8, 32


def per_second(work: Callable[[int], object], repeats: int) -> float:
    """Calls per second of processor time, the first (which may compile) left out."""
    work(0)
    start = time.process_time()
    for index in range(1, repeats + 1):
        work(index)
    return repeats / (time.process_time() - start)


def pictures_per_second(place: Path) -> float:
    """Pictures from files into the cache, found, checked, decoded and written.

    Args:
        place: of CIFAR-10, or of other pictures that are 32 x 32.
    """
    with tempfile.TemporaryDirectory() as cache:
        spec = DataSpec("pictures", 1, SIZE, path=place)
        start = time.process_time()
        check_data(spec, Path(cache))
        data = prepare_data(spec, Path(cache))
        seconds = time.process_time() - start
    return sum(len(part) for part in (data.train, data.validation, data.test)) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=55)
    parser.add_argument("--pictures", type=Path, help="a folder or .zip of pictures of 32 x 32")
    asked = parser.parse_args()
    clips = [simulate_gesture(0, index)[0] for index in range(11)]
    smaller = tonic.transforms.Downsample(sensor_size=(*SENSOR, 2), target_size=(SIZE, SIZE))
    frames = tonic.transforms.ToFrame(sensor_size=(SIZE, SIZE, 2), n_time_bins=TIMESTEPS)
    rows = (
        ("simulate one gesture", lambda i: simulate_gesture(0, i)),
        ("frame it", lambda i: count_frames(clips[i % 11], SENSOR, TIMESTEPS, SIZE)),
        ("frame it with tonic", lambda i: frames(smaller(clips[i % 11]))),
    )
    print(f"{'work':<24}samples per second and core")
    for name, work in rows:
        print(f"{name:<24}{per_second(work, asked.samples):>27.1f}")
    if asked.pictures is not None:
        print(f"{'pictures into the cache':<24}{pictures_per_second(asked.pictures):>27.1f}")


if __name__ == "__main__":
    main()
