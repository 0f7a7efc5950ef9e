"""How many single-line breaks of the code its tests notice.

The list is drawn first and lies in a file, so that nothing about it depends on the tests::

    python tests/benchmarks/mutants.py --draw 300 --seed 11 --list list.json hqsearch/surrogate …
    python tests/benchmarks/mutants.py --run list.json --results results.jsonl --minutes 25

Every mutant is tried in a copy of the checkout, against the tests of its module: those that
mirror it (``hqsearch/a/b.py``: ``tests/a/test_b.py`` and ``tests/a/test_b_*.py``) and those that
:data:`ELSEWHERE` names; where there are none, all of its folder. A run goes on where it was cut
off, in an order that the list's seed shuffles: what was tried by then is a random part of it.
Killed: a test failed, or took ten times as long as without the mutant.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from mutations import apply, compiles, places

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = (".*", "__pycache__", "*.egg-info", "build", "dist")
#: Seconds that the tests of a module may take without a mutant.
UNBROKEN_LIMIT = 1800.0
#: Modules whose tests do not, or not only, mirror them.
ELSEWHERE: dict[str, tuple[str, ...]] = {
    "hqsearch/search/outcomes.py": ("tests/search/test_loop.py",),
}


@dataclass(frozen=True)
class Mutant:
    """One line of one file, broken. ``line`` counts from 1."""

    file: str
    line: int
    original: str
    mutated: str
    operator: str

    @property
    def package(self) -> str:
        return str(Path(self.file).parent)


def modules(root: Path, paths: Iterable[str]) -> list[str]:
    """The modules at and under some paths, relative to the root."""
    chosen: set[Path] = set()
    for path in paths:
        place = root / path
        if not place.exists():
            sys.exit(f"{path}: there is no such file or folder under {root}")
        chosen.update(place.rglob("*.py") if place.is_dir() else [place])
    return sorted(p.relative_to(root).as_posix() for p in chosen)


def draw(root: Path, paths: Iterable[str], count: int, seed: int) -> list[Mutant]:
    """Mutants of different places, each place as likely as any other, in the order of the code."""
    sources = {name: (root / name).read_text() for name in modules(root, paths)}
    able = [(name, ways) for name, source in sources.items() for ways in places(source)]
    generator = random.Random(seed)
    generator.shuffle(able)
    drawn: set[tuple[str, int, str]] = set()
    mutants: list[Mutant] = []
    for name, ways in able:
        for way in generator.sample(ways, len(ways)):
            key = name, way.line, way.mutated
            if key not in drawn and compiles(apply(sources[name], way.line, way.mutated)):
                drawn.add(key)
                mutants.append(Mutant(name, *way))
                break
        if len(mutants) == count:
            return sorted(mutants, key=lambda m: (m.file, m.line, m.mutated))
    sys.exit(f"{count} mutants wanted, and there are only {len(mutants)} places")


def tests_of(root: Path, file: str) -> tuple[str, ...]:
    """Test files (or the folder) that a mutant of a module has to get past."""
    module = Path(file)
    below = module.relative_to("hqsearch") if module.parts[0] == "hqsearch" else module
    folder = root / "tests" / below.parent
    mirrors = [folder / f"test_{below.stem}.py", *sorted(folder.glob(f"test_{below.stem}_*.py"))]
    named = [p.relative_to(root).as_posix() for p in mirrors if p.exists()]
    named += [t for t in ELSEWHERE.get(file, ()) if t not in named]
    return tuple(named or [folder.relative_to(root).as_posix()])


class Copy:
    """A checkout of its own in which one mutant at a time is alive."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder / "checkout"
        shutil.copytree(root, self.folder, ignore=shutil.ignore_patterns(*SKIPPED))
        self._clock = int(time.time())

    def _write(self, path: Path, source: str) -> None:
        """With a second of its own: by it and the length Python tells bytecode that is old."""
        path.write_text(source)
        self._clock += 1
        os.utime(path, (self._clock, self._clock))

    def test(self, tests: Sequence[str], limit: float) -> tuple[str, str]:
        """What became of the tests (``passed``, ``failed``, ``timeout``), and their last line."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "--tb", "no"]
        command += ["-p", "no:cacheprovider", "--hypothesis-seed", "0", *tests]
        environment = os.environ | {"PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return "timeout", f"after {limit:.0f} s"
        last = next((x for x in reversed(output.splitlines()) if x.strip()), "")
        if process.returncode == 4:
            sys.exit(f"pytest could not be started: {last}")
        failed = [x for x in output.splitlines() if x.startswith(("FAILED", "ERROR"))]
        # 5: there was no test to fail.
        return ("passed" if process.returncode in (0, 5) else "failed"), (failed or [last])[0]

    def try_mutant(self, mutant: Mutant, limit: float, tests: Sequence[str]) -> tuple[str, str]:
        """``killed``, ``survived`` or ``stale``, where its line is no longer there; and why."""
        path = self.folder / mutant.file
        source = path.read_text() if path.exists() else ""
        same = [n for n, x in enumerate(source.split("\n"), 1) if x == mutant.original]
        if not same:
            return "stale", "the line is not there any more"
        line = min(same, key=lambda n: abs(n - mutant.line))
        self._write(path, apply(source, line, mutant.mutated))
        try:
            outcome, reason = self.test(tests, limit)
        finally:
            self._write(path, source)
        return ("survived" if outcome == "passed" else "killed"), reason


def run(
    root: Path, mutants: Sequence[Mutant], results: Path, jobs: int, seconds: float = math.inf
) -> None:
    """Try those that have no result yet, in their order, and add theirs line by line.

    Args:
        seconds: after which none is begun.
    """
    end = time.monotonic() + seconds
    done = {m for m, _ in read(results)}
    left = [m for m in mutants if m not in done]
    tests = {m.file: tests_of(root, m.file) for m in left}
    copies: queue.Queue[Copy] = queue.Queue()
    limits: dict[tuple[str, ...], float] = {}
    locks = {group: threading.Lock() for group in tests.values()}

    def limit_of(chosen: tuple[str, ...]) -> float:
        """What a mutant is given in seconds; the tests have to pass as they are."""
        with locks[chosen]:
            if chosen not in limits:
                with _taken(copies) as copy:
                    started = time.monotonic()
                    outcome, reason = copy.test(chosen, UNBROKEN_LIMIT)
                if outcome != "passed":
                    told = f"without any mutant these tests fail:\n{' '.join(chosen)}: {reason}"
                    raise SystemExit(told)
                limits[chosen] = 30 + 10 * (time.monotonic() - started)
        return limits[chosen]

    def broken(mutant: Mutant) -> tuple[str, str] | None:
        """What became of it; None where no time is left."""
        if time.monotonic() > end:
            return None
        chosen = tests[mutant.file]
        limit = limit_of(chosen)
        with _taken(copies) as copy:
            return copy.try_mutant(mutant, limit, chosen)

    with (
        tempfile.TemporaryDirectory(prefix="mutants-") as folder,
        ThreadPoolExecutor(jobs) as pool,
    ):
        try:
            for job in range(jobs):
                copies.put(Copy(root, Path(folder) / str(job)))
            tries = {pool.submit(broken, mutant): mutant for mutant in left}
            for count, future in enumerate(as_completed(tries), len(mutants) - len(left) + 1):
                mutant, became = tries[future], future.result()
                if became is None:
                    continue
                outcome, reason = became
                with results.open("a") as file:
                    row = {**asdict(mutant), "outcome": outcome, "by": reason}
                    file.write(json.dumps(row) + "\n")
                place = f"{mutant.file}:{mutant.line} [{mutant.operator}]"
                print(f"{count}/{len(mutants)} {outcome} {place}", file=sys.stderr, flush=True)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _taken(copies: queue.Queue[Copy]) -> Iterator[Copy]:
    """One that nobody else uses meanwhile."""
    copy = copies.get()
    try:
        yield copy
    finally:
        copies.put(copy)


def read(results: Path) -> list[tuple[Mutant, str]]:
    """Mutants and what became of them."""
    if not results.exists():
        return []
    rows = [json.loads(line) for line in results.read_text().splitlines() if line.endswith("}")]
    return [(Mutant(**{k: r[k] for k in Mutant.__annotations__}), r["outcome"]) for r in rows]


def wilson(hits: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    share, square = hits / count, z**2 / count
    middle = (share + square / 2) / (1 + square)
    half = z / (1 + square) * math.sqrt(share * (1 - share) / count + square / (4 * count))
    return middle - half, middle + half


def table(outcomes: Sequence[tuple[Mutant, str]]) -> str:
    """Killed and survived by package, and the survivors' lines."""
    packages = sorted({m.package for m, _ in outcomes})
    lines = [f"{'package':32} {'killed':>6} {'survived':>8} {'share':>6}  95 % interval"]
    for package in [*packages, "all"]:
        counts = Counter(o for m, o in outcomes if package in (m.package, "all"))
        tried = counts["killed"] + counts["survived"]
        if tried:
            low, high = wilson(counts["killed"], tried)
            share = f"{counts['killed'] / tried:6.1%}  {low:.1%} to {high:.1%}"
            lines.append(f"{package:32} {counts['killed']:6} {counts['survived']:8} {share}")
    stale = sum(o == "stale" for _, o in outcomes)
    if stale:
        lines.append(f"{stale} not tried: their lines are not there any more")
    for mutant, outcome in outcomes:
        if outcome == "survived":
            lines.append(f"survived {mutant.file}:{mutant.line} [{mutant.operator}]")
            lines += [f"  - {mutant.original.strip()}", f"  + {mutant.mutated.strip()}"]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="*", help="files and folders to draw from")
    parser.add_argument("--draw", type=int, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", type=Path, help="where the drawn list is written")
    parser.add_argument("--run", type=Path, metavar="LIST")
    parser.add_argument("--results", type=Path, help="JSON lines; LIST with .jsonl by default")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=math.inf, help="then none is begun")
    options = parser.parse_args()
    if options.draw:
        if not options.list or not options.paths or options.list.exists():
            parser.error("--draw needs paths and --list FILE, a file that is not there yet")
        mutants = draw(ROOT, options.paths, options.draw, options.seed)
        about = {"seed": options.seed, "paths": options.paths}
        rows = [asdict(m) for m in mutants]
        options.list.write_text(json.dumps({**about, "mutants": rows}, indent=1) + "\n")
        print(f"{len(mutants)} mutants in {options.list}")
    elif options.run:
        listed = json.loads(options.run.read_text())
        mutants = [Mutant(**row) for row in listed["mutants"]]
        random.Random(listed["seed"]).shuffle(mutants)
        results = options.results or options.run.with_suffix(".jsonl")
        run(ROOT, mutants, results, options.jobs, 60 * options.minutes)
        print(table(sorted(read(results), key=lambda r: (r[0].file, r[0].line))))
    else:
        parser.error("give --draw or --run")


if __name__ == "__main__":
    main()
