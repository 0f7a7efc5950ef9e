"""``hqsearch data``."""

from __future__ import annotations

from pathlib import Path

import click

from hqsearch.cli import options
from hqsearch.cli.output import tell_file


@click.group()
def data() -> None:
    """What a study learns from: ``show``."""


@data.command()
@options.study
@click.option(
    "-o", "output", required=True, type=click.Path(path_type=Path), metavar="FILE",
    help="Where to draw it (.png, .svg, .pdf).",
)  # fmt: skip
def show(study: str, studies_dir: Path, storage: str | None, output: Path) -> None:
    """Frames of every class, and figures of every class and split."""
    from hqsearch.api import Study
    from hqsearch.show.formats import check_plot

    check_plot(output)
    Study(study, studies_dir=studies_dir, storage=storage).show_data(output)
    tell_file("drawn", output)
