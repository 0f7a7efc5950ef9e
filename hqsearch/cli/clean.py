"""``hqsearch clean``."""

from __future__ import annotations

from pathlib import Path

import click

from hqsearch.cli import options
from hqsearch.cli.output import emit


@click.command()
@options.study
@click.option("--yes", is_flag=True, help="Remove what is listed.")
@options.json_only
def clean(study: str, studies_dir: Path, storage: str | None, yes: bool, as_json: bool) -> None:
    """What can be made again and nothing needs: listed, and with --yes removed; never the log."""
    from hqsearch.analysis.overview import require_study
    from hqsearch.show.disk import cleaning_text
    from hqsearch.study.cleaning import clean as clean_study
    from hqsearch.study.cleaning import is_orphaned
    from hqsearch.study.opening import study_folder

    name = Path(study).stem if study.endswith(".toml") else study
    if storage is not None or not is_orphaned(study_folder(name, studies_dir)):
        require_study(name, studies_dir, storage)
    cleaning = clean_study(study, studies_dir, storage, yes)
    emit(cleaning.as_json(), as_json, lambda: cleaning_text(cleaning.as_json()))
