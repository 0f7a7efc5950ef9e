"""What the Optuna dashboard shows of a study beside its trials: a note, figures, the report.

They are system attributes of the study, in the form of optuna-dashboard 0.21: long texts in
numbered pieces, a note with a version. They are written by whoever holds the driver's lock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Characters of a piece, optuna-dashboard's own.
PIECE = 2045
_NOTE, _VERSION, _FIGURE = "dashboard:note_str:", "dashboard:note_ver", "dashboard:plot_data:"
#: The report is always the same artifact, so that it is replaced and not piled up.
REPORT = "68717365-6172-6368-0000-7265706f7274"


@dataclass(frozen=True)
class Published:
    """What is shown.

    Attributes:
        note: Markdown; raw HTML in it would be shown as such.
        figures: id → a Plotly figure as JSON; an id that stays is replaced in place.
        metrics: the objectives' names with their units.
    """

    note: str
    figures: Mapping[str, str]
    metrics: tuple[str, ...]


def attributes_of(published: Published, before: Mapping[str, Any]) -> dict[str, Any]:
    """The system attributes that have to be written.

    Args:
        before: what the study has; what is the same already is left alone.
    """
    wanted: dict[str, Any] = _pieces(_NOTE, published.note, before)
    for name, figure in published.figures.items():
        wanted |= _pieces(f"{_FIGURE}{name}:", figure, before)
    wanted["study:metric_names"] = list(published.metrics)
    about = {
        "artifact_id": REPORT,
        "filename": "report.html",
        "mimetype": "text/html",
        "encoding": None,
    }
    wanted[f"artifacts:{REPORT}"] = json.dumps(about)
    changed = {key: value for key, value in wanted.items() if before.get(key) != value}
    if any(key.startswith(_NOTE) for key in changed):
        changed[_VERSION] = int(before.get(_VERSION, 0)) + 1
    return changed


def _pieces(prefix: str, text: str, before: Mapping[str, Any]) -> dict[str, Any]:
    """A text in pieces; pieces of a longer one before are emptied, as the dashboard does."""
    pieces = [text[start : start + PIECE] for start in range(0, len(text), PIECE)]
    earlier = sum(key.startswith(prefix) for key in before)
    pieces += [""] * (earlier - len(pieces))
    return {f"{prefix}{place}": piece for place, piece in enumerate(pieces)}
