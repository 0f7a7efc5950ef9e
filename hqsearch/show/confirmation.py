"""A confirmation as a table and words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD

from hqsearch.analysis.confirmation import CONFIRMED, LUCK, UNCERTAIN, ConfirmedFront, Member
from hqsearch.analysis.confirmed_verdict import basis
from hqsearch.problem.objective import (
    ACCURACY,
    Objective,
    difference_text,
    measured_objective,
    unit_text,
)
from hqsearch.show.literal_table import LiteralTable
from hqsearch.show.text import value_text

#: How a member's status is marked in a table.
MARKS = {CONFIRMED: "✓", UNCERTAIN: "~", LUCK: "✗"}
MEANING = (
    "✓ not dominated on the confirmed means; ~ dominated, but within the error; "
    "✗ dominated beyond it: its place rested on luck"
)


def front_marks(
    confirmation: ConfirmedFront | None, objectives: Sequence[Objective] = (ACCURACY,)
) -> dict[int, str]:
    """Trial → confirmed accuracy and mark, for the table of the front."""
    quality = measured_objective(objectives)
    if confirmation is None or quality is None or confirmation.quality != quality.name:
        return {}
    return {
        m.trial: f"{difference_text(quality, m.quality.mean)} {MARKS[m.status]}"
        for m in confirmation.members
        if m.status
    }


def confirmation_table(
    confirmation: ConfirmedFront, objectives: tuple[Objective, ...], study: str
) -> LiteralTable:
    """Confirmed candidates, cheapest first."""
    table = LiteralTable(
        title=f"Confirmation of {study}: {basis(confirmation)}",
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("trial  ", justify="right", no_wrap=True)
    measured = next(o for o in objectives if o.name == confirmation.quality)
    costs = [o for o in objectives if o.name != confirmation.quality]
    for name in (confirmation.quality, "± SE", "searched"):
        table.add_column(name, justify="right", no_wrap=True)
    for objective in costs:
        unit = "" if objective.unit == "fraction" else f"\n{objective.unit}"
        table.add_column(f"{objective.name}{unit}", justify="right", no_wrap=True)
    table.add_column("against", no_wrap=True)
    for member in confirmation.members:
        table.add_row(
            f"{member.trial} {MARKS.get(member.status, ' ')}",
            value_text(measured, member.confirmed[confirmation.quality]),
            _in_unit(measured, member.quality.standard_error),
            value_text(measured, member.searched.get(confirmation.quality)),
            *(value_text(o, member.confirmed[o.name]) for o in costs),
            _rival_text(measured, member),
        )
    return table


def _rival_text(objective: Objective, member: Member) -> str:
    if member.difference is None:
        return f"is {member.label}" if member.label else "none as cheap"
    low, high = (_in_unit(objective, v, "+") for v in member.difference_interval)
    mean = _in_unit(objective, member.difference.mean, "+")
    return f"{member.rival.removeprefix('uniform ')} {mean} ({low}…{high})"


def _in_unit(objective: Objective, value: float, sign: str = "") -> str:
    """Fractions in percent points."""
    if not math.isfinite(value):
        return "–"
    return difference_text(objective, value, sign)


def confirmation_text(confirmation: ConfirmedFront, objectives: Sequence[Objective]) -> str:
    """What the marks mean, what varies, and who did not hold."""
    measured = next(o for o in objectives if o.name == confirmation.quality)
    lines = [
        f"{MEANING}.",
        "Against: difference from the strongest control at no more cost, with its 95 % interval; "
        "paired by seed and sample where samples were recorded. Every interval holds by itself, "
        "not all of them together; the verdict's bounds do.",
    ]
    lines += [components_text(confirmation, measured)] if confirmation.components else []
    luck = [str(m.trial) for m in confirmation.members if m.status == LUCK]
    held = sum(m.status == CONFIRMED for m in confirmation.members)
    front = sum(m.on_front for m in confirmation.members)
    lines.append(f"{held} of {front} front members are confirmed.")
    if luck:
        lines.append(f"Rested on luck: trial {', '.join(luck)}.")
    return "\n".join(lines)


#: What one of a component's number is called.
_ONE = {"parents": "parent", "seeds": "seed", "divisions": "split"}


def components_text(confirmation: ConfirmedFront, measured: Objective) -> str:
    """How much accuracies and their differences vary, by what they vary with."""
    told = []
    for name, one in (confirmation.components or {}).items():
        if one["accuracy"] is None:
            continue
        text = f"from {_ONE[name]} to {_ONE[name]} {measured.name} by {_spread(measured, one)}"
        if "difference" in one:
            apart = _spread(measured, one, "difference")
            text += f", a difference between two candidates by {apart}"
        told.append(text)
    return f"Standard deviations: {'; '.join(told)}."


def _spread(measured: Objective, one: Mapping[str, float], key: str = "accuracy") -> str:
    return f"{difference_text(measured, one[key])}{unit_text(measured)}"
