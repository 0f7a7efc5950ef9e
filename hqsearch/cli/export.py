"""``hqsearch export``."""

from __future__ import annotations

from pathlib import Path

import click

from hqsearch.cli import options
from hqsearch.cli.output import emit_json, print_text


@click.command()
@options.study
@click.option("--trial", type=int, required=True, metavar="N", help="Number of a trained trial.")
@click.option(
    "--format",
    "name",
    default="hq",
    show_default=True,
    metavar="NAME",
    help="hq: a packed file; c: a folder of C99.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="PATH",
    help="Where to write it.",
)
@options.json_only
def export(
    study: str,
    studies_dir: Path,
    storage: str | None,
    trial: int,
    name: str,
    output: Path,
    as_json: bool,
) -> None:
    """Write the model of a trial that was trained finally."""
    from hqsearch.api import Study
    from hqsearch.show.models import exported_text

    written = Study(study, studies_dir=studies_dir, storage=storage).export(trial, output, name)
    if as_json:
        emit_json(written.as_json())
        return
    print_text(exported_text(written.format, written.path, written.bytes))
