"""How busy NSGA-II keeps its workers: steady state against generations, heavy-tailed durations.

    python tests/benchmarks/utilisation.py [--workers 64] [--mean 5] [--simulate-only]

The engine, its log, Ray and the toy are real; an evaluation sleeps for a log-normal time that
is drawn from its candidate (spread 1: one in a hundred takes six times the mean or more). Ray
gets as many logical CPUs as there are workers, whatever the machine has. Busy time is what
evaluations note down themselves: the share of (workers x window) in which a worker slept for
one. The window opens after the first half of the evaluations (in generations: after the first
third), when all 64 processes have long been started, and closes when the last evaluation begins,
so that neither the start nor the drain at the end is counted. To hold: steady state 95 %.

Then a discrete-event simulation of 1,000 workers whose driver spends what was measured here on
every evaluation, one after another: utilisation by the mean time of an evaluation.
"""

from __future__ import annotations

import argparse
import heapq
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from hqsearch.show.live import LiveProgress
from hqsearch.store.log import LogReader, StudyLog, storage_url
from hqsearch.study.running import Request, start

#: Standard deviation of the logarithm of a duration.
SPREAD = 1.0
#: CPU milliseconds of the driver per evaluation where none were measured.
USUAL_COST = 10.0

SLEEPY = f"""
import hashlib, os, time
import numpy as np
from hqsearch.evaluators.toy import Toy, ToyOptions

class Options(ToyOptions):
    mean: float = 1.0

class Sleepy(Toy):
    costly = True
    Options = Options

    def evaluate(self, candidate, seed, budget=None, resume_from=None, checkpoint=None):
        began = time.time()
        key = int.from_bytes(hashlib.sha256(candidate.key.encode()).digest()[:8], "big")
        drawn = np.random.default_rng([seed, key]).lognormal(-{SPREAD}**2 / 2, {SPREAD})
        time.sleep(self.options.mean * drawn)
        found = super().evaluate(candidate, seed)
        found.details = {{"began": began, "ended": time.time(), "worker": os.getpid()}}
        return found
"""

Spans = list[tuple[float, float, int]]


class Driver:
    """CPU seconds of this process at every finished evaluation."""

    marks: list[float] = []  # noqa: RUF012 - one driver per process

    @classmethod
    def watch(cls) -> None:
        finish = StudyLog.finish

        def marked(self: StudyLog, *args: Any, **kwargs: Any) -> Any:
            done = finish(self, *args, **kwargs)
            cls.marks.append(time.process_time())
            return done

        StudyLog.finish = marked  # type: ignore[method-assign]

    @classmethod
    def milliseconds(cls) -> float:
        """Per evaluation of the second half, in which no worker is being started."""
        half = cls.marks[len(cls.marks) // 2 :]
        return 1e3 * (half[-1] - half[0]) / (len(half) - 1)


def run(folder: Path, mode: str, workers: int, evaluations: int, mean: float) -> Spans:
    """When each evaluation of a real run was worked on, and by which process."""
    (folder / "sleepy.py").write_text(SLEEPY)
    (folder / "sleepy.toml").write_text(
        'space = "toy"\nevaluator = "sleepy.py:Sleepy"\n'
        '[[objective]]\nname = "accuracy"\n[[objective]]\nname = "energy"\n'
    )
    request = Request(
        str(folder / "sleepy.toml"),
        "nsga2",
        evaluations,
        device="cpu",
        workers=workers,
        executor="ray",
        studies_dir=folder / mode,
        overrides={
            "evaluation.mean": mean,
            "strategy.nsga2.mode": mode,
            "strategy.nsga2.population": workers,
            "strategy.nsga2.assist": False,
        },
    )
    Driver.marks.clear()
    with LiveProgress(Console(quiet=True)) as progress:
        start(request, progress)
    reader = LogReader(storage_url(None, folder / mode / "sleepy"), "sleepy")
    outcomes = [t.outcome for t in reader.trials()]
    reader.close()
    rows = [o.details for o in outcomes if o is not None]
    return [(r["began"], r["ended"], r["worker"]) for r in rows]


def busy(spans: Spans, workers: int, leave_out: int) -> tuple[float, float]:
    """Share of busy worker time in the window, and the window's seconds."""
    begins = sorted(began for began, _, _ in spans)
    opens, closes = begins[leave_out], begins[-1]
    inside = sum(max(min(e, closes) - max(b, opens), 0.0) for b, e, _ in spans)
    return inside / (workers * (closes - opens)), closes - opens


def simulated(mode: str, workers: int, mean: float, cost: float, rounds: int = 12) -> float:
    """Share of busy worker time with a driver that spends ``cost`` seconds on an evaluation.

    Half of it when a result arrives, half when an evaluation is handed out. The first round,
    in which workers start one after another, is left out.
    """
    generator = np.random.default_rng([workers, round(1000 * mean)])
    total = rounds * workers
    durations = generator.lognormal(-(SPREAD**2) / 2, SPREAD, total) * mean
    spans: list[tuple[float, float]] = []
    flying: list[float] = []
    now = 0.0

    def hand_out() -> None:
        nonlocal now
        now += cost / 2
        end = now + durations[len(spans)]
        spans.append((now, end))
        heapq.heappush(flying, end)

    for _ in range(workers):
        hand_out()
    while flying:
        now = max(now, heapq.heappop(flying)) + cost / 2
        if mode == "steady" and len(spans) < total:
            hand_out()
        elif mode == "generational" and not flying and len(spans) < total:
            for _ in range(workers):
                hand_out()
    opens, closes = spans[workers][0], spans[-1][0]
    inside = sum(max(min(e, closes) - max(b, opens), 0.0) for b, e in spans)
    return inside / (workers * (closes - opens))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--mean", type=float, default=5.0, help="seconds of an evaluation")
    parser.add_argument("--steady", type=int, default=1280, help="evaluations in steady state")
    parser.add_argument("--generations", type=int, default=6)
    parser.add_argument("--simulate-only", action="store_true")
    asked = parser.parse_args()
    cost = USUAL_COST
    if not asked.simulate_only:
        Driver.watch()
        print(f"{asked.workers} workers, evaluations of {asked.mean:g} s in the mean, log-normal")
        whole = asked.generations * asked.workers
        numbers = {
            "steady": (asked.steady, asked.steady // 2),
            "generational": (whole, asked.generations // 3 * asked.workers),
        }
        for mode, (evaluations, leave_out) in numbers.items():
            with tempfile.TemporaryDirectory() as name:
                spans = run(Path(name), mode, asked.workers, evaluations, asked.mean)
            share, window = busy(spans, asked.workers, leave_out)
            spent = Driver.milliseconds()
            cost = spent if mode == "steady" else cost
            print(
                f"  {mode:<13} {100 * share:5.1f} % busy over {window:.0f} s, "
                f"{len(spans)} evaluations by {len({s[2] for s in spans})} processes; driver "
                f"{spent:.1f} ms of CPU per evaluation; load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
    print(f"simulated: 1,000 workers, a driver that spends {cost:.1f} ms on every evaluation")
    print("  mean evaluation   steady   generational")
    for mean in (1, 3, 10, 30, 100, 300, 1000):
        shares = [simulated(m, 1000, mean, cost / 1e3) for m in ("steady", "generational")]
        print(f"  {mean:>12} s   {100 * shares[0]:5.1f} %   {100 * shares[1]:5.1f} %")


if __name__ == "__main__":
    main()
