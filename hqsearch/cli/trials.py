"""``hqsearch trials``."""

from __future__ import annotations

from pathlib import Path

import click

from hqsearch.cli import options
from hqsearch.cli.output import emit_json_rows, json_text


@click.command()
@options.study
@options.json_or_csv
def trials(study: str, studies_dir: Path, storage: str | None, as_json: bool, as_csv: bool) -> None:
    """Every evaluation."""
    from hqsearch.api import Study
    from hqsearch.show.tables import as_csv as csv_text
    from hqsearch.show.tables import trials_lines

    every = Study(study, studies_dir=studies_dir, storage=storage).trials()
    if as_csv:
        click.echo(csv_text(every.rows, every.objectives), nl=False)
    elif as_json:
        emit_json_rows(row.as_json_text(json_text) for row in every.rows)
    else:
        click.echo(trials_lines(every.rows, every.objectives))
