"""``hqsearch report``."""

from __future__ import annotations

from pathlib import Path

import click

from hqsearch.cli import options
from hqsearch.cli.output import tell_file


@click.command()
@options.study
@click.option(
    "-o", "output", type=click.Path(path_type=Path), metavar="FILE",
    help="Where to write it (.html); report/report.html in the study's folder by default.",
)  # fmt: skip
def report(study: str, studies_dir: Path, storage: str | None, output: Path | None) -> None:
    """One self-contained page: every picture and table of a study, for any browser or a printer."""
    from hqsearch.api import Study

    tell_file("written", Study(study, studies_dir=studies_dir, storage=storage).report(output))
