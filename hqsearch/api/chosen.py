"""The member of a front that ``choose`` takes, as a notebook sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hqsearch.analysis.words import choice_counts, choice_lists, values_text
from hqsearch.api.grid import Grid, Printed
from hqsearch.api.trials import Trial

if TYPE_CHECKING:
    from hqsearch.analysis.choosing import Neighbour, Selection
    from hqsearch.problem.objective import Objective


#: Layers up to which all are listed; ``hqsearch show --trial N`` shows more of them.
LISTED = 40


class Chosen(Printed):
    """One member of a front, and why.

    Attributes:
        trial: the member.
        values: objective → value that counted: confirmed means where every member has them,
            else those that the front was chosen by.
        reason: why, in a sentence.
        cheaper: what a cheaper member saves and gives up, in a sentence; None at that end.
        better: what a more accurate member gains and costs, in a sentence; None at that end.
        certainty: how sure it is.
        confirmed: whether accuracies are those of fresh seeds on the test split.
    """

    def __init__(self, study: str, selection: Selection, objectives: tuple[Objective, ...]) -> None:
        self.study, self.selection, self.objectives = study, selection, objectives
        self.trial = Trial(selection.trial, objectives)
        self.values, self.reason = selection.values, selection.reason
        self.certainty, self.confirmed = selection.certainty, selection.confirmed
        self.cheaper = self._sentence("Cheaper", selection.cheaper)
        self.better = self._sentence("Better", selection.better)

    def as_json(self) -> dict[str, Any]:
        """The object that ``hqsearch choose --json`` prints."""
        selection = self.selection
        return {
            "study": self.study,
            "trial": self.trial.number,
            "choices": self.trial.choices,
            "values": self.values,
            "measured": self.trial.values,
            "modelled": selection.modelled,
            "average_bits": self.trial.average_bits,
            "limits": {limit.metric: limit.text for limit in selection.limits},
            "reason": self.reason,
            "cheaper": _as_json(selection.cheaper),
            "better": _as_json(selection.better),
            "standard_error": selection.standard_error,
            "confirmed": self.confirmed,
            "certainty": self.certainty,
        }

    def _grid(self) -> Grid:
        values = values_text(self.values, self.objectives)
        lines = [
            f"trial {self.trial.number} of {self.study}: {values}",
            f"layers: {choice_counts(self.trial.choices)}",
            *(f"  {line}" for line in self._lists()),
            f"why: {self.reason}",
            *(line for line in (self.cheaper, self.better) if line is not None),
            f"how sure: {self.certainty}",
        ]
        return Grid(below=lines)

    def _lists(self) -> list[str]:
        choices = self.trial.choices
        return choice_lists(choices) if len(choices) <= LISTED else []

    def _sentence(self, what: str, neighbour: Neighbour | None) -> str | None:
        """What is different with another member, the measured objective first."""
        if neighbour is None:
            return None
        measured = next((o for o in self.objectives if not o.cheap), self.objectives[0])
        parts = [
            _change(o, neighbour.changes[o.name], neighbour if o is measured else None)
            for o in sorted(self.objectives, key=lambda o: o is not measured)
        ]
        return f"{what.lower()}: trial {neighbour.trial.number}, {', '.join(parts)}"


def _change(objective: Objective, change: float, measured: Neighbour | None) -> str:
    share = objective.unit != "fraction"
    text = _share(change) if share else f"{100 * change:+.1f}"
    if measured is not None and measured.standard_error is not None:
        error = measured.standard_error
        text += f" ± {100 * error:.1f}" if not share else f" (± {error:.3g})"
    unit = "" if share else " points"
    pairs = " (paired)" if measured is not None and measured.paired else ""
    return f"{objective.name} {text}{unit}{pairs}"


def _share(change: float) -> str:
    """In percent; small ones with a digit more, and none at all without a sign.

    >>> _share(-0.0412), _share(0.0031), _share(-0.0001)
    ('-4%', '+0.3%', '0%')
    """
    if abs(change) < 0.0005:
        return "0%"
    return f"{change:+.0%}" if abs(change) >= 0.0095 else f"{change:+.1%}"


def _as_json(neighbour: Neighbour | None) -> dict[str, Any] | None:
    if neighbour is None:
        return None
    return {
        "trial": neighbour.trial.number,
        "changes": neighbour.changes,
        "standard_error": neighbour.standard_error,
        "paired": neighbour.paired,
    }
