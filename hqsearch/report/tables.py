"""Tables for a terminal, CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from hqsearch.objective import Objective
from hqsearch.store.records import TrialRow


def number(value: float | None, digits: int = 4) -> str:
    """A number for people; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}g}"


def value_text(objective: Objective, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if objective.unit == "fraction" else number(value)


def choice_counts(choices: Mapping[str, str]) -> str:
    """How many dimensions take which value, most frequent first: ``4u×9 2l×6 fp32×3``."""
    return " ".join(f"{c}×{n}" if n > 1 else c for c, n in Counter(choices.values()).most_common())


def front_table(
    rows: Sequence[TrialRow], objectives: Sequence[Objective], title: str = "Front"
) -> Table:
    """The front, cheapest first."""
    table = Table(
        title=title,
        title_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("trial", justify="right", no_wrap=True)
    for objective in objectives:
        unit = "" if objective.unit == "fraction" else f"\n{objective.unit}"
        table.add_column(f"{objective.name}{unit}", justify="right", no_wrap=True)
    table.add_column("± SE", justify="right", no_wrap=True)
    table.add_column("bits", justify="right", no_wrap=True)
    table.add_column("found by", no_wrap=True)
    table.add_column("layers", min_width=12, overflow="fold")
    for row in rows:
        values = row.values or {}
        error = row.details.get("accuracy_se")
        table.add_row(
            str(row.number),
            *(value_text(o, values.get(o.name)) for o in objectives),
            f"{100 * error:.1f}" if error is not None else "–",
            number(row.average_bits, 3),
            _found_by(row),
            choice_counts(row.choices),
        )
    return table


#: Rows above which a table is plain lines: rich takes a second for every thousand.
MANY = 300


def trials_lines(rows: Sequence[TrialRow], objectives: Sequence[Objective]) -> str:
    """Every trial on one line, for studies that hold many."""
    lines = []
    for row in rows:
        values = [f"{o.name} {value_text(o, (row.values or {}).get(o.name))}" for o in objectives]
        what = f"{row.failure}: {row.reason}" if row.failure else choice_counts(row.choices)
        bits = number(row.average_bits, 3)
        lines.append(
            f"{row.number:>6} run {row.run} {row.state:<8} {_found_by(row):<14} "
            f"{'  '.join(values)}  {bits} bits  {what}"
        )
    return "\n".join(lines)


def _found_by(row: TrialRow) -> str:
    name = f"uniform {row.origin}" if row.kind == "baseline" else row.strategy
    return f"{name} = {row.copy_of}" if row.copy_of is not None else name


def trials_table(rows: Sequence[TrialRow], objectives: Sequence[Objective]) -> Table:
    """Every trial, in order."""
    table = Table(header_style="bold", box=SIMPLE_HEAD)
    for name in ("trial", "run", "state", "kind"):
        table.add_column(name, justify="right" if name in ("trial", "run") else "left")
    for objective in objectives:
        unit = "" if objective.unit == "fraction" else f" {objective.unit}"
        table.add_column(f"{objective.name}{unit}", justify="right")
    table.add_column("bits", justify="right")
    table.add_column("s", justify="right")
    table.add_column("choices or reason", overflow="fold")
    for row in rows:
        table.add_row(
            str(row.number),
            str(row.run),
            row.state,
            _found_by(row),
            *(value_text(o, (row.values or {}).get(o.name)) for o in objectives),
            number(row.average_bits, 3),
            number(row.seconds, 3),
            f"{row.failure}: {row.reason}" if row.failure else choice_counts(row.choices),
        )
    return table


def layers_table(rows: Sequence[Mapping[str, Any]], title: str) -> Table:
    """One trial, layer by layer."""
    table = Table(
        title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD, show_footer=True
    )
    names = list(rows[0]) if rows else []
    units = {"energy": "energy µJ", "storage": "storage KiB"}
    for name in names:
        numeric = all(isinstance(r.get(name), int | float) for r in rows)
        footer = ""
        if name in ("energy", "storage", "weights"):
            total = sum(r[name] or 0 for r in rows)
            footer = f"{total:,}" if name == "weights" else number(total)
        footer = "sum of layers" if name == names[0] else footer
        table.add_column(units.get(name, name), footer, justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*(_cell(row.get(n)) for n in names))
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
