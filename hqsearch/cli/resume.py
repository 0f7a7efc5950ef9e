"""``hqsearch resume``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hqsearch.cli import options
from hqsearch.cli.run import follow


@click.command()
@options.study
@options.work
@options.time_limit
@options.json_front
def resume(study: str, studies_dir: Path, storage: str | None, as_json: bool, **place: Any) -> None:
    """Finish the last unfinished run with its stored options."""
    from hqsearch.api import Study

    named = Study(study, studies_dir=studies_dir, storage=storage)
    follow(lambda listener: named.resume(listener=listener, **place), as_json)
