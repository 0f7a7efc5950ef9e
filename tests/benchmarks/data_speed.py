"""How fast data are made: simulated gestures per second and core, and framing against tonic's.

Counts processor time of one thread, so that other work on the machine matters little::

    python tests/benchmarks/data_speed.py [--samples 55]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import tonic.transforms

from hqsearch.data import simulate_gesture
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=55)
    samples = parser.parse_args().samples
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
        print(f"{name:<24}{per_second(work, samples):>27.1f}")


if __name__ == "__main__":
    main()
