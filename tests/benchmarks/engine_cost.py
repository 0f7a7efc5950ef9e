"""What the engine costs, on a closed-form space of 20 dimensions with its log on SQLite.

    python tests/benchmarks/engine_cost.py [--evaluations 10000] [--strategy nsga2 random]

Per evaluation, around evaluations 500 and 5,000: what hqsearch itself does (strategy, engine,
records, progress) and what Optuna's storage does (create, attributes, finish); the evaluator
is left out. Then, on the study of all evaluations: the commands that read it, as processes
of their own, and opening it for resume. Figures to hold: own 1.5 ms, with storage 25 ms,
flat; front, trials, status 2 s each; opening 10 s.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from hqsearch.evaluators._toy_network import ToyLayer
from optuna.storages import RDBStorage
from rich.console import Console

from hqsearch.evaluator import Evaluation, Evaluator
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import ACCURACY, ENERGY, STORAGE, Objective
from hqsearch.schemes.choice import parse_choice
from hqsearch.search.loop import Search
from hqsearch.show.live import LiveProgress
from hqsearch.store.log import StudyLog
from hqsearch.study.running import Request, start

DIMENSIONS = 20
CHOICES = ("2u", "4u", "2l", "4l", "fp32")
#: Evaluations on each side of a point that its figures are the mean of: whole generations.
AROUND = 100
STORAGE_CALLS = ("_create_new_trial", "set_trial_user_attr", "set_trial_state_values")


class Wide(Evaluator):
    """Sums over 20 layers; rows for each layer in the details, as real evaluators have."""

    objectives: ClassVar[tuple[Objective, ...]] = (ACCURACY, ENERGY, STORAGE)
    metrics: ClassVar[tuple[str, ...]] = ("energy", "storage", "average_bits")
    costly: ClassVar[bool] = False

    def layers(self) -> Sequence[ToyLayer]:
        return [
            ToyLayer(f"blocks.{i}.fc", 1000 + 37 * i, 10_000 + 991 * i, 1.0 + 0.1 * i)
            for i in range(DIMENSIONS)
        ]

    def cheap(self, candidates: Sequence[Candidate]) -> npt.NDArray[np.float64]:
        bits = np.array([[parse_choice(v).bits for _, v in c.items] for c in candidates])
        layers = self.layers()
        weights = np.array([layer.weights for layer in layers], dtype=np.float64)
        macs = np.array([layer.macs for layer in layers], dtype=np.float64)
        bits = bits.reshape(-1, DIMENSIONS)
        return np.column_stack(
            [bits @ macs * 1e-6, bits @ weights / 8192, bits @ weights / weights.sum()]
        )

    def reference(self) -> Mapping[str, float]:
        whole = Candidate(tuple((layer.path, "fp32") for layer in self.layers()))
        return dict(zip(self.metrics, self.cheap([whole])[0].tolist(), strict=True))

    def evaluate(
        self,
        candidate: Candidate,
        seed: int,
        budget: int | None = None,
        resume_from: Path | None = None,
        checkpoint: Path | None = None,
    ) -> Evaluation:
        began = time.process_time()
        energy, storage, average = self.cheap([candidate])[0].tolist()
        rows: list[dict[str, Any]] = []
        loss = 0.0
        for layer, (_, choice) in zip(self.layers(), candidate.items, strict=True):
            bits = parse_choice(choice).bits
            loss += layer.sensitivity * 0.04 * 2.0 ** (-0.7 * bits - 0.1 * choice.endswith("l"))
            rows.append(
                {
                    "layer": layer.path,
                    "choice": choice,
                    "weights": layer.weights,
                    "bits": bits,
                    "energy": layer.macs * bits * 1e-6,
                    "storage": layer.weights * bits / 8192,
                }
            )
        values = {"accuracy": 0.95 * float(np.exp(-loss)), "energy": energy, "storage": storage}
        Clock.evaluator += time.process_time() - began
        return Evaluation(values, {"average_bits": average, "layers": rows})


class Clock:
    """CPU seconds so far, by whose they are: others on the machine do not change them."""

    evaluator = 0.0
    storage = 0.0
    #: Per finished evaluation: CPU, storage's and evaluator's part of it, wall clock.
    marks: ClassVar[list[tuple[float, float, float, float]]] = []

    @classmethod
    def mark(cls) -> None:
        now = time.process_time(), cls.storage, cls.evaluator, time.perf_counter()
        cls.marks.append(now)


def watch() -> None:
    """Measure Optuna's storage, and mark every finished evaluation."""

    def timed(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.process_time()
            try:
                return original(*args, **kwargs)
            finally:
                Clock.storage += time.process_time() - began

        return call

    for name in STORAGE_CALLS:
        setattr(RDBStorage, name, timed(getattr(RDBStorage, name)))
    finish = StudyLog.finish

    def marked(self: StudyLog, *args: Any) -> Any:
        done = finish(self, *args)
        Clock.mark()
        return done

    StudyLog.finish = marked  # type: ignore[method-assign]


def write_study(folder: Path) -> Path:
    """The study and its space, as files."""
    (folder / "wide-space.toml").write_text(f"choices = {list(CHOICES)!r}\n")
    lines = ['title = "engine cost"', 'space = "wide-space.toml"', 'evaluator = "wide.py:Wide"']
    lines += [f'[[objective]]\nname = "{o.name}"' for o in Wide.objectives]
    # Plain: what a surrogate spends on a proposal is its strategy's own cost, not the engine's.
    lines += ["[strategy.nsga2]", "population = 50", "assist = false"]
    # Only this process makes the evaluator, whose clock it reads.
    (folder / "wide.py").write_text("from __main__ import Wide as Wide\n")
    path = folder / "wide.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def run(folder: Path, strategy: str, evaluations: int) -> None:
    request = Request(
        str(folder / "wide.toml"), strategy, evaluations, studies_dir=folder / strategy
    )
    with LiveProgress(Console(quiet=True)) as progress:
        start(request, progress)


def share(at: int) -> tuple[float, float, float]:
    """Milliseconds per evaluation around ``at``: own CPU, CPU with storage, wall clock."""
    first, last = max(at - AROUND, 0), at + AROUND - 1
    spent = [b - a for a, b in zip(Clock.marks[first], Clock.marks[last], strict=True)]
    cpu, storage, evaluator, wall = (1e3 * s / (last - first) for s in spent)
    return cpu - storage - evaluator, cpu - evaluator, wall


def opening(folder: Path, strategy: str, evaluations: int) -> float:
    """Seconds until a resumed search is ready to propose."""

    class Ready(Exception):
        pass

    fill = Search._fill

    def ready(self: Search) -> None:
        raise Ready

    Search._fill = ready  # type: ignore[method-assign]
    began = time.perf_counter()
    try:
        run(folder, strategy, evaluations + 1)
    except Ready:
        return time.perf_counter() - began
    finally:
        Search._fill = fill  # type: ignore[method-assign]
    raise AssertionError("the search never began")


def reading(folder: Path, strategy: str, command: str, times: int = 3) -> str:
    """Seconds of a command in a process of its own, CPU and wall clock: the least of several."""
    words = ["--study", "wide", "--studies-dir", str(folder / strategy)]
    found = []
    for _ in range(times):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "hqsearch", *command.split(), *words],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
        )
        wall = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found.append((spent, wall))
    cpu, wall = (min(column) for column in zip(*found, strict=True))
    return f"{cpu:6.2f} s of CPU, {wall:6.2f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--evaluations", type=int, default=10_000)
    parser.add_argument("--strategy", nargs="+", default=["nsga2", "random"])
    asked = parser.parse_args()
    watch()
    points = [p for p in (500, 5000) if p + AROUND <= asked.evaluations]
    points = points or [asked.evaluations - AROUND]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_study(folder)
        for strategy in asked.strategy:
            Clock.marks.clear()
            began = time.perf_counter()
            run(folder, strategy, asked.evaluations)
            took = time.perf_counter() - began
            load = os.getloadavg()[0]
            print(f"{strategy}: {asked.evaluations} evaluations in {took:.0f} s, load {load:.1f}")
            for at in points:
                own, whole, wall = share(at)
                print(
                    f"  around {at:>6}: own {own:6.2f} ms, with storage {whole:6.2f} ms of CPU; "
                    f"{wall:6.2f} ms of wall clock, evaluator included"
                )
            print(
                f"  {'first status':<14}{reading(folder, strategy, 'status', 1)}, tables caught up"
            )
            for command in ("front", "front --json", "trials", "trials --json", "status"):
                print(f"  {command:<14}{reading(folder, strategy, command)}")
            print(f"  opening for resume: {opening(folder, strategy, asked.evaluations):.2f} s")


if __name__ == "__main__":
    main()
