"""Weight distributions before and after, as SpikeHQ (arXiv 2412.05505) plots in figure 5.

Evaluations discard their weights; :mod:`hqsearch.study.repeating` does one again and keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from hqsearch.analysis.pictures.facts import Facts, NothingToDraw
from hqsearch.errors import RunFailed

Floats = npt.NDArray[np.float32]

#: Bins of a histogram, over ± the largest weight before or after.
BINS = 61


@dataclass(frozen=True)
class LayerWeights:
    """One layer: its choice, and how many weights fall into each bin.

    Attributes:
        layer: its path.
        choice: what it takes in the trial.
        edges: of the bins ``[n + 1]``.
        before: counts ``[n]`` of the fp32 parent.
        after: counts ``[n]`` of what the evaluated network reads.
        levels: how many different values those are.
    """

    layer: str
    choice: str
    edges: tuple[float, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    levels: int


@dataclass(frozen=True)
class Weights:
    """The weights of one trial's network, layer by layer."""

    title: str
    trial: int
    layers: tuple[LayerWeights, ...]


def weights_file(folder: Path, trial: int) -> Path:
    """Where a study keeps the weights of a trial that was done again."""
    return folder / "weights" / f"{trial}.safetensors"


def kept_trials(facts: Facts) -> list[int]:
    """Trials whose weights are kept."""
    found = (facts.folder / "weights").glob("*.safetensors")
    return sorted(int(path.stem) for path in found if path.stem.isdigit())


def weights_picture(facts: Facts, trial: int) -> Weights:
    """Histograms of the kept weights of a trial.

    Raises:
        NothingToDraw: they are not kept; with the command that keeps them.
        RunFailed: the file cannot be read.
    """
    row, path = facts.trial(trial), weights_file(facts.folder, trial)
    if not path.exists():
        raise NothingToDraw(
            f"study {facts.name!r} has not kept the weights of trial {trial}: "
            "hqsearch plot weights "
            f"--study {facts.name} --trial {trial} -o weights.svg does it again"
        )
    try:
        kept = load_file(path)
    except (OSError, SafetensorError) as error:
        raise RunFailed(f"{path} cannot be read ({error}); delete it to make it again") from None
    choices = {
        layer: row.choices[dimension.name]
        for dimension in facts.space.dimensions
        for layer in dimension.layers
    }
    places = {layer: place for place, layer in enumerate(choices)}
    layers = [key.removeprefix("before/") for key in kept if key.startswith("before/")]
    return Weights(
        title=f"{facts.title}: trial {trial}",
        trial=trial,
        layers=tuple(
            _histogram(layer, choices.get(layer, "pinned"), *_both(kept, layer))
            for layer in sorted(layers, key=lambda layer: places.get(layer, -1))
        ),
    )


def _both(kept: Mapping[str, Floats], layer: str) -> tuple[Floats, Floats]:
    """Before and after ``[n_weights]``."""
    return kept[f"before/{layer}"].ravel(), kept[f"after/{layer}"].ravel()


def _histogram(layer: str, choice: str, before: Floats, after: Floats) -> LayerWeights:
    largest = float(max(np.abs(before).max(), np.abs(after).max())) or 1.0
    edges = np.linspace(-largest, largest, BINS + 1)
    counts = [np.histogram(own, edges)[0].tolist() for own in (before, after)]
    levels = len(np.unique(after))
    return LayerWeights(
        layer, choice, tuple(edges.tolist()), tuple(counts[0]), tuple(counts[1]), levels
    )
