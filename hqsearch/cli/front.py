"""``hqsearch front``."""

from __future__ import annotations

from pathlib import Path

import click

from hqsearch.cli import options
from hqsearch.cli.output import print_front, tell_file


@click.command()
@options.study
@options.json_or_csv
@options.draw
def front(
    study: str,
    studies_dir: Path,
    storage: str | None,
    as_json: bool,
    as_csv: bool,
    plot: Path | None,
) -> None:
    """The candidates worth having, and the verdict against uniform quantization."""
    from hqsearch.analysis.overview import opened_results

    with opened_results(study, studies_dir, storage) as results:
        if plot is not None:
            from hqsearch.show.front_plot import plot_front

            title = str(results.study.get("title") or results.study["name"])
            plot_front(results.front(), results.trials(), title, plot)
            tell_file("drawn", plot)
        print_front(results, as_json, as_csv)
