"""Strategies against each other, as a notebook sees it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hqsearch.api.describing import path_of
from hqsearch.api.grid import Grid, Printed

if TYPE_CHECKING:
    from hqsearch.analysis import comparison


class Comparison(Printed):
    """What the runs of several strategies, over several seeds, came to.

    Attributes:
        study: its name.
        seeds: of the runs of each strategy.
        evaluations: of each run.
        verdict: what it says, and how far that carries, in sentences.
    """

    def __init__(self, summary: comparison.ComparedStrategies) -> None:
        from hqsearch.analysis.comparison import verdict_lines

        self.summary = summary
        self.study, self.seeds, self.evaluations = (
            summary.study,
            summary.seeds,
            summary.evaluations,
        )
        self.verdict: tuple[str, ...] = tuple(verdict_lines(summary))

    def as_json(self) -> dict[str, Any]:
        """The object that ``hqsearch compare --json`` prints."""
        from hqsearch.analysis.comparison import comparison_json

        return comparison_json(self.summary)

    def save(self, path: str | Path) -> None:
        """Write :meth:`as_json` to a file."""
        from hqsearch.analysis.comparison import write_comparison

        write_comparison(self.summary, path_of(path))

    def plot(self, path: str | Path) -> None:
        """Draw how each strategy's hypervolume grew (``.png``, ``.svg`` or ``.pdf``).

        Raises:
            InputError: another kind of file.
        """
        from hqsearch.show.comparison import plot_comparison

        plot_comparison(self.summary, path_of(path))

    def _grid(self) -> Grid:
        rows = [
            [
                *(f"{100 * one['hypervolume'][key]:.2f}" for key in ("median", "q25", "q75")),
                str(one["label"]),
            ]
            for one in self.as_json()["strategies"]
        ]
        title = (
            f"Comparison on {self.study}: {self.evaluations} evaluations, "
            f"{len(self.seeds)} seeds; hypervolume in %"
        )
        return Grid(title, ["median", "25 %", "75 %", "strategy"], rows, self.verdict)
