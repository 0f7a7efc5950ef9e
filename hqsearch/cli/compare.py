"""``hqsearch compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from hqsearch.cli import options
from hqsearch.cli.output import emit_json, out, print_text, tell_file


@click.command()
@options.study
@click.option("--strategies", required=True, metavar="A,B,…", help="nsga2,nsga2:assist=false,…")
@click.option(
    "--seeds", type=click.IntRange(min=1), default=5, show_default=True, help="Of each strategy."
)
@click.option("--evaluations", type=click.IntRange(min=1), metavar="N", help="Of every run.")
@options.recordings
@options.work
@options.setting
@options.json_only
@click.option("-o", "output", type=click.Path(path_type=Path), metavar="FILE", help="JSON, too.")
@options.draw
@click.option(
    "--clock",
    type=click.Choice(["wall", "cpu"]),
    default="wall",
    show_default=True,
    help="Seconds that runs are charged; cpu where a machine is shared with others.",
)
def compare(
    study: str,
    studies_dir: Path,
    storage: str | None,
    data: Path | None,
    strategies: str,
    settings: tuple[str, ...],
    as_json: bool,
    output: Path | None,
    plot: Path | None,
    clock: Literal["wall", "cpu"],
    **asked: Any,
) -> None:
    """Strategies against each other and against uniform quantization, over several seeds."""
    from hqsearch.api import Study
    from hqsearch.cli.answers import following
    from hqsearch.show import comparison as shown
    from hqsearch.show.formats import check_plot

    check_plot(plot, "plot")
    named = Study(
        study,
        studies_dir=studies_dir,
        storage=storage,
        recordings=data,
        settings=options.overrides_of(settings),
    )
    names = [name.strip() for name in strategies.split(",") if name.strip()]
    with following() as progress:
        compared = named.compare(names, clock=clock, listener=progress, **asked)
    saved = shown.save_comparison(compared.summary, named.folder / "comparisons")
    if output is not None:
        compared.save(output)
    if plot is not None:
        compared.plot(plot)
    tell_file("saved", saved, ", and the figure beside it")
    if as_json:
        emit_json(compared.as_json())
        return
    out.print(shown.comparison_table(compared.summary))
    print_text(shown.comparison_text(compared.summary))
