"""A sheet of data: frames of every class, and how lively its samples are, by split."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from hqsearch.analysis.pictures.data import DataPicture
from hqsearch.show.palette import COLOURS, INK, MUTED
from hqsearch.show.pictures.drawing import Drawing, LegendEntry, Panel

READING = (
    "Every row is one training sample of a class, time from left to right. Of events dark is where "
    "the first channel (ON) has more, light where the second has; pictures are in their colours. "
    "Below: the mean value of a pixel as it is stored, by class and split, with the range of the "
    "middle 80 % of samples. Splits whose marks lie apart are not of one kind."
)
#: Letters of a note in a line.
_NOTE = 52
_MARKS = {"train": ("o", "ink"), "validation": ("s", "muted"), "test": ("^", "evaluated")}


def draw_data(picture: DataPicture) -> Drawing:
    """Frames above, figures below."""
    rows = len(picture.shown)
    frames = Panel(
        lambda axes: _draw_frames(axes, picture),
        f"Frames of {rows} classes at {len(picture.steps)} timesteps each.",
        f"frames, encoding {picture.encoding}",
        width=1.4 + 0.62 * len(picture.steps),
        height=0.7 + 0.62 * rows,
    )
    labels = sorted({f.label for f in picture.figures})
    figures = Panel(
        lambda axes: _draw_figures(axes, picture, labels),
        f"Mean stored value of a pixel in {len(labels)} classes, by split.",
        "mean value of a pixel",
        width=4.6,
        height=frames.height,
    )
    splits = dict.fromkeys(f.split for f in picture.figures)
    entries = [LegendEntry(s, COLOURS[_MARKS[s][1]].light, _MARKS[s][0]) for s in splits]
    notes = [textwrap.fill(note, _NOTE) for note in picture.notes[:1]]
    title = "\n".join([picture.title, *notes])
    return Drawing(title, READING, [frames, figures], entries)


def _draw_frames(axes: Any, picture: DataPicture) -> None:
    rows, steps, channels, height, width = picture.frames.shape
    if channels == 3:  # red, green, blue: as they are, a line of white between them
        coloured = np.full((rows, steps, height + 1, width + 1, 3), 255, np.uint8)
        coloured[:, :, :height, :width] = picture.frames.transpose(0, 1, 3, 4, 2)
        sheet = coloured.transpose(0, 2, 1, 3, 4)
        sheet = sheet.reshape(rows * (height + 1), steps * (width + 1), 3)
        axes.imshow(sheet, interpolation="nearest", aspect="equal")
    else:
        frames = picture.frames.astype(np.int16)
        image = frames[:, :, 0] - frames[:, :, 1] if channels == 2 else frames.sum(axis=2)
        # A line of grey between the frames.
        padded = np.full((rows, steps, height + 1, width + 1), np.nan)
        padded[:, :, :height, :width] = image
        sheet = padded.transpose(0, 2, 1, 3).reshape(rows * (height + 1), steps * (width + 1))
        largest = float(np.abs(image).max()) or 1.0
        axes.imshow(sheet, cmap="Greys", vmin=-largest, vmax=largest, interpolation="nearest",
                    aspect="equal")  # fmt: skip
    names = [picture.classes[label] for label in picture.shown]
    axes.set_yticks([(row + 0.5) * (height + 1) for row in range(rows)], names)
    ticks = [(step + 0.5) * (width + 1) for step in range(steps)]
    if len(ticks) > 1 or channels != 3:  # a picture alone has no time
        axes.set_xticks(ticks, [str(step + 1) for step in picture.steps])
        axes.set_xlabel("timestep")
    else:
        axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _draw_figures(axes: Any, picture: DataPicture, labels: list[int]) -> None:
    places = {label: row for row, label in enumerate(labels)}
    for offset, (split, (marker, role)) in zip((-0.22, 0.0, 0.22), _MARKS.items(), strict=True):
        own = [f for f in picture.figures if f.split == split]
        rows = [places[f.label] + offset for f in own]
        colour = COLOURS[role].light
        axes.hlines(
            rows, [f.low for f in own], [f.high for f in own], color=colour, lw=1, alpha=0.6
        )
        axes.scatter([f.mean for f in own], rows, s=16, marker=marker, c=colour, zorder=3)
    counts = {
        label: "/".join(str(f.samples) for f in picture.figures if f.label == label)
        for label in labels
    }
    names = [f"{picture.classes[label]}\n{counts[label]}" for label in labels]
    axes.set_yticks(range(len(labels)), names, fontsize=7)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel(
        "value as stored\n(below names: samples of\ntrain / validation / test)", color=INK
    )
    axes.grid(visible=True, axis="x", color=COLOURS["grid"].light)
    axes.tick_params(axis="y", length=0, color=MUTED)
