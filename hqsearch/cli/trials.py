"""``hqsearch trials``."""

from __future__ import annotations

from pathlib import Path

import click

from hqsearch.cli import options
from hqsearch.cli.output import emit_json


@click.command()
@options.study
@options.json_or_csv
def trials(study: str, studies_dir: Path, storage: str | None, as_json: bool, as_csv: bool) -> None:
    """Every evaluation."""
    from hqsearch.analysis.overview import opened_results
    from hqsearch.show.tables import as_csv as csv_text
    from hqsearch.show.tables import trials_lines

    with opened_results(study, studies_dir, storage) as results:
        rows = results.trials()
        if as_csv:
            click.echo(csv_text(rows, results.objectives), nl=False)
        elif as_json:
            emit_json([row.as_json() for row in rows])
        else:
            click.echo(trials_lines(rows, results.objectives))
