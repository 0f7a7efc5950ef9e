"""``hqsearch confirm``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from hqsearch.cli import options
from hqsearch.cli.output import emit_json, out, print_text


class Epochs(click.ParamType):
    """A number of epochs, or ``final``."""

    name = "epochs"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | Literal["final"]:
        if value == "final":
            return "final"
        number = int(value) if str(value).strip().isdecimal() else 0
        if number < 1:
            self.fail(f"{value!r} is neither a number of epochs, from 1, nor 'final'", param, ctx)
        return number


@click.command()
@options.study
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Of each candidate and parent.",
)
@click.option(
    "--parents",
    type=click.IntRange(min=1),
    metavar="K",
    help="Train K parents anew and start from each; the study's own parent by default.",
)
@click.option(
    "--splits",
    type=click.IntRange(min=2),
    metavar="K",
    help="Divide the recordings K times into train and test, with parents of each; pool them.",
)
@click.option(
    "--epochs",
    type=Epochs(),
    metavar="E|final",
    help="Of each; as searched by default, final: as many as train takes.",
)
@click.option(
    "--no-controls",
    is_flag=True,
    help="Only the front and the uniform assignments; the strongest control may then be missing.",
)
@click.option(
    "--claims",
    is_flag=True,
    help="Only members that carry claims of the confirmation before (at most 5: hqsearch guide "
    "beat-uniform) and what each is held against.",
)
@options.work
@options.json_only
def confirm(
    study: str,
    studies_dir: Path,
    storage: str | None,
    seeds: int,
    parents: int | None,
    splits: int | None,
    epochs: int | Literal["final"] | None,
    no_controls: bool,
    claims: bool,
    as_json: bool,
    **place: Any,
) -> None:
    """Retrain the front, the uniform assignments and controls with fresh seeds; measure on test."""
    from hqsearch.api import Study
    from hqsearch.cli.answers import following
    from hqsearch.show.confirmation import confirmation_table, confirmation_text

    named = Study(study, studies_dir=studies_dir, storage=storage)
    with following() as progress:
        confirmed = named.confirm(
            seeds,
            epochs,
            parents=parents,
            splits=splits,
            controls=not no_controls,
            claims=claims,
            listener=progress,
            **place,
        )
    if as_json:
        emit_json(confirmed.as_json())
        return
    out.print(confirmation_table(confirmed.summary, confirmed.objectives, confirmed.study))
    print_text(confirmation_text(confirmed.summary, confirmed.objectives))
    print_text(confirmed.verdict)
