"""``hqsearch cost``."""

from __future__ import annotations

from typing import Any

import click

from hqsearch.cli import options
from hqsearch.cli.output import emit


@click.command()
@options.study
@click.option("--trial", type=int, metavar="N", help="Choices and measured rates of a trial.")
@click.option("--uniform", metavar="CHOICE", help="Every layer takes it, or its nearest allowed.")
@click.option(
    "--assign", multiple=True, metavar="LAYER=CHOICE", help="A layer, dimension or pattern; repeat."
)
@click.option("--rate", type=float, metavar="R", help="Firing rate of every neuron, 0 to 1.")
@click.option("--profile", metavar="NAME|FILE", help="Another hardware profile than the study's.")
@click.option("--sensitivity", is_flag=True, help="Vary the unpublished constants by ±50 %.")
@click.option("--seed", type=click.IntRange(min=0), metavar="S", help="Of the draws; default 0.")
@click.option("--measured", is_flag=True, help="Count what a trained trial's code executes.")
@options.recordings
@click.option("--unknown-as-real", is_flag=True, help="Count unknown operations as real MACs.")
@options.json_or_csv
def cost(as_json: bool, as_csv: bool, measured: bool, **asked: Any) -> None:
    """Energy and storage of an assignment, layer by layer, and what they rest on."""
    if measured:
        _measured(as_json, as_csv, asked)
        return
    from hqsearch.analysis.cost_study import CostRequest
    from hqsearch.analysis.costs import cost_report
    from hqsearch.cli.answers import answers_alone
    from hqsearch.hardware.tables import to_csv
    from hqsearch.show.costs import cost_text

    with answers_alone():
        report = cost_report(CostRequest(**asked))
    if as_csv:
        click.echo(to_csv(report.rows()), nl=False)
        return
    emit(report.as_json(), as_json, lambda: cost_text(report))


def _measured(as_json: bool, as_csv: bool, asked: dict[str, Any]) -> None:
    """Operations of the integer code of a trained trial, counted and estimated."""
    from hqsearch.api import Study
    from hqsearch.cli.answers import answers_alone
    from hqsearch.errors import InputError
    from hqsearch.show.counted import counted_text

    places = ("study", "studies_dir", "storage")
    others = [name for name, value in asked.items() if value and name not in (*places, "trial")]
    if asked["trial"] is None or others or as_csv:
        raise InputError(
            "--measured counts what the code of a trained trial executes: it needs --trial N, and "
            "takes no other assignment, rate, profile or table"
        )
    with answers_alone():
        study = Study(**{name: asked[name] for name in places})
        costs = study.count(asked["trial"])
    emit(costs.as_json(), as_json, lambda: counted_text(costs, f"trial {asked['trial']}"))
