"""The tables of the report."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hqsearch.analysis.confirmation import Member
from hqsearch.analysis.pictures.facts import Facts
from hqsearch.analysis.words import choice_counts, found_by, imported_lines
from hqsearch.problem.objective import Objective
from hqsearch.show.confirmation import MARKS
from hqsearch.show.tables import error_text
from hqsearch.show.text import number, value_text
from hqsearch.store.records import TrialRow


def escaped(text: Any) -> str:
    """A text as HTML shows it."""
    return html.escape(str(text))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], ids: Sequence[str] = ()) -> str:
    """A table of cells that are HTML already; the last column is text."""
    head = "".join(f'<th scope="col">{cell}</th>' for cell in heads)
    names = [f' id="{name}"' for name in ids] or [""] * len(rows)
    body = "".join(
        f"<tr{name}>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
        for name, row in zip(names, rows, strict=True)
    )
    shown = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll">{shown}</div>'


def headline(facts: Facts) -> str:
    """Title, what must be said, the numbers that one looks for first, the verdict."""
    searched = [t for t in facts.trials if t.searched]
    states = Counter(t.state for t in searched)
    counts = [
        (str(len(facts.front)), "on the front"),
        (str(states["COMPLETE"]), "evaluations completed"),
        (str(sum(run.searches for run in facts.runs)), "runs"),
    ]
    if facts.imported:
        counts.append((str(len(facts.imported)), "imported, measured elsewhere"))
    if states["RUNNING"]:
        counts.append((str(states["RUNNING"]), "not finished when this was written"))
    if states["PRUNED"]:
        counts.append((str(states["PRUNED"]), "stopped early"))
    if states["FAIL"]:
        counts.append((str(states["FAIL"]), "failed"))
    facts_list = "".join(f"<li><b>{escaped(n)}</b>{escaped(what)}</li>" for n, what in counts)
    notes = "".join(f'<p class="note">{escaped(note)}</p>' for note in facts.notes)
    lines = [*([facts.resolution] if facts.resolution else []), *facts.verdict.splitlines()]
    verdict = "".join(f"<p>{escaped(line)}</p>" for line in lines)
    budgets = ", ".join(f"{b.metric} {b.text}" for b in facts.budgets)
    under = f" · under {escaped(budgets)}" if budgets else ""
    return (
        f"<h1>{escaped(facts.title)}</h1>\n"
        f'<p class="about">study {escaped(facts.name)}{under}</p>\n{notes}\n'
        f'<ul class="facts">{facts_list}</ul>\n<div class="verdict">{verdict}</div>'
    )


def front_table(facts: Facts) -> str:
    """The front, cheapest first; a row for every member, its assignment folded away."""
    if not facts.front:
        return ""
    confirmation = facts.confirmation
    heads = ["trial", *(_head(o) for o in facts.objectives), "± SE"]
    heads += ["confirmed"] if confirmation else []
    rows = []
    for trial in facts.front:
        values = trial.values or {}
        cells = [str(trial.number), *(value_text(o, values.get(o.name)) for o in facts.objectives)]
        cells.append(error_text(trial, facts.objectives))
        if confirmation:
            own = None if trial.imported else confirmation.of(trial.key)
            cells.append(_confirmed(own, facts.quality))
        cells += [number(trial.average_bits, 3), found_by(trial)]
        rows.append([*map(escaped, cells), _assignment(trial)])
    ids = [f"trial-{t.number}" for t in facts.front]
    told = "".join(f'<p class="note">{escaped(line)}</p>' for line in imported_lines(facts.front))
    return table([*map(escaped, heads), "bits", "found by", "layers"], rows, ids) + told


def _head(objective: Objective) -> str:
    return objective.name if objective.unit == "fraction" else f"{objective.name}, {objective.unit}"


def _confirmed(member: Member | None, quality: Objective) -> str:
    if member is None:
        return "–"
    return f"{value_text(quality, member.confirmed[quality.name])} {MARKS.get(member.status, '')}"


def _assignment(trial: TrialRow) -> str:
    whole = "<br>".join(f"{escaped(k)}: {escaped(v)}" for k, v in trial.choices.items())
    return f"<details><summary>{escaped(choice_counts(trial.choices))}</summary>{whole}</details>"


def runs_table(facts: Facts) -> str:
    """Every run: strategy, seed, how far it came and how long its evaluations took."""
    rows = []
    for run in facts.runs:
        own = [t for t in facts.trials if t.run == run.ordinal]
        done = Counter(t.state for t in own)
        seconds = sum(t.seconds or 0.0 for t in own if t.copy_of is None)
        tasks = sum(t.seconds for t in facts.tasks if t.run == run.ordinal)
        rows.append(
            [
                escaped(cell)
                for cell in (
                    run.ordinal, run.seed, sum(done[s] for s in ("COMPLETE", "PRUNED", "FAIL")),
                    run.evaluations, sum(t.copy_of is not None for t in own),
                    f"{(seconds + tasks) / 60:.1f}", run.strategy,
                )
            ]
        )  # fmt: skip
    heads = ["run", "seed", "finished", "of", "copies", "worker minutes", "strategy"]
    return table(heads, rows) if rows else ""


def failures(facts: Facts) -> str:
    """What failed, by kind and reason."""
    kinds: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], int] = {}
    for trial in facts.trials:
        if trial.failure:
            key = (trial.failure, next(iter(trial.reason.splitlines()), ""))
            kinds[key] += 1
            first.setdefault(key, trial.number)
    if not kinds:
        return "<p>None.</p>"
    rows = [
        [str(n), escaped(kind), str(first[kind, reason]), escaped(reason)]
        for (kind, reason), n in kinds.most_common(50)
    ]
    return table(["how many", "kind", "first trial", "reason"], rows)


def provenance(facts: Facts) -> str:
    """Where the numbers come from."""
    study, definition = facts.attributes["study"], facts.attributes["definition"]
    fingerprint = facts.attributes["fingerprint"]
    runs = facts.runs
    versions = runs[-1].versions if runs else {}
    data = fingerprint.get("data") or definition.get("data") or {}
    listed = {
        "study": facts.name,
        "evaluator": definition.get("evaluator"),
        "recipe": fingerprint.get("recipe", 1),
        "seed of evaluations": definition.get("seed"),
        "data": _flat(data) or "none: the evaluator needs none",
        "prepared": _flat(facts.attributes["prepared"]),
        "model": _flat(definition.get("model") or {}),
        "evaluation": _flat(definition.get("evaluation") or {}),
        "hardware profile": (definition.get("hardware") or {}).get("profile"),
        "device": fingerprint.get("device"),
        "machine": study.get("platform"),
        "made": study.get("created"),
        "versions of the last run": _flat(versions),
        "time of workers": _worker_time(facts),
        "simulated": " ".join(facts.notes) or "the study does not say that it is",
    }
    rows = "".join(
        f"<dt>{escaped(name)}</dt><dd>{escaped(value)}</dd>"
        for name, value in listed.items()
        if value not in (None, "")
    )
    return f"<dl>{rows}</dl>"


def _worker_time(facts: Facts) -> str:
    trials = (t for t in facts.trials if t.copy_of is None and not t.imported)
    own = [t.seconds for t in trials if t.seconds is not None]
    tasks = [t.seconds for t in facts.tasks]
    text = f"{sum(own) / 60:.1f} minutes of {len(own)} evaluations"
    return text + (f", {sum(tasks) / 60:.1f} minutes of {len(tasks)} tasks" if tasks else "")


def _flat(values: Any) -> str:
    """A small table in a line; what is nested is left to the log."""
    if not isinstance(values, dict):
        return str(values)
    simple = {k: v for k, v in values.items() if v is not None and not isinstance(v, dict | list)}
    return ", ".join(f"{key} {value}" for key, value in simple.items())
