"""``hqsearch train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hqsearch.cli import options
from hqsearch.cli.output import emit_json, print_text


@click.command()
@options.study
@click.option("--trial", type=int, required=True, metavar="N", help="Number of the trial.")
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Trainings; the best on validation is kept.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    metavar="E",
    help="Of each; evaluation.final_epochs by default.",
)
@click.option("--merge", is_flag=True, help="Learn from the validation split, too.")
@options.work
@options.json_only
def train(
    study: str,
    studies_dir: Path,
    storage: str | None,
    trial: int,
    seeds: int,
    epochs: int | None,
    merge: bool,
    as_json: bool,
    **place: Any,
) -> None:
    """The final training of one candidate; its weights are kept, measured on test once."""
    from hqsearch.api import Study
    from hqsearch.cli.answers import following
    from hqsearch.show.models import training_text

    named = Study(study, studies_dir=studies_dir, storage=storage)
    with following() as progress:
        trained = named.train(trial, seeds, epochs, merge, listener=progress, **place)
    record = named.trial(trial).model
    assert record is not None
    if as_json:
        place_kept = str(named.folder / record.folder)
        emit_json({**record.as_json(), "path": place_kept, "about": dict(trained.about)})
        return
    place_options = f"--study {study}"
    if studies_dir != Path("studies"):
        place_options += f" --studies-dir {studies_dir}"
    print_text(training_text(record, trained.about, named.folder / record.folder, place_options))
