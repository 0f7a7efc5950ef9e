"""``hqsearch resume``."""

from __future__ import annotations

from typing import Any

import click

from hqsearch.cli import options
from hqsearch.cli.run import search


@click.command()
@options.study
@options.work
@options.json_front
def resume(as_json: bool, **asked: Any) -> None:
    """Finish the last unfinished run with its stored options."""
    from hqsearch.study.running import Request
    from hqsearch.study.running import resume as resume_run

    search(resume_run, Request(strategy="", **asked), as_json)
