"""What the dashboard shows of a study beside its trials: a note, the front, the hypervolume."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from typing import Any

from hqsearch.analysis.pictures.facts import Facts, NothingToDraw, spread_over
from hqsearch.analysis.pictures.front import FrontPicture, FrontPoint, front_picture
from hqsearch.analysis.pictures.hypervolume import Hypervolumes, hypervolume_picture
from hqsearch.analysis.words import choice_counts, found_by
from hqsearch.problem.objective import Objective
from hqsearch.show.palette import COLOURS, EVALUATED, GRID, INK, PAPER, strategy_marks
from hqsearch.show.text import number, value_text
from hqsearch.store.published import Published
from hqsearch.store.records import IMPORT

#: The fixed ids of the figures: an update replaces them in place.
FRONT, HYPERVOLUME = "hqsearch-front", "hqsearch-hypervolume"
#: Members of the front in the note.
SHOWN = 12
#: Evaluated candidates in the figure, which the log has to hold with every update.
EVALUATED_POINTS = 600
_SYMBOLS = {"o": "circle", "s": "square", "^": "triangle-up", "v": "triangle-down", "P": "cross",
            "X": "x"}  # fmt: skip
#: What Markdown would take for its own.
_MARKUP = re.compile(r"([\\`*_{}\[\]()#+!|~-])")


def published(facts: Facts) -> Published:
    """Everything that is written for the dashboard."""
    return Published(note(facts), figures(facts), tuple(map(metric_name, facts.objectives)))


def figures(facts: Facts) -> dict[str, str]:
    """Id → figure; the first cost's front is always :data:`FRONT`."""
    drawn: dict[str, dict[str, Any]] = {}
    try:
        picture = front_picture([facts])
        for place, cost in enumerate(picture.costs):
            name = FRONT if place == 0 else f"{FRONT}-{place + 1}"
            drawn[name] = _front(picture, cost)
    except NothingToDraw as error:
        drawn[FRONT] = _empty(str(error))
    try:
        drawn[HYPERVOLUME] = _hypervolume(hypervolume_picture(facts))
    except NothingToDraw as error:
        drawn[HYPERVOLUME] = _empty(str(error))
    return {name: json.dumps(figure) for name, figure in drawn.items()}


def metric_name(objective: Objective) -> str:
    """With its unit: ``energy (µJ)``."""
    return f"{objective.name} ({objective.unit})"


def markdown(text: Any) -> str:
    """A text of anybody's as Markdown that shows it as it is; the dashboard takes raw HTML."""
    line = " ".join(str(text).split())
    return _MARKUP.sub(r"\\\1", html.escape(line, quote=False))


def note(facts: Facts) -> str:
    """What this study is, and what it came to, in Markdown."""
    definition, fingerprint = facts.attributes["definition"], facts.attributes["fingerprint"]
    lines = [f"# {markdown(facts.title)}", ""]
    lines += [f"> {markdown(text)}\n" for text in facts.notes]
    space = facts.space
    data = definition.get("data") or {}
    listed = {
        "study": facts.name,
        "evaluator": f"{definition.get('evaluator')}, recipe {fingerprint.get('recipe', 1)}",
        "space": f"{len(space.dimensions)} dimensions, {space.size:.3g} candidates",
        "data": ", ".join(
            f"{k} {v}" for k, v in data.items() if v is not None and not isinstance(v, dict | list)
        ),
        "fp32": _fp32(facts),
    }
    lines += [f"- **{name}**: {markdown(text)}" for name, text in listed.items() if text]
    for run in facts.runs:
        done = sum(t.run == run.ordinal and t.state in _DONE for t in facts.trials)
        lines.append(
            f"- **run {run.ordinal}**: {markdown(run.strategy)}, seed {run.seed}, {done} of "
            f"{run.evaluations} finished"
        )
    return "\n".join([*lines, "", *_front_lines(facts), "", *_verdict(facts)])


_DONE = ("COMPLETE", "PRUNED", "FAIL")


def _fp32(facts: Facts) -> str:
    trial = facts.uniform()
    if trial is None:
        return ""
    return ", ".join(_valued(o, (trial.values or {})[o.name]) for o in facts.objectives)


def _valued(objective: Objective, value: float) -> str:
    unit = "" if objective.unit == "fraction" else f" {objective.unit}"
    return f"{objective.name} {value_text(objective, value)}{unit}"


def _front_lines(facts: Facts) -> list[str]:
    if not facts.front:
        return ["No candidate is on the front yet."]
    heads = ["trial", *map(metric_name, facts.objectives), "bits", "found by", "layers"]
    lines = [
        f"## Front: {len(facts.front)} candidates",
        "",
        "| " + " | ".join(map(markdown, heads)) + " |",
        "|" + "---|" * len(heads),
    ]
    for trial in spread_over(facts.front, SHOWN):
        values = trial.values or {}
        cells = [
            str(trial.number),
            *(value_text(o, values.get(o.name)) for o in facts.objectives),
            number(trial.average_bits, 3),
            found_by(trial),
            choice_counts(trial.choices),
        ]
        lines.append("| " + " | ".join(map(markdown, cells)) + " |")
    if len(facts.front) > SHOWN:
        lines += ["", f"{SHOWN} of {len(facts.front)} are shown; the report has all of them."]
    lines += ["", markdown(facts.resolution)] if facts.resolution else []
    return lines


def _verdict(facts: Facts) -> list[str]:
    head, *more = facts.verdict.splitlines()
    return [f"## {markdown(head)}", "", *(f"- {markdown(line)}" for line in more)]


# Figures, as Plotly's JSON


def _front(picture: FrontPicture, cost: Objective) -> dict[str, Any]:
    uniform = [p for p in picture.points if p.strategy.startswith("uniform ")]
    others = [p for p in picture.points if not p.member and p not in uniform]
    step = -(-len(others) // EVALUATED_POINTS) or 1
    members = [p for p in picture.members if p not in uniform]
    marks = strategy_marks(list(dict.fromkeys(p.strategy for p in members)))
    traces = [_trace(others[::step], "evaluated", picture, cost, EVALUATED, "circle", 5)]
    for name, mark in marks.items():
        found = [p for p in members if p.strategy == name]
        symbol = _SYMBOLS[mark.marker]
        told = "measured elsewhere" if name == IMPORT else name
        traces.append(_trace(found, f"front, {told}", picture, cost, mark.colour, symbol, 10))
    traces.append(_trace(uniform, "uniform", picture, cost, INK, "diamond-open", 11))
    unit = "%" if cost.unit == "fraction" else cost.unit
    # 1, 2 and 5 of every decade.
    across = {**_axis(f"{cost.name}, {unit}"), "type": "log", "dtick": "D2"}
    layout = {**_layout(picture.title), "xaxis": across, "yaxis": _axis(_quality_title(picture))}
    return {"data": traces, "layout": layout}


def _quality_title(picture: FrontPicture) -> str:
    unit = "%" if picture.quality.unit == "fraction" else picture.quality.unit
    return f"{picture.split} {picture.quality.name}, {unit}".strip()


def _trace(
    points: Sequence[FrontPoint],
    name: str,
    picture: FrontPicture,
    cost: Objective,
    colour: str,
    symbol: str,
    size: int,
) -> dict[str, Any]:
    quality = picture.quality
    factor = 100.0 if quality.unit == "fraction" else 1.0
    trace: dict[str, Any] = {
        "type": "scatter", "mode": "markers", "name": html.escape(name),
        "x": [p.values[cost.name] for p in points],
        "y": [factor * p.values[quality.name] for p in points],
        "text": [_hover(p, picture) for p in points], "hoverinfo": "text",
        "marker": {"color": colour, "symbol": symbol, "size": size,
                   "opacity": 0.5 if colour == EVALUATED else 1.0},
    }  # fmt: skip
    if any(p.error for p in points) and colour != EVALUATED:
        errors = [factor * (p.error or 0.0) for p in points]
        trace["error_y"] = {"type": "data", "array": errors, "thickness": 1, "width": 0}
    return trace


def _hover(p: FrontPoint, picture: FrontPicture) -> str:
    values = [_valued(o, p.values[o.name]) for o in (picture.quality, *picture.costs)]
    lines = [f"trial {p.trial}: {p.strategy}", *values, p.layers]
    return "<br>".join(html.escape(line) for line in lines)


def _hypervolume(picture: Hypervolumes) -> dict[str, Any]:
    marks = strategy_marks(list(dict.fromkeys(run.strategy for run in picture.runs)))
    traces = [
        {
            "type": "scatter", "mode": "lines", "name": html.escape(f"{run.strategy} {run.seed}"),
            "x": list(range(1, len(run.hypervolume) + 1)),
            "y": [round(100 * v, 4) for v in run.hypervolume],
            "line": {"shape": "hv", "color": marks[run.strategy].colour},
        }
        for run in picture.runs
    ]  # fmt: skip
    layout = _layout("Hypervolume")
    layout["xaxis"], layout["yaxis"] = _axis("evaluations"), _axis("hypervolume, % of the box")
    return {"data": traces, "layout": layout}


def _empty(reason: str) -> dict[str, Any]:
    return {"data": [], "layout": _layout(reason)}


def _layout(title: str) -> dict[str, Any]:
    return {
        "title": {"text": html.escape(title), "font": {"size": 15}},
        "paper_bgcolor": PAPER, "plot_bgcolor": PAPER, "font": {"color": INK},
        "margin": {"t": 50, "r": 20, "b": 50, "l": 60}, "showlegend": True,
        "legend": {"orientation": "h", "y": -0.2},
    }  # fmt: skip


def _axis(title: str) -> dict[str, Any]:
    line = COLOURS["muted"].light
    return {"title": {"text": html.escape(title)}, "gridcolor": GRID, "linecolor": line,
            "zeroline": False}  # fmt: skip
