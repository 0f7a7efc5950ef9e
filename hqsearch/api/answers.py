"""What a check, a run, a status and a confirmation say, as a notebook sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hqsearch.api.grid import Grid, Printed
from hqsearch.problem.objective import value_text
from hqsearch.wording import option

if TYPE_CHECKING:
    from hqsearch.analysis import confirmation
    from hqsearch.analysis.energy_meaning import EnergyMeaning
    from hqsearch.api.trials import Front
    from hqsearch.problem.budgets import Budget
    from hqsearch.problem.objective import Objective
    from hqsearch.study.checking import Findings
    from hqsearch.study.importing import Import
    from hqsearch.study.running import Finished


class Check(Printed):
    """What a dry run found.

    Attributes:
        study: its name.
        problems: why a run would be refused; all that could be found at once.
        notes: what a run would say first.
        candidates: how many assignments the space holds; None where that is unknown.
        layers: every weight layer: path, number of weights, choices, dimension.
        data: the ``[data]`` that results depend on, and the timesteps.
        evaluations: of a run, unless it says otherwise.
    """

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.study, self.candidates = findings.study, findings.candidates
        self.problems, self.notes = tuple(findings.problems), tuple(findings.notes)
        self.layers, self.data = tuple(findings.layers), findings.data
        self.evaluations = findings.evaluations

    @property
    def ok(self) -> bool:
        """Whether a run would start."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """The object that ``hqsearch check --json`` prints."""
        return {"ok": self.ok, **self.findings.as_json()}

    def _grid(self) -> Grid:
        rows = [
            [str(layer.weights), layer.path, _allowed(layer.choices, layer.dimension)]
            for layer in self.layers
        ]
        return Grid(
            f"{self.study}: {self.findings.title}".removesuffix(": "),
            ["weights", "layer", "choices"],
            rows,
            [*self._facts(), *self.notes, *self._verdict()],
        )

    def _facts(self) -> list[str]:
        found = self.findings
        lines = [f"structure {k}: {' '.join(v)}" for k, v in found.structure.items()]
        if self.candidates is not None:
            weights = sum(layer.weights for layer in self.layers)
            lines.append(f"candidates: {self.candidates:.4g} of {weights:,} weights")
        if self.data:
            shown = {k: v for k, v in self.data.items() if v is not None and k != "contents"}
            lines.append("data: " + ", ".join(f"{k} {v}" for k, v in shown.items()))
        if found.objectives:
            lines.append(f"evaluator: {found.evaluator}; {', '.join(found.objectives)}")
        if found.energy is not None:
            lines.append(_energy_line(found.energy))
        lines += _dry_run(found.facts)
        limits = ", ".join(f"{k} {v}" for k, v in found.constraints.items())
        lines += [f"constraints: {limits}"] if limits else []
        if found.executor:
            many = f"{found.workers} at a time" if found.workers else "as many as fit"
            lines.append(
                f"a run: {found.evaluations} evaluations, {many}, {found.executor}, {found.device}"
            )
        if found.recorded:
            lines.append("the study has a log; a run adds to it")
        return lines

    def _verdict(self) -> list[str]:
        if self.ok:
            return ["no problems found"]
        count = len(self.problems)
        return [f"{count} problem{'s' if count > 1 else ''}:", *(f"- {p}" for p in self.problems)]


class Run(Printed):
    """What a run came to.

    Attributes:
        study: its name.
        strategy: that proposed its candidates.
        seed: of the strategy.
        ordinal: which run of the study it is, from 0.
        evaluations: how many it was to have.
        finished: how many trials of it have ended.
        exhausted: whether the strategy had nothing left to propose.
        out_of_time: whether its time limit was over before everything was begun.
        stalled: why little more is to be gained, where it ended for that.
        mismatches: recorded proposals that these versions of hqsearch and its libraries would
            not make; the recorded ones were kept.
        recovered: results that an earlier driver had left.
        budgets: hard limits that its candidates were under.
        notes: what it said on the way.
    """

    def __init__(self, finished: Finished, notes: tuple[str, ...], front: Front) -> None:
        self.study, self.strategy = finished.study, finished.run.strategy
        self.seed, self.ordinal = finished.run.seed, finished.run.ordinal
        self.evaluations, self.finished = finished.run.evaluations, finished.finished
        self.exhausted, self.mismatches = finished.exhausted, finished.mismatches
        self.out_of_time, self.stalled = finished.out_of_time, finished.run.stalled
        self.recovered, self.notes = finished.recovered, notes
        self.budgets: tuple[Budget, ...] = finished.run.budgets
        self.front = front

    def _grid(self) -> Grid:
        lines = [
            f"run {self.ordinal} of {self.study}: {self.strategy}, seed {self.seed}, "
            f"{self.finished} of {self.evaluations} evaluations; front {len(self.front)}"
        ]
        lines += self.endings()
        if self.mismatches:
            lines.append(
                f"{self.mismatches} recorded proposals differ from what these versions would "
                "propose; the recorded ones were kept"
            )
        return Grid(below=[*lines, *self.notes])

    def endings(self) -> list[str]:
        """Why it ended before its number of evaluations, and how it is gone on with."""
        lines = []
        done = f"{self.finished} of {self.evaluations} evaluations are finished"
        if self.exhausted:
            lines.append("the strategy has nothing left to propose; the run ends early")
        if self.out_of_time:
            lines.append(
                f"the time limit is over: {done}; the same again, or a resume, does the rest"
            )
        if self.stalled:
            lines.append(
                f"the search has stalled: {self.stalled}; {done}. The same without "
                f"{option('until')}, or with more patience, goes on"
            )
        return lines


class Imported(Printed):
    """What an import of results from elsewhere did.

    Attributes:
        study: its name.
        run: ordinal of the run that they are.
        trials: their numbers, row by row.
        left_out: rows that held no result of their own: failures, copies, replicates.
        computed: objectives that some rows lacked and the study's cost model gave.
    """

    def __init__(self, done: Import) -> None:
        self.study, self.run, self.trials = done.study, done.run, done.trials
        self.left_out, self.computed = done.left_out, done.computed

    def as_json(self) -> dict[str, Any]:
        """The object that ``hqsearch import --json`` prints."""
        return {
            "study": self.study,
            "run": self.run,
            "trials": list(self.trials),
            "left_out": self.left_out,
            "computed": list(self.computed),
        }

    def _grid(self) -> Grid:
        first, last = self.trials[0], self.trials[-1]
        numbers = f"trials {first} to {last}" if last > first else f"trial {first}"
        lines = [
            f"{len(self.trials)} results imported into {self.study}: run {self.run}, {numbers}"
        ]
        if self.computed:
            lines.append(f"from the cost model, where rows had none: {', '.join(self.computed)}")
        if self.left_out:
            lines.append(f"left out: {self.left_out} rows that hold no result of their own")
        lines.append(
            "history for runs that begin from now on; no verdict, baseline or choice rests on them"
        )
        return Grid(below=lines)


class Status(Printed):
    """Progress, failures and time left of a study.

    Attributes:
        study: its name.
        driver: who drives it now; empty where nobody does.
        runs: of each run: ordinal, strategy, seed, evaluations, finished, …
        states: state → number of trials of searches.
        failures: kind of failure → how many.
        front: how many members the front has.
        evaluations_left: of unfinished runs.
        worker_seconds_left: what those will take one worker; None where that is unknown.
        disk: bytes that the study takes on disk, by kind.
    """

    def __init__(self, facts: dict[str, Any]) -> None:
        self._facts = facts
        self.study: str = facts["study"]
        self.driver: str = facts["driver"]
        self.runs: list[dict[str, Any]] = facts["runs"]
        self.states: dict[str, int] = facts["trials"]
        self.failures: dict[str, int] = facts["failures"]
        self.front: int = facts["front"]
        self.evaluations_left: int = facts["evaluations_left"]
        self.worker_seconds_left: float | None = facts["worker_seconds_left"]
        self.disk: dict[str, int] = facts["disk"]

    def as_json(self) -> dict[str, Any]:
        """The object that ``hqsearch status --json`` prints."""
        return self._facts

    def _grid(self) -> Grid:
        from hqsearch.show.overview import status_text

        return Grid(below=status_text(self._facts).splitlines())


class Confirmation(Printed):
    """What fresh seeds on the test split came to.

    Attributes:
        study: its name.
        members: confirmed candidates: search and confirmed values, seeds, status, rival.
        verdict: does the front beat uniform quantization, on confirmed numbers?
    """

    def __init__(
        self,
        study: str,
        summary: confirmation.ConfirmedFront,
        objectives: tuple[Objective, ...],
        verdict: str,
    ) -> None:
        self.study, self.summary, self.objectives = study, summary, objectives
        self.members, self.verdict = summary.members, verdict

    def as_json(self) -> dict[str, Any]:
        """The object that ``hqsearch confirm --json`` prints."""
        return self.summary.as_json()

    def _grid(self) -> Grid:
        from hqsearch.analysis.confirmed_verdict import basis

        rows = []
        for member in self.members:
            values = [value_text(o, member.confirmed[o.name]) for o in self.objectives]
            error = f"{member.quality.standard_error:.2g}"
            name = member.label or member.status
            both = f"{member.label}, {member.status}" if member.label and member.status else name
            rows.append([str(member.trial), *values, error, both])
        heads = [o.name if o.unit == "fraction" else f"{o.name} {o.unit}" for o in self.objectives]
        return Grid(
            f"Confirmation of {self.study}: {basis(self.summary)}",
            ["trial", *heads, "SE", "status"],
            rows,
            self.verdict.splitlines(),
        )


def _energy_line(energy: EnergyMeaning) -> str:
    """How far energy is storage, and what it is made of."""
    own, told = energy.own, []
    for name, found in (("storage", own.storage), ("average bits", own.bits)):
        if found.own is not None:
            without = found.without_fp32
            both = found.with_fp32 is not None and without is not None
            rest = f" ({without:.2f} without fp32)" if both else ""
            told.append(f"{found.own:.2f} with {name}{rest}")
    line = f"rank correlation of energy: {', '.join(told) or 'none'}"
    shares = [f"{name} {share:.0%}" for name, share in own.columns.items() if share >= 0.005]
    if shares:
        line += f"; by {own.profile}, uniform 4 bits: {', '.join(shares)}"
    if own.response is not None:
        line += f"; firing rates 0.02 to 0.4: {own.response:.2f} times"
    return line


def _dry_run(facts: Mapping[str, Any]) -> list[str]:
    """What a dry run found, a line each; nothing of what an evaluator of others may add."""
    lines = []
    network = facts.get("network", {})
    if network.get("output"):
        lines.append(f"network: frames {network['input']} to logits {network['output']}")
    alike: dict[str, list[str]] = {}
    for path, told in facts.get("neurons", {}).items():
        alike.setdefault(told, []).append(path)
    lines += [f"neurons {_some(paths)}: {told}" for told, paths in alike.items()]
    if facts.get("operations"):
        counted = ", ".join(f"{n} {kind}" for kind, n in facts["operations"].items())
        lines.append(f"operations: {counted.replace(', ', ' ').replace(' real', ' (real)')}")
    for split, classes in facts.get("samples", {}).items():
        counts = sorted(classes.values())
        each = f"{counts[0]} to {counts[-1]}" if counts and counts[0] < counts[-1] else counts[:1]
        text = each if isinstance(each, str) else "".join(map(str, each))
        lines.append(f"{split}: {sum(counts)} samples of {len(classes)} classes, {text} of each")
    if facts.get("recordings"):
        lines.append(facts["recordings"])
    costs = facts.get("costs")
    if costs:
        listed = ", ".join(
            f"{name} {c['energy']:.4g} µJ {c['storage']:.4g} KiB"
            for name, c in costs["uniform"].items()
        )
        lines.append(f"costs at an assumed firing rate of {costs['rate']:g}: {listed}")
    memory = facts.get("memory")
    if memory:
        lines.append(
            f"memory of a training, at least: {memory['total'] / 2**20:.3g} MiB "
            f"({memory['activations'] / 2**20:.3g} MiB of it activations of a batch), besides "
            "Python and torch"
        )
    lines += _outlook(facts.get("outlook", {}))
    return lines


def _outlook(told: Mapping[str, Any]) -> list[str]:
    if not told:
        return []
    seconds, disk = told.get("evaluation_seconds"), told.get("disk_bytes")
    parts = [f"first {' and '.join(told['steps'])}"] if told.get("steps") else []
    before = told.get("preparation_seconds")
    parts += [f"{_seconds(before)} to prepare"] if before else []
    parts += [f"{_seconds(seconds)} an evaluation"] if seconds else []
    parts += [f"{disk / 2**20:.3g} MiB on disk"] if disk else []
    return [f"a run will take: {'; '.join(parts)}"] if parts else []


def _seconds(value: float) -> str:
    return "less than a second" if value < 1 else f"about {value:.3g} s"


def _some(paths: Sequence[str]) -> str:
    """Up to four paths, and how many more there are."""
    more = f" and {len(paths) - 4} more" if len(paths) > 4 else ""
    return ", ".join(paths[:4]) + more


def _allowed(choices: tuple[str, ...], dimension: str | None) -> str:
    text = " ".join(choices)
    return text if dimension is not None else f"{text} (pinned)"
