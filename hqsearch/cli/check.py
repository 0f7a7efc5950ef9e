"""``hqsearch check``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hqsearch.cli import options
from hqsearch.cli.output import emit_json, print_text


@click.command()
@options.study
@options.recordings
@options.work
@options.setting
@options.json_only
def check(
    study: str,
    studies_dir: Path,
    storage: str | None,
    data: Path | None,
    settings: tuple[str, ...],
    as_json: bool,
    **place: Any,
) -> None:
    """What a run would find before it starts, all of it at once; nothing is created."""
    from hqsearch.api import Study
    from hqsearch.cli.answers import answers_alone

    asked = Study(
        study,
        studies_dir=studies_dir,
        storage=storage,
        recordings=data,
        settings=options.overrides_of(settings),
    )
    with answers_alone():
        found = asked.check(**place)
    if as_json:
        emit_json(found.as_json())
    else:
        print_text(repr(found))
    if not found.ok:
        raise click.exceptions.Exit(2)
