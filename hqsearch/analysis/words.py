"""Trials in words, for tables and sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from hqsearch.problem.objective import Objective, value_text
from hqsearch.store.records import TrialRow

#: Letters of a line of a failure's reason in a table or a sentence.
CUT = 160


def one_line(reason: str) -> str:
    r"""The first line of a failure's reason, and the last, where a traceback names its error.

    >>> one_line("exited with 1:\n  File x\nKeyError: 'haed'\n"), one_line("no data"), one_line("")
    ("exited with 1: … KeyError: 'haed'", 'no data', '')
    """
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    ends = [
        line if len(line) <= CUT else f"{line[:CUT]}…" for line in (*lines[:1], *lines[1:][-1:])
    ]
    return " … ".join(ends)


def choice_counts(choices: Mapping[str, str]) -> str:
    """How many dimensions take which value, most frequent first: ``4u×9 2l×6 fp32×3``."""
    return " ".join(f"{c}×{n}" if n > 1 else c for c, n in Counter(choices.values()).most_common())


def choice_lists(choices: Mapping[str, str]) -> list[str]:
    """Which dimensions take which value, a line each, as :func:`choice_counts` orders them.

    >>> choice_lists({"conv1": "4u", "conv2": "2l", "head": "4u"})
    ['4u: conv1, head', '2l: conv2']
    """
    return [
        f"{choice}: {', '.join(name for name, own in choices.items() if own == choice)}"
        for choice, _ in Counter(choices.values()).most_common()
    ]


def found_by(row: TrialRow) -> str:
    """The strategy that proposed it, or which baseline it is; and whose copy."""
    name = f"uniform {row.origin}" if row.kind == "baseline" else row.strategy
    return f"{name} = {row.copy_of}" if row.copy_of is not None else name


def imported_lines(rows: Sequence[TrialRow]) -> list[str]:
    """Which of these trials were measured elsewhere, and what that means."""
    sources: dict[str, list[str]] = {}
    for row in rows:
        if row.imported:
            sources.setdefault(row.origin, []).append(str(row.number))
    if not sources:
        return []
    told = "; ".join(f"{', '.join(numbers)} ({source})" for source, numbers in sources.items())
    return [f"imported, and measured elsewhere: trial {told}. No verdict or choice rests on them."]


def values_text(values: Mapping[str, float], objectives: Sequence[Objective]) -> str:
    """Values with their units: ``accuracy 91.2 %, energy 18.4 µJ``."""
    parts = []
    for objective in objectives:
        unit = "" if objective.unit == "fraction" else f" {objective.unit}"
        parts.append(f"{objective.name} {value_text(objective, values.get(objective.name))}{unit}")
    return ", ".join(parts)


def described(row: TrialRow, objectives: Sequence[Objective]) -> str:
    """A trial's values, or why it has none, and its choices, in a line."""
    if row.values is None:
        reason = f" ({row.failure}: {row.reason})" if row.failure else ""
        return f"{row.state}{reason}; {choice_counts(row.choices)}"
    return f"{values_text(row.values, objectives)}; {choice_counts(row.choices)}"
