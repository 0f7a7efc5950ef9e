"""``hqsearch dashboard``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hqsearch.cli import options
from hqsearch.cli.output import err, print_text


@click.command()
@options.study
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8080, show_default=True,
    help="Where it listens, on this machine alone; the next free one where it is in use.",
)  # fmt: skip
def dashboard(study: str, studies_dir: Path, storage: str | None, port: int) -> None:
    """The Optuna dashboard on a study, also while it runs; Ctrl-C ends it."""
    from hqsearch.show.dashboard.serving import ready

    with ready(study, studies_dir, storage, port) as board:
        for note in board.notes:
            err.print(note, markup=False, highlight=False, soft_wrap=True)
        print_text(board.address)
        sys.stdout.flush()
        try:
            board.serve()
        except KeyboardInterrupt:
            err.print("stopped")
