"""``hqsearch run``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from hqsearch.cli import options
from hqsearch.cli.output import err, print_front

if TYPE_CHECKING:
    from hqsearch.search.events import Listener
    from hqsearch.study.running import Finished, Request


@click.command()
@options.study
@click.option("--strategy", required=True, metavar="NAME", help="nsga2, random, …")
@click.option("--evaluations", type=click.IntRange(min=1), metavar="N", help="Of this run.")
@click.option("--seed", type=click.IntRange(min=0), metavar="S", help="Of this run.")
@options.recordings
@options.work
@options.setting
@click.option("--fresh", is_flag=True, help="Move the study's old state aside first.")
@options.json_front
def run(settings: tuple[str, ...], as_json: bool, **asked: Any) -> None:
    """Search; or continue the run with this strategy, options and seed."""
    from hqsearch.study.running import Request, start

    search(start, Request(overrides=options.overrides_of(settings), **asked), as_json)


def search(
    action: Callable[[Request, Listener], Finished], request: Request, as_json: bool
) -> None:
    """Start or resume a run, follow it, and print the front that it came to."""
    from hqsearch.analysis.overview import opened_results
    from hqsearch.show.live import LiveProgress

    with LiveProgress(err) as progress:
        finished = action(request, progress)
    if finished.mismatches:
        err.print(
            f"note: {finished.mismatches} recorded proposals differ from what these versions of "
            "hqsearch and its libraries would propose; the recorded ones were kept"
        )
    if finished.exhausted:
        err.print("note: the strategy has nothing left to propose; the run ends early")
    with opened_results(request.study, request.studies_dir, request.storage) as results:
        results.budgets = finished.run.budgets
        print_front(results, as_json)
