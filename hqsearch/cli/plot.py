"""``hqsearch plot``."""

from __future__ import annotations

from pathlib import Path

import click

from hqsearch.cli.output import tell_file
from hqsearch.errors import InputError


@click.command()
@click.argument("kind")
@click.option(
    "--study", "studies", required=True, multiple=True, metavar="NAME|FILE",
    help="Name or TOML file; several for one picture of their fronts.",
)  # fmt: skip
@click.option(
    "--studies-dir",
    type=click.Path(path_type=Path),
    default=Path("studies"),
    show_default=True,
    help="Where studies keep their state.",
)
@click.option("--storage", metavar="URL", help="Log on a server instead of study.db.")
@click.option(
    "-o", "output", required=True, type=click.Path(path_type=Path), metavar="FILE",
    help="Where to draw it (.svg, .png, .pdf).",
)  # fmt: skip
@click.option(
    "--trial", type=int, metavar="N",
    help="Of weights: evaluate it again, and keep its weights with the study.",
)  # fmt: skip
@click.option("--task", type=int, metavar="N", help="Of probabilities: which supernet, from 0.")
def plot(
    kind: str,
    studies: tuple[str, ...],
    studies_dir: Path,
    storage: str | None,
    output: Path,
    trial: int | None,
    task: int | None,
) -> None:
    """Draw front, bits, breakdown, probabilities, weights, rates, hypervolume or calibration."""
    from hqsearch.api import Study
    from hqsearch.cli.answers import following
    from hqsearch.show.formats import check_plot
    from hqsearch.show.pictures.kinds import check_kind

    check_kind(kind, len(studies), trial, task)
    check_plot(output)
    if len(set(studies)) < len(studies):
        raise InputError("--study: the same study was given twice")
    first, *others = (Study(name, studies_dir=studies_dir, storage=storage) for name in studies)
    if trial is not None:
        with following() as progress:
            first.keep_weights(trial, listener=progress)
    first.plot(kind, *others, trial=trial, task=task, path=output)
    tell_file("drawn", output)
