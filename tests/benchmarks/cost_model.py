"""Speed of the cost model: ``python tests/benchmarks/cost_model.py``.

Prints candidates per second on one thread for 18 layers × 5 choices, without and with a memory
that codes may exceed, the time for the exact
energy-storage front of a 5^8 space (by enumeration and without it), the time of a sensitivity
analysis, and what measuring firing rates adds to a validation pass.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from hqsearch.hardware import CostModel, load_profile
from hqsearch.hardware.rates import RateMeter
from hqsearch.hardware.trace import trace_workload
from hqsearch.hardware.uncertainty import vary_constants
from hqsearch.models import build_model

CHOICES = ("2u", "4u", "2l", "4l", "fp32")


def seconds(work: Callable[[], object], repeats: int = 7) -> float:
    """Median wall time of ``work``."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    options = {"embed_dim": 64, "depth": 2, "heads": 4, "pooled_stages": 3}
    model = build_model("spikformer", options, timesteps=8, size=32, classes=11).eval()
    frames = torch.randint(0, 16, (8, 32, 2, 32, 32)).float()
    start = time.perf_counter()
    workload = trace_workload(model, frames, 4).with_rate(0.15)
    print(f"trace, batch of 32                      {time.perf_counter() - start:8.3f} s")

    profile = load_profile("horowitz-45nm-memory")
    start = time.perf_counter()
    costs = CostModel(workload, profile, dict.fromkeys(workload.layers, CHOICES))
    print(f"cost tables, 18 layers x 5 choices      {time.perf_counter() - start:8.3f} s")
    codes = np.random.default_rng(0).integers(0, 5, (1_000_000, 18)).astype(np.uint8)
    rate = len(codes) / seconds(lambda: costs.estimate(codes)) / 1e6
    print(f"estimate, 18 layers x 5 choices         {rate:8.2f} M candidates/s")

    resident = load_profile("resident-45nm")
    bent = CostModel(workload, resident, dict.fromkeys(workload.layers, CHOICES))
    rate = len(codes) / seconds(lambda: bent.estimate(codes)) / 1e6
    print(f"the same where codes may not fit        {rate:8.2f} M candidates/s")

    points = [(costs.uniform(CHOICES[i % 5]), None) for i in range(20)]
    start = time.perf_counter()
    vary_constants(workload, profile, points)
    print(f"sensitivity, 20 candidates x 1000 draws {time.perf_counter() - start:8.3f} s")

    def validate() -> None:
        with torch.no_grad():
            model(frames)

    def measured() -> None:
        with RateMeter(model, workload):
            validate()

    validate()
    plain, metered = [], []
    for _ in range(9):
        plain.append(seconds(validate, 1))
        metered.append(seconds(measured, 1))
    ratio = statistics.median(metered) / statistics.median(plain)
    print(f"validation batch, with rates / without  {ratio:8.3f} x")


if __name__ == "__main__":
    main()
