"""``hqsearch studies``."""

from __future__ import annotations

from pathlib import Path

import click

from hqsearch.cli import options
from hqsearch.cli.output import emit


@click.command()
@click.option(
    "--studies-dir",
    type=click.Path(path_type=Path),
    default=Path("studies"),
    show_default=True,
    help="Where studies keep their state.",
)
@options.json_only
def studies(studies_dir: Path, as_json: bool) -> None:
    """Definitions and runs, with progress."""
    from hqsearch.analysis.overview import studies_overview
    from hqsearch.show.overview import studies_table

    rows = studies_overview(studies_dir)
    emit(rows, as_json, lambda: studies_table(rows))
