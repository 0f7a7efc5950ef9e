"""A small scatter of a front in characters, for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hqsearch.problem.objective import Objective
from hqsearch.show.text import value_text
from hqsearch.store.records import TrialRow

#: Characters across and lines up, without axes.
WIDTH, HEIGHT = 56, 9
EVALUATED, FRONT, UNIFORM, IMPORTED = "·", "●", "◇", "+"


def scatter(
    front: Sequence[TrialRow],
    trials: Sequence[TrialRow],
    objectives: tuple[Objective, ...],
    width: int = WIDTH,
    height: int = HEIGHT,
) -> list[str]:
    """Lines of a picture: the measured objective upwards, the first cost (logarithmic) across.

    Nothing where there are no two different points to draw.
    """
    quality = next((o for o in objectives if not o.cheap), objectives[0])
    cost = next((o for o in objectives if o.direction == "min" and o is not quality), None)
    if cost is None:
        return []
    done = [t for t in trials if t.state == "COMPLETE" and t.values and t.kind != "replicate"]
    costs = [(t.values or {})[cost.name] for t in done]
    heights = [(t.values or {})[quality.name] for t in done]
    if not done or min(costs) <= 0 or min(costs) == max(costs) or min(heights) == max(heights):
        return []
    low, high = math.log(min(costs)), math.log(max(costs))
    bottom, top = min(heights), max(heights)
    members = {t.number for t in front}
    grid = [[" "] * width for _ in range(height)]
    order = {EVALUATED: 0, IMPORTED: 1, UNIFORM: 2, FRONT: 3}
    points = [(t, FRONT if t.number in members else _mark(t)) for t in done]
    for trial, mark in sorted(points, key=lambda point: order[point[1]]):
        values = trial.values or {}
        column = round((math.log(values[cost.name]) - low) / (high - low) * (width - 1))
        row = round((top - values[quality.name]) / (top - bottom) * (height - 1))
        grid[row][column] = mark
    labels = {0: value_text(quality, top), height - 1: value_text(quality, bottom)}
    margin = max(map(len, labels.values()))
    lines = [f"{labels.get(i, ''):>{margin}} │{''.join(row)}" for i, row in enumerate(grid)]
    ends = [value_text(cost, value) for value in (min(costs), max(costs))]
    title = f"{cost.name}, {cost.unit}"
    middle = title.center(width - len(ends[0]) - len(ends[1]))
    lines.append(f"{'':>{margin}} └{'─' * width}")
    lines.append(f"{'':>{margin}}  {ends[0]}{middle}{ends[1]}")
    legend = f"{FRONT} front  {EVALUATED} evaluated  {UNIFORM} uniform"
    legend += f"  {IMPORTED} imported" if any(t.imported for t in done) else ""
    lines.append(f"{'':>{margin}}  {legend}")
    return [line.rstrip() for line in lines]


def _mark(trial: TrialRow) -> str:
    if trial.imported:
        return IMPORTED
    return UNIFORM if trial.kind == "baseline" else EVALUATED
