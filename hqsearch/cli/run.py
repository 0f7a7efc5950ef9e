"""``hqsearch run``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hqsearch.cli import options
from hqsearch.cli.output import err, print_front

if TYPE_CHECKING:
    from hqsearch.api import Run
    from hqsearch.search.events import Listener


@click.command()
@options.study
@click.option("--strategy", required=True, metavar="NAME", help="nsga2, random, …")
@click.option("--evaluations", type=click.IntRange(min=1), metavar="N", help="Of this run.")
@click.option("--seed", type=click.IntRange(min=0), metavar="S", help="Of this run.")
@options.recordings
@options.work
@options.setting
@click.option("--fresh", is_flag=True, help="Move the study's old state aside first.")
@options.time_limit
@click.option(
    "--until",
    metavar="stalled[:K]",
    help="End where K batches in a row (3) promise less than the front's resolution.",
)
@click.option(
    "--between",
    multiple=True,
    metavar="RANGE",
    help="Refine the front there: 'energy 15 uJ .. 30 uJ'. A preference, no limit.",
)
@options.json_front
def run(
    study: str,
    studies_dir: Path,
    storage: str | None,
    data: Path | None,
    settings: tuple[str, ...],
    between: tuple[str, ...],
    as_json: bool,
    **asked: Any,
) -> None:
    """Search; or continue the run with this strategy, options and seed."""
    from hqsearch.api import Study

    named = Study(
        study,
        studies_dir=studies_dir,
        storage=storage,
        recordings=data,
        settings=options.overrides_of(settings),
    )
    asked["between"] = dict(_range(text) for text in between)
    follow(lambda listener: named.run(listener=listener, **asked), as_json)


def _range(text: str) -> tuple[str, str]:
    """``energy 15 uJ .. 30 uJ`` as cost and range."""
    cost, _, rest = text.strip().partition(" ")
    return cost, rest


def follow(search: Callable[[Listener], Run], as_json: bool) -> None:
    """Do a search, show how far it is, and print the front that it came to."""
    from hqsearch.cli.answers import following

    with following() as progress:
        done = search(progress)
    if done.mismatches:
        err.print(
            f"note: {done.mismatches} recorded proposals differ from what these versions of "
            "hqsearch and its libraries would propose; the recorded ones were kept"
        )
    for line in done.endings():
        err.print(f"note: {line}")
    print_front(done.front, as_json)
