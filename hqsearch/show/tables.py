"""Tables for a terminal, CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD

from hqsearch.analysis.words import choice_counts, found_by, one_line
from hqsearch.problem.objective import Objective, difference_text, measured_objective
from hqsearch.show.literal_table import LiteralTable, ModulePath
from hqsearch.show.text import number, value_text
from hqsearch.store.modelled import Modelled
from hqsearch.store.records import TrialRow

#: Rows from which a front is printed as plain lines: rich takes a second for every thousand.
LONG_FRONT = 200


def front_table(
    rows: Sequence[TrialRow],
    objectives: Sequence[Objective],
    title: str = "Front",
    marks: Mapping[int, str] | None = None,
    means: Mapping[int, Modelled] | None = None,
) -> LiteralTable:
    """The front, cheapest first.

    Args:
        rows: its members.
        objectives: of the study.
        title: above.
        marks: trial → what its confirmation came to.
        means: trial → what the model of accuracy makes of it.
    """
    table = LiteralTable(
        title=title,
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("trial", justify="right", no_wrap=True)
    for objective in objectives:
        unit = "" if objective.unit == "fraction" else f"\n{objective.unit}"
        table.add_column(f"{objective.name}{unit}", justify="right", no_wrap=True)
    # A terminal has no room for both: once confirmed, the error of the search says little.
    error = "model" if means else "± SE"
    table.add_column("confirmed" if marks else error, justify="right", no_wrap=True)
    if not marks:
        table.add_column("bits", justify="right", no_wrap=True)
    table.add_column("found by", no_wrap=True)
    table.add_column("layers", min_width=12, overflow="fold")
    for row in rows:
        values = row.values or {}
        table.add_row(
            str(row.number),
            *(value_text(o, values.get(o.name)) for o in objectives),
            *(
                [marks.get(row.number, "–")]
                if marks
                else _error_and_bits(row, objectives, means or {})
            ),
            found_by(row),
            choice_counts(row.choices),
        )
    return table


def error_text(row: TrialRow, objectives: Sequence[Objective]) -> str:
    """Standard error of the measured objective, of fractions in points; a dash where unknown."""
    quality = measured_objective(objectives)
    error = row.details.error_of(quality.name) if quality is not None else None
    return "–" if quality is None or error is None else difference_text(quality, error)


def _error_and_bits(
    row: TrialRow, objectives: Sequence[Objective], means: Mapping[int, Modelled]
) -> list[str]:
    found, told = means.get(row.number), error_text(row, objectives)
    quality = measured_objective(objectives)
    if found is not None and quality is not None:
        mean, deviation = (difference_text(quality, v) for v in (found.mean, found.deviation))
        told = f"{mean} ± {deviation}"
    return [told, number(row.average_bits, 3)]


def trials_lines(
    rows: Sequence[TrialRow], objectives: Sequence[Objective], driven: bool = True
) -> str:
    """Every trial on one line, as plain text.

    Args:
        driven: whether somebody drives the study; else what has not finished waits for that.
    """
    heads = [f"{o.name}{'' if o.unit == 'fraction' else ' ' + o.unit}" for o in objectives]
    lines = [f"trial run {'state':<8} {'found by':<13} {'  '.join(heads)}  bits  layers"]
    for row in rows:
        values = [
            value_text(o, (row.values or {}).get(o.name)).rjust(len(h))
            for o, h in zip(objectives, heads, strict=True)
        ]
        what = choice_counts(row.choices)
        if row.failure:
            what = f"{row.failure}: {one_line(row.reason)}"
        if row.stopped_at is not None:
            what = f"stopped at epoch {row.stopped_at}  {what}"
        lines.append(
            f"{row.number:>5} {row.run:>3} {shown_state(row.state, driven):<8} {found_by(row):<13} "
            f"{'  '.join(values)}  {number(row.average_bits, 3):>4}  {what}"
        )
    return "\n".join(lines)


def shown_state(state: str, driven: bool) -> str:
    """A trial's state: what nobody works on is not running, it waits to be resumed."""
    return "WAITING" if state == "RUNNING" and not driven else state


def layers_table(rows: Sequence[Mapping[str, Any]], title: str) -> LiteralTable:
    """One trial, layer by layer."""
    table = LiteralTable(
        title=title,
        header_style="bold",
        box=SIMPLE_HEAD,
        show_footer=True,
        padding=(0, 1, 0, 0),
    )
    # Bits stand in the choice; MACs and activity are in --json, a terminal has no room for them.
    names = [n for n in (rows[0] if rows else {}) if n not in ("bits", "macs", "activity")]
    units = {"energy": "energy\nµJ", "storage": "storage\nKiB"}
    for name in names:
        numeric = all(isinstance(r.get(name), int | float) for r in rows)
        footer = ""
        if name in ("energy", "storage", "weights"):
            total = sum(r[name] or 0 for r in rows)
            footer = f"{total:,}" if name == "weights" else number(total)
        footer = "sum of layers" if name == names[0] else footer
        table.add_column(units.get(name, name), footer, justify="right" if numeric else "left")
    for row in rows:
        first, *others = (_cell(row.get(n)) for n in names)
        table.add_row(ModulePath(first), *others)
    return table


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    return f"{value:,}" if isinstance(value, int) else str(value if value is not None else "–")


def as_csv(rows: Sequence[TrialRow], objectives: Sequence[Objective]) -> str:
    """Trials as CSV: one column per dimension and per objective."""
    if not rows:
        return ""
    out = io.StringIO()
    fixed = ("number", "state", "run", "strategy", "kind", "copy_of", "average_bits")
    names = [o.name for o in objectives]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*fixed, "seed", "seconds", *names, *rows[0].choices])
    for row in rows:
        values = row.values or {}
        writer.writerow(
            [
                *(getattr(row, f) for f in fixed),
                row.seed,
                row.seconds,
                *(values.get(n) for n in names),
                *row.choices.values(),
            ]
        )
    return out.getvalue()
