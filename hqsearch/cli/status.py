"""``hqsearch status``."""

from __future__ import annotations

from pathlib import Path

import click

from hqsearch.cli import options
from hqsearch.cli.output import emit


@click.command()
@options.study
@options.json_only
def status(study: str, studies_dir: Path, storage: str | None, as_json: bool) -> None:
    """Progress, failures, time left, disk."""
    from hqsearch.api import Study
    from hqsearch.show.overview import status_text

    facts = Study(study, studies_dir=studies_dir, storage=storage).status().as_json()
    emit(facts, as_json, lambda: status_text(facts))
