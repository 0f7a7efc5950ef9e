"""``hqsearch compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from hqsearch.cli import options
from hqsearch.cli.output import emit_json, err, out, print_text, tell_file


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
    strategies: str,
    seeds: int,
    settings: tuple[str, ...],
    as_json: bool,
    output: Path | None,
    plot: Path | None,
    clock: Literal["wall", "cpu"],
    **asked: Any,
) -> None:
    """Strategies against each other and against uniform quantization, over several seeds."""
    from hqsearch.analysis.comparison import comparison_json, write_comparison
    from hqsearch.show import comparison as shown
    from hqsearch.show.formats import check_plot
    from hqsearch.show.live import LiveProgress
    from hqsearch.study.comparing import compare as compare_strategies
    from hqsearch.study.opening import Request, study_folder

    check_plot(plot)
    request = Request(strategy="", overrides=options.overrides_of(settings), **asked)
    names = [name.strip() for name in strategies.split(",") if name.strip()]
    with LiveProgress(err) as progress:
        comparison = compare_strategies(request, names, seeds, progress, clock)
    folder = study_folder(comparison.study, request.studies_dir) / "comparisons"
    saved = shown.save_comparison(comparison, folder)
    if output is not None:
        write_comparison(comparison, output)
    if plot is not None:
        shown.plot_comparison(comparison, plot)
    tell_file("saved", saved, ", and the figure beside it")
    if as_json:
        emit_json(comparison_json(comparison))
        return
    out.print(shown.comparison_table(comparison))
    print_text(shown.comparison_text(comparison))
