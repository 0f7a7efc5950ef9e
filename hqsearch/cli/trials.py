"""``hqsearch trials``."""

from __future__ import annotations

from pathlib import Path

import click

from hqsearch.cli import options
from hqsearch.cli.output import emit_json_rows, json_text


@click.command()
@options.study
@click.option(
    "--where", "conditions", multiple=True, metavar="CONDITION",
    help="'energy <= 3 uJ', 'state = FAIL', 'head = 4u'; repeat.",
)  # fmt: skip
@click.option("--sort", metavar="COLUMN", help="By a column; -COLUMN: the largest first.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most so many.")
@options.json_or_csv
def trials(
    study: str,
    studies_dir: Path,
    storage: str | None,
    conditions: tuple[str, ...],
    sort: str | None,
    limit: int | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Every evaluation, or those that meet conditions."""
    from hqsearch.api import Study
    from hqsearch.show.tables import as_csv as csv_text
    from hqsearch.show.tables import trials_lines

    asked = Study(study, studies_dir=studies_dir, storage=storage)
    every = asked.trials()
    if conditions or sort is not None or limit is not None:
        every = every.select(*conditions, sort=sort, limit=limit)
    if as_csv:
        click.echo(csv_text(every.rows, every.objectives), nl=False)
    elif as_json:
        emit_json_rows(row.as_json_text(json_text) for row in every.rows)
    else:
        click.echo(trials_lines(every.rows, every.objectives, bool(asked.driver)))
