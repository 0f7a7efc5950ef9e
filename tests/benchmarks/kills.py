"""Hard kills over all strategies, on SQLite, PostgreSQL and Ray: what a resumed run comes to.

    python tests/benchmarks/kills.py [--kills 300] [--table kills.jsonl] [--only CASE …]

A *chain* is one study: a driver is started, killed with SIGKILL at a random point of its work
(before its first evaluation too), started anew by ``hqsearch resume``, killed again, … and let
through at last. Its trials, tasks and decisions must then be those of a run that nobody killed, and
nothing that had finished may be evaluated again. On Ray the workers and the raylet are killed
instead, and the driver, whose workers Ray then tells to go. Every chain is a line of the table
file, so that a campaign goes on where it was left.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hqsearch.errors import HqsearchError
from hqsearch.store.log import LogReader, storage_url

sys.path.append(str(Path(__file__).parents[1] / "store"))
from postgres_server import PostgresServer, programs

EVALUATIONS = 24
#: Kills of one chain; seconds after which a driver that does not get on counts as hanging.
KILLS, PATIENCE = 6, 900.0
PLAIN = ("strategy.nsga2.assist=false", "strategy.nsga2.population=8")
#: Case → strategy and settings.
STRATEGIES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "nsga2 plain": ("nsga2", PLAIN),
    "nsga2 assisted": ("nsga2", ("strategy.nsga2.population=8",)),
    "nsga2 steady": ("nsga2", (*PLAIN, "strategy.nsga2.mode=steady")),
    "nsga2 halving": (
        "nsga2",
        (*PLAIN, "search.early_stopping=halving", "evaluation.epochs=4"),
    ),
    "gumbel": ("gumbel", ("strategy.gumbel.count=5", "strategy.gumbel.epochs=6")),
    "optuna-tpe": ("optuna-tpe", ()),
    "sensitivity": ("sensitivity", ()),
    "random": ("random", ()),
}
#: What is killed on Ray.
RAY = ("busy worker", "raylet", "driver")
EVALUATOR = """
import os, time
from hqsearch.evaluators.toy import Toy

class Slow(Toy):
    costly = True

    def _tell(self, what):
        with (self.setup.folder / "told").open("a") as log:
            log.write(f"{what} {os.getpid()}\\n")

    def evaluate(self, candidate, *rest, **more):
        budget = rest[1] if len(rest) > 1 else more.get("budget")
        self._tell(f"evaluate {candidate.key}@{budget}")
        time.sleep(SECONDS)
        done = super().evaluate(candidate, *rest, **more)
        self._tell(f"evaluated {candidate.key}@{budget}")
        return done

    def strategy_task(self, *rest, **more):
        self._tell("task -")
        return super().strategy_task(*rest, **more)
"""
# Imports once, then lets every driver be a fork, so that a kill finds it at work.
FORKS = """
import json, os, sys
from hqsearch.cli import main
import hqsearch.study.running, hqsearch.study.opening, optuna, pymoo.algorithms.moo.nsga2, psycopg
if sys.argv[1] == "torch":
    import torch, hqsearch.supernet.train
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        sys.argv = ["hqsearch", *json.loads(line)]
        sys.stdin = open(os.devnull)
        os.dup2(2, 1)
        try:
            main()
        except SystemExit as end:
            os._exit(end.code or 0)
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@dataclass
class Chain:
    """What came of one study that was killed several times."""

    case: str
    storage: str
    number: int
    kills: int = 0
    early: int = 0
    """Of those kills: before the driver had begun anything."""
    repeated: int = 0
    """Evaluations that began more often than once."""
    identical: bool = False
    faults: list[str] = field(default_factory=list)
    ends: dict[str, int] = field(default_factory=dict)
    """On Ray: how drivers ended that were killed, or whose raylet was."""

    @property
    def good(self) -> bool:
        return self.identical and not self.faults


@dataclass(frozen=True)
class Place:
    """Where a study and its log are."""

    studies: Path
    url: str | None = None

    @property
    def told(self) -> list[list[str]]:
        """What the evaluator has written so far: words of each line."""
        try:
            lines = (self.studies / "slow" / "told").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [line.split() for line in lines]

    def words(self) -> list[str]:
        given = ["--studies-dir", str(self.studies)]
        return given if self.url is None else [*given, "--storage", self.url]

    def table(self) -> list[Any]:
        """Everything in the log that a strategy or a person can see, times apart."""
        reader = LogReader(storage_url(self.url, self.studies.resolve() / "slow"), "slow")
        try:
            runs = [r.ordinal for r in reader.runs()]
            trials = [
                (
                    t.number, t.state, t.proposal.key, t.values, t.proposal.seed, t.proposal.kind,
                    t.proposal.copy_of, t.proposal.slot, t.proposal.origin, t.proposal.cohort,
                    None if t.outcome is None else t.outcome.stopped_at,
                    [(r.epoch, r.values) for r in t.rungs],
                )
                for t in reader.trials()
            ]  # fmt: skip
            tasks = [(t.run, t.index, t.kind, t.label, t.seed, t.state) for t in reader.tasks()]
            decisions = [d.as_json() for r in runs for d in reader.decisions(r)]
        finally:
            reader.close()
        return [trials, tasks, decisions]

    def finished(self) -> dict[int, Any]:
        """Finished trials by number; none where there is no log yet."""
        try:
            trials = self.table()[0]
        except HqsearchError:
            return {}
        return {t[0]: t for t in trials if t[1] != "RUNNING"}


class Drivers:
    """Forks of one process that has imported everything."""

    def __init__(self, folder: Path, torch: bool) -> None:
        self.errors = folder / "errors"
        self._file = self.errors.open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-c", FORKS, "torch" if torch else "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._file,
            text=True,
        )

    def start(self, words: Sequence[str]) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(list(words)) + "\n")
        self._process.stdin.flush()
        return self._number()

    def ended(self) -> int:
        """Exit code of the last one; negative for a signal."""
        return os.waitstatus_to_exitcode(self._number())

    def _number(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._file.close()


def write_study(folder: Path, seconds: float) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "slow.py").write_text(EVALUATOR.replace("SECONDS", repr(seconds)))
    lines = ['title = "kills"', 'space = "toy"', 'evaluator = "slow.py:Slow"']
    lines += [f'[[objective]]\nname = "{name}"' for name in ("accuracy", "energy", "storage")]
    path = folder / "slow.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def asked(study: Path, case: str, place: Place) -> list[str]:
    strategy, settings = STRATEGIES[case]
    given = [word for setting in settings for word in ("--set", setting)]
    return [
        "run", "--study", str(study), "--strategy", strategy, "--evaluations", str(EVALUATIONS),
        "--executor", "in-process", *place.words(), *given,
    ]  # fmt: skip


def killed(
    chain: Chain, drivers: Drivers, study: Path, place: Place, whole: list[Any], marks: int
) -> None:
    """Kill drivers of one study until it is through."""
    generator = np.random.default_rng([chain.number, len(chain.case), len(chain.storage)])
    points = [-1.0, *np.sort(generator.uniform(0.0, marks - 1.0, KILLS - 1))]
    run = asked(study, chain.case, place)
    resume = ["resume", "--study", "slow", "--executor", "in-process", *place.words()]
    kept: dict[int, Any] = {}
    for point in points:
        begun = bool(kept) or chain.kills > chain.early
        driver = drivers.start(resume if begun else run)
        deadline = time.monotonic() + PATIENCE
        early = float(generator.uniform(0.0, 0.4)) if point < 0 else None
        if early is not None:
            time.sleep(early)
        while early is None and time.monotonic() < deadline and _alive(driver):
            if sum(words[0] in ("evaluate", "task") for words in place.told) > point:
                break
            time.sleep(0.005)
        if time.monotonic() > deadline:
            chain.faults.append(f"a driver hangs before mark {point:.1f}")
        time.sleep(float(generator.uniform(0.0, 0.06)))
        with suppress(ProcessLookupError):  # it was through
            os.kill(driver, signal.SIGKILL)
        code = drivers.ended()
        if code >= 0:
            if code != 0:
                chain.faults.append(f"a driver ended with {code}: {_last(drivers.errors)}")
            break
        chain.kills += 1
        chain.early += not place.told
        lost = [t for t in kept if place.finished().get(t) != kept[t]]
        if lost:
            chain.faults.append(f"after kill {chain.kills} trials {lost} were lost or changed")
        kept = place.finished()
    drivers.start(run)
    if drivers.ended() != 0:
        chain.faults.append(f"the last driver did not get through: {_last(drivers.errors)}")
    judge(chain, place, whole)


def judge(chain: Chain, place: Place, whole: list[Any]) -> None:
    """Compare a chain's end with the run that nobody killed."""
    chain.identical = place.table() == whole
    begun = Counter(words[1] for words in place.told if words[0] == "evaluate")
    chain.repeated = sum(begun.values()) - len(begun)
    if chain.repeated > chain.kills:
        chain.faults.append(f"{chain.repeated} evaluations began again after {chain.kills} kills")


def _alive(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _last(errors: Path) -> str:
    lines = [line for line in errors.read_text(errors="replace").splitlines() if line.strip()]
    return " | ".join(lines[-3:])[:400]


def on_ray(chain: Chain, study: Path, place: Place, whole: list[Any]) -> None:
    """Kill busy workers of one run, the driver, or the raylet under it, until it is through.

    Every second worker and driver gets SIGTERM: job schedulers send that, and Ray to the workers of
    a driver or a node that goes.
    """
    worker = chain.case == "busy worker"
    generator = np.random.default_rng([chain.number, RAY.index(chain.case)])
    words = [
        "run", "--study", str(study), "--strategy", "nsga2", "--evaluations", str(EVALUATIONS),
        "--executor", "ray", "--workers", "2", "--set", "evaluation.retries=20", *place.words(),
        *(word for setting in PLAIN for word in ("--set", setting)),
    ]  # fmt: skip
    errors = place.studies.parent / f"errors-{chain.number}"
    points = sorted(generator.uniform(1.0, 0.8 * EVALUATIONS, KILLS if worker else 2))
    driver = None
    for index, point in enumerate(points):
        if driver is None:
            driver = _ray_driver(words, errors)
        victim = _victim(driver, place, point, chain.case)
        if victim is None:
            break
        time.sleep(float(generator.uniform(0.0, 0.2)))
        with suppress(ProcessLookupError):
            os.kill(
                victim, signal.SIGTERM if chain.case != "raylet" and index % 2 else signal.SIGKILL
            )
            chain.kills += 1
        if not worker:
            kept = place.finished()
            try:
                end = str(driver.wait(PATIENCE))
            except subprocess.TimeoutExpired:
                chain.faults.append("a driver hangs without its raylet")
                driver.kill()
                end = str(driver.wait())
            chain.ends[end] = chain.ends.get(end, 0) + 1
            lost = [t for t in kept if place.finished().get(t) != kept[t]]
            if lost:
                chain.faults.append(f"trials {lost} were lost or changed with the {chain.case}")
            driver = None
    if driver is None:
        driver = _ray_driver(words, errors)
    if driver.wait(600) != 0:
        chain.faults.append(f"the last driver did not get through: {_last(errors)}")
    chain.identical = place.table() == whole


def _ray_driver(words: Sequence[str], errors: Path) -> subprocess.Popen[bytes]:
    with errors.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "hqsearch", *words], stdout=subprocess.DEVNULL, stderr=file
        )


def _victim(driver: subprocess.Popen[bytes], place: Place, point: float, case: str) -> int | None:
    """A driver, its raylet, or a worker that evaluates now, once the run has got so far."""
    deadline = time.monotonic() + PATIENCE
    while driver.poll() is None and time.monotonic() < deadline:
        told = place.told
        if sum(words[0] == "evaluate" for words in told) > point:
            if case != "busy worker":
                return driver.pid if case == "driver" else _raylet(driver.pid)
            last = {words[2]: words[0] for words in told if len(words) == 3}
            for process, what in reversed(last.items()):
                if what == "evaluate" and _alive(int(process)):
                    return int(process)
        time.sleep(0.01)
    return None


def _raylet(driver: int) -> int | None:
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            name = (entry / "cmdline").read_bytes().split(b"\0")[0]
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if name.endswith(b"/raylet") and parent == driver:
                return int(entry.name)
    return None


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    found = programs()
    if found is None:
        raise SystemExit("needs a PostgreSQL server: apt-get install postgresql")
    with tempfile.TemporaryDirectory(prefix="hqsearch-postgres-") as folder:
        server = PostgresServer(found, Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--table", type=Path, default=Path("kills.jsonl"))
    parser.add_argument("--only", nargs="+", default=[], help="cases and storages")
    given = parser.parse_args()
    done = [Chain(**json.loads(line)) for line in _lines(given.table)]
    with tempfile.TemporaryDirectory(prefix="hqsearch-kills-") as name, postgres() as server:
        folder = Path(name)
        study, slow = write_study(folder, 0.02), write_study(folder / "ray", 0.6)
        references: dict[str, tuple[list[Any], int]] = {}
        for case, storage, number in _plan():
            if sum(c.kills for c in done) >= given.kills:
                break
            if given.only and not {case, storage} & set(given.only):
                continue
            if any((c.case, c.storage, c.number) == (case, storage, number) for c in done):
                continue
            chain = Chain(case, storage, number)
            here = folder / f"{case}-{storage}-{number}".replace(" ", "-")
            own = "nsga2 plain" if storage == "ray" else case
            if own not in references:
                references[own] = _reference(folder / f"whole-{own}", study, own)
            whole, marks = references[own]
            if storage == "ray":
                on_ray(chain, slow, Place(here), whole)
            else:
                here.mkdir()
                drivers = Drivers(here, case == "gumbel")
                url = server.new_database() if storage == "postgresql" else None
                try:
                    killed(chain, drivers, study, Place(here / "s", url), whole, marks)
                finally:
                    drivers.close()
            done.append(chain)
            with given.table.open("a") as file:
                file.write(json.dumps(asdict(chain)) + "\n")
            print(_row(chain), flush=True)
    _summary(done)


def _plan() -> Iterator[tuple[str, str, int]]:
    """Case, storage and number of every chain: all cases once, then all again."""
    for number in range(1000):
        for case in STRATEGIES:
            for storage in ("sqlite", "postgresql"):
                yield case, storage, number
        for case in RAY:
            yield case, "ray", number


def _reference(folder: Path, study: Path, case: str) -> tuple[list[Any], int]:
    """Table of a run that nobody kills, and how many evaluations and tasks it began."""
    place = Place(folder)
    command = [sys.executable, "-m", "hqsearch", *asked(study, case, place)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    marks = sum(words[0] in ("evaluate", "task") for words in place.told)
    return place.table(), marks


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _row(chain: Chain) -> str:
    said = "identical" if chain.good else "WRONG " + ("; ".join(chain.faults) or "table differs")
    return (
        f"{chain.case:<15} {chain.storage:<11} {chain.number:>3}: {chain.kills} kills "
        f"({chain.early} early), {chain.repeated} begun again, {said} {chain.ends or ''}"
    )


def _summary(done: Sequence[Chain]) -> None:
    print(
        f"\n{'case':<15} {'log':<11} {'studies':>7} {'kills':>6} {'begun again':>12} {'wrong':>6}"
    )
    for case, storage in dict.fromkeys((c.case, c.storage) for c in done):
        own = [c for c in done if (c.case, c.storage) == (case, storage)]
        kills, again = sum(c.kills for c in own), sum(c.repeated for c in own)
        wrong = sum(not c.good for c in own)
        print(f"{case:<15} {storage:<11} {len(own):>7} {kills:>6} {again:>12} {wrong:>6}")
    print(f"{sum(c.kills for c in done)} kills, {sum(not c.good for c in done)} studies wrong")


if __name__ == "__main__":
    main()
