"""Firing rates and scores, layer by layer."""

from __future__ import annotations

from typing import Any

from hqsearch.analysis.pictures.rates import Rates
from hqsearch.show.palette import COLOURS, PAPER, choice_colour
from hqsearch.show.pictures.breakdown import assignment_marks, dodge, is_hollow
from hqsearch.show.pictures.drawing import Drawing, LegendEntry, Panel


def draw_rates(picture: Rates) -> Drawing:
    """A panel of rates and one of scores, whichever there are."""
    panels, legend, reading = [], [], []
    height = 1.0 + 0.24 * len(picture.layers)
    if picture.rates:
        marks = assignment_marks(list(picture.rates))
        panels.append(
            Panel(lambda axes: _draw_rates(axes, picture), _rates_alt(picture), "Firing rate", 4.6,
                  height)
        )  # fmt: skip
        legend += [
            LegendEntry(label, m.colour, m.marker, filled=not is_hollow(m))
            for label, m in marks.items()
        ]
        reading.append(
            "Firing rate: the probability that a neuron before the layer fires in a step; the bar "
            "is the range over the whole front. A layer that fires rarely costs little energy "
            "whatever its bits."
        )
    if picture.scores:
        kinds = sorted({v for own in picture.scores.values() for v in own})
        panels.append(
            Panel(lambda axes: _draw_scores(axes, picture), _scores_alt(picture),
                  "Score: loss added by the choice alone", 4.6, height)
        )  # fmt: skip
        legend += [LegendEntry(kind, choice_colour(kind), "|") for kind in kinds]
        reading.append(
            "Score: by how much a choice in this layer alone raises the loss, without training; "
            "far right is a layer that minds being coarse."
        )
    return Drawing(picture.title, " ".join(reading), panels, legend)


def _rows(axes: Any, picture: Rates) -> None:
    axes.set_yticks(range(len(picture.layers)), picture.layers)
    axes.set_ylim(len(picture.layers) - 0.5, -0.5)
    axes.grid(visible=True, axis="x")
    axes.tick_params(axis="y", length=0)


def _draw_rates(axes: Any, picture: Rates) -> None:
    places = {layer: row for row, layer in enumerate(picture.layers)}
    for layer, (low, high) in picture.spread.items():
        if layer in places:
            row = places[layer]
            axes.plot([low, high], [row, row], color=COLOURS["grid"].light, lw=4)
    marks = assignment_marks(list(picture.rates))
    for place, (label, own) in enumerate(picture.rates.items()):
        m = marks[label]
        lift = dodge(place, len(picture.rates))
        hollow = is_hollow(m)
        axes.scatter(
            list(own.values()),
            [places[layer] + lift for layer in own],
            s=26,
            marker=m.marker,
            zorder=3,
            facecolors="none" if hollow else m.colour,
            edgecolors=m.colour if hollow else PAPER,
            linewidths=0.8,
        )
    axes.set_xlim(left=0)
    axes.set_xlabel("spikes per neuron and step")
    _rows(axes, picture)


def _draw_scores(axes: Any, picture: Rates) -> None:
    places = {layer: row for row, layer in enumerate(picture.layers)}
    for layer, own in picture.scores.items():
        for value, score in own.items():
            axes.scatter(
                [score], [places[layer]], s=70, marker="|", c=choice_colour(value), linewidths=1.8
            )
    axes.set_xlabel("increase of the loss")
    _rows(axes, picture)


def _rates_alt(picture: Rates) -> str:
    label, own = next(iter(picture.rates.items()))
    most = max(own, key=lambda layer: own[layer])
    return f"Firing rates by layer; in {label} {most} is the busiest, {own[most]:.3f}."


def _scores_alt(picture: Rates) -> str:
    worst = max(picture.scores, key=lambda layer: max(picture.scores[layer].values()))
    return f"Scores by layer; {worst} minds a coarse choice most."
