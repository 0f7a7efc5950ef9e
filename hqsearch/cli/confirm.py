"""``hqsearch confirm``."""

from __future__ import annotations

from typing import Any

import click

from hqsearch.cli import options
from hqsearch.cli.output import emit_json, err, out, print_text
from hqsearch.errors import RunFailed


@click.command()
@options.study
@click.option(
    "--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Of each candidate."
)
@click.option("--epochs", type=click.IntRange(min=1), metavar="E", help="Of each; as searched.")
@options.work
@options.json_only
def confirm(seeds: int, epochs: int | None, as_json: bool, **asked: Any) -> None:
    """Retrain the front and the uniform assignments with fresh seeds; measure on the test split."""
    from hqsearch.analysis.confirmation import confirmation_of
    from hqsearch.analysis.confirmed_verdict import study_verdict
    from hqsearch.analysis.overview import opened_results
    from hqsearch.show.confirmation import confirmation_table, confirmation_text
    from hqsearch.show.live import LiveProgress
    from hqsearch.study.confirming import confirm as confirm_study
    from hqsearch.study.opening import Request

    request = Request(strategy="", **asked)
    with LiveProgress(err) as progress:
        confirm_study(request, seeds, epochs, progress)
    with opened_results(request.study, request.studies_dir, request.storage) as results:
        front, trials, objectives = results.front(), results.trials(), results.objectives
        confirmation = confirmation_of(front, trials, objectives)
        if confirmation is None:
            raise RunFailed(f"no replicate succeeded; hqsearch trials --study {request.study}")
        if as_json:
            emit_json(confirmation.as_json())
            return
        out.print(confirmation_table(confirmation, objectives, results.study["name"]))
        print_text(confirmation_text(confirmation))
        print_text(study_verdict(front, trials, objectives))
