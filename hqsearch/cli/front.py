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
@click.option("--raw", is_flag=True, help="Every member, however near to another.")
def front(
    study: str,
    studies_dir: Path,
    storage: str | None,
    as_json: bool,
    as_csv: bool,
    plot: Path | None,
    raw: bool,
) -> None:
    """The candidates worth having, and the verdict against uniform quantization."""
    from hqsearch.api import Study

    members = Study(study, studies_dir=studies_dir, storage=storage).front(raw=raw)
    if plot is not None:
        members.plot(plot)
        tell_file("drawn", plot)
    print_front(members, as_json, as_csv)
