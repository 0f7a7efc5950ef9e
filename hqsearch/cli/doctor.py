"""``hqsearch doctor``."""

from __future__ import annotations

from pathlib import Path

import click

from hqsearch.cli import options
from hqsearch.cli.output import emit_json


@click.command()
@options.study
@options.json_only
@click.pass_context
def doctor(
    context: click.Context, study: str, studies_dir: Path, storage: str | None, as_json: bool
) -> None:
    """Check a study's log, tables, artifacts and files; exit code 1 where one is damaged."""
    from hqsearch.study.doctor import examine

    examination = examine(study, studies_dir, storage)
    if as_json:
        emit_json(examination.as_json())
    else:
        for finding in examination.findings:
            click.echo(f"{finding.part}: {finding.state}: {finding.what}")
            if finding.advice:
                click.echo(f"  {finding.advice}")
    context.exit(0 if examination.healthy else 1)
