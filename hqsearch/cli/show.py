"""``hqsearch show``."""

from __future__ import annotations

from pathlib import Path

import click

from hqsearch.cli import options
from hqsearch.cli.output import emit, emit_json, out, print_text, tell_file
from hqsearch.errors import InputError


@click.command()
@options.study
@click.option("--trial", type=int, metavar="N", help="Number of the trial.")
@click.option("--strategy", metavar="NAME", help="What its last run learned: gumbel.")
@click.option("--task", type=int, metavar="N", help="With --plot: which supernet, from 0.")
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw how it was learned."
)
@options.json_only
def show(
    study: str,
    studies_dir: Path,
    storage: str | None,
    trial: int | None,
    strategy: str | None,
    task: int | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """One trial, layer by layer; or what a strategy learned, probabilities by layer."""
    if strategy is not None and trial is None:
        _show_learned(study, studies_dir, storage, strategy, task, plot, as_json)
        return
    if trial is None or strategy is not None:
        raise InputError("show needs either --trial N or --strategy NAME")
    if plot is not None or task is not None:
        raise InputError("--plot and --task go with show --strategy")
    _show_trial(study, studies_dir, storage, trial, as_json)


def _show_trial(
    study: str, studies_dir: Path, storage: str | None, number: int, as_json: bool
) -> None:
    from hqsearch.api import Study
    from hqsearch.show.overview import trial_text
    from hqsearch.show.tables import layers_table

    trial = Study(study, studies_dir=studies_dir, storage=storage).trial(number)
    if as_json:
        emit_json({**trial.as_json(), "layers": trial.layers})
        return
    print_text(trial_text(trial.row, trial.objectives))
    if trial.layers:
        out.print(layers_table(trial.layers, f"Trial {number}, layer by layer"))


def _show_learned(
    study: str,
    studies_dir: Path,
    storage: str | None,
    strategy: str,
    task: int | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    from hqsearch.analysis.supernets import learned
    from hqsearch.show.supernets import learned_tables, plot_history

    if task is not None and plot is None:
        raise InputError("--task says what --plot draws; the tables show every supernet")
    supernets = learned(study, studies_dir, storage, strategy)
    if plot is not None:
        plot_history(supernets, task, plot)
        tell_file("drawn", plot)
    emit(supernets.as_json(), as_json, lambda: learned_tables(supernets))
