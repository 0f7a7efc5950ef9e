"""``hqsearch import``."""

from __future__ import annotations

from pathlib import Path

import click

from hqsearch.cli import options
from hqsearch.cli.output import emit_json, print_text


@click.command("import")
@options.study
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--source", metavar="TEXT", help="Where it was measured; the file's name.")
@options.json_only
def import_results(
    study: str,
    studies_dir: Path,
    storage: str | None,
    file: Path,
    source: str | None,
    as_json: bool,
) -> None:
    """Results measured elsewhere, from a CSV or JSON file: history for searches, marked as such."""
    from hqsearch.api import Study
    from hqsearch.cli.answers import following

    asked = Study(study, studies_dir=studies_dir, storage=storage)
    with following() as progress:
        done = asked.import_results(file, source, listener=progress)
    if as_json:
        emit_json(done.as_json())
    else:
        print_text(str(done))
