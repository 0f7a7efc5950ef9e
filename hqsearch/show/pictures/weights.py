"""Weights before and after, one panel per layer."""

from __future__ import annotations

import itertools
from typing import Any

from hqsearch.analysis.pictures.weights import LayerWeights, Weights
from hqsearch.show.palette import COLOURS, choice_colour
from hqsearch.show.pictures.drawing import Drawing, LegendEntry, Panel

READING = (
    "Every panel is a layer: grey is how the parent's fp32 weights are distributed, the colour "
    "what the quantized network reads, by its choice (blue uniform, orange power-of-two). Uniform "
    "levels are evenly spaced; power-of-two levels crowd around zero, as the weights do. Counts "
    "are in shares of the highest bin of each."
)


def draw_weights(picture: Weights) -> Drawing:
    """Small panels, four in a row."""
    kinds = sorted({layer.choice for layer in picture.layers})
    panels = [
        Panel(_drawer(layer), _alt(layer), f"{layer.layer} · {layer.choice}", 2.3, 1.55)
        for layer in picture.layers
    ]
    legend = [LegendEntry("parent (fp32)", COLOURS["evaluated"].light, "s")]
    legend += [LegendEntry(kind, choice_colour(kind), "s") for kind in kinds]
    return Drawing(picture.title, READING, panels, legend, columns=4)


def _drawer(layer: LayerWeights) -> Any:
    def draw(axes: Any) -> None:
        edges = layer.edges
        before, after = (
            [n / (max(counts) or 1) for n in counts] for counts in (layer.before, layer.after)
        )
        axes.stairs(before, edges, fill=True, color=COLOURS["evaluated"].light, alpha=0.45)
        middles = [(a + b) / 2 for a, b in itertools.pairwise(edges)]
        bars = [(x, n) for x, n in zip(middles, after, strict=True) if n]
        axes.bar(
            [x for x, _ in bars], [n for _, n in bars], width=0.7 * (edges[1] - edges[0]),
            color=choice_colour(layer.choice),
        )  # fmt: skip
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.tick_params(labelsize=7)
        axes.set_ylim(0, 1.05)

    return draw


def _alt(layer: LayerWeights) -> str:
    return (
        f"{layer.layer}: {sum(layer.before)} weights before, and {layer.levels} levels after, as "
        f"{layer.choice}."
    )
