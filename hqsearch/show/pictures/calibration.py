"""Predicted against measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hqsearch.analysis.pictures.calibration import Calibration
from hqsearch.show.palette import EVALUATED, MUTED
from hqsearch.show.pictures.drawing import Drawing, LegendEntry, Panel, log_axis


def draw_calibration(picture: Calibration) -> Drawing:
    """The surrogate's predictions, and energies estimated before training."""
    quality = picture.quality
    factor = 100.0 if quality.unit == "fraction" else 1.0
    unit = "%" if quality.unit == "fraction" else quality.unit
    panels = [
        Panel(
            lambda axes: _draw(
                axes, [factor * v for v in picture.measured],
                [factor * p for p in picture.predicted],
                f"measured {quality.name}, {unit}", f"predicted {quality.name}, {unit}",
            ),
            f"Predicted against measured {quality.name} of {len(picture.trials)} candidates; "
            f"skill {picture.skill:.2f}.",
            f"Surrogate: skill {picture.skill:.2f}",
            4.2,
            3.8,
        )
    ]  # fmt: skip
    reading = (
        "Every dot is a candidate, predicted by the surrogate from all the others; on the line it "
        "was right. Skill is 1 for perfect predictions and 0 for those of the mean."
    )
    if len(picture.trials) < picture.candidates:
        reading = f"{len(picture.trials)} of {picture.candidates} candidates. {reading}"
    if picture.estimated:
        panels.append(
            Panel(
                lambda axes: _draw(
                    axes, picture.recorded, picture.estimated, "energy measured, µJ",
                    "energy estimated, µJ", log=True,
                ),
                f"Estimated against measured energy of {len(picture.estimated)} candidates.",
                "Energy before training",
                4.2,
                3.8,
            )
        )  # fmt: skip
        reading += (
            " Energy is estimated with the parent's firing rates and measured with the candidate's "
            "own: dots above the line became quieter by quantization."
        )
    entries = [LegendEntry("candidate", EVALUATED, "o"), LegendEntry("right", MUTED, line="--")]
    return Drawing(picture.title, reading, panels, entries)


def _draw(
    axes: Any, x: Sequence[float], y: Sequence[float], across: str, up: str, log: bool = False
) -> None:
    low, high = min(*x, *y), max(*x, *y)
    axes.plot([low, high], [low, high], color=MUTED, ls="--", lw=0.9)
    axes.scatter(x, y, s=16, c=EVALUATED, alpha=0.75, edgecolors="none")
    if log:
        log_axis(axes.xaxis)
        log_axis(axes.yaxis)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(visible=True)
