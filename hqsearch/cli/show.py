"""``hqsearch show``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hqsearch.cli import options
from hqsearch.cli.output import emit, emit_json, out, print_text, tell_file
from hqsearch.errors import InputError

if TYPE_CHECKING:
    from hqsearch.analysis.supernets import Learned


@click.command()
@options.study_if_needed
@click.option("--trial", type=int, metavar="N", help="Number of the trial.")
@click.option("--strategy", metavar="NAME", help="What its last run learned: gumbel.")
@click.option("--task", type=int, metavar="N", help="With --plot: which supernet, from 0.")
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw how it was learned."
)
@click.option(
    "--model", type=click.Path(path_type=Path), metavar="FILE", help="A packed model, .hq."
)
@options.json_only
def show(
    study: str | None,
    studies_dir: Path,
    storage: str | None,
    trial: int | None,
    strategy: str | None,
    task: int | None,
    plot: Path | None,
    model: Path | None,
    as_json: bool,
) -> None:
    """One trial, layer by layer; what a strategy learned; or what is in a packed model."""
    if model is not None:
        if (study, trial, strategy, task, plot) != (None,) * 5:
            raise InputError("--model shows a file; --study and what goes with it do not apply")
        _show_model(model, as_json)
        return
    if study is None:
        raise InputError(
            "show needs --study NAME with --trial N or --strategy NAME, or --model FILE"
        )
    if strategy is not None and trial is None:
        if task is not None and plot is None:
            raise InputError("--task says what --plot draws; the tables show every supernet")
        from hqsearch.analysis.supernets import learned

        _show_learned(learned(study, studies_dir, storage, strategy), task, plot, as_json)
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
    from hqsearch.show.models import model_line
    from hqsearch.show.overview import trial_text
    from hqsearch.show.tables import layers_table

    trial = Study(study, studies_dir=studies_dir, storage=storage).trial(number)
    if as_json:
        model_told = trial.model.as_json() if trial.model else None
        emit_json({**trial.as_json(), "model": model_told, "layers": trial.layers})
        return
    print_text(trial_text(trial.row, trial.objectives))
    if trial.model is not None:
        print_text(f"trained: {model_line(trial.model)}")
    if trial.layers:
        out.print(layers_table(trial.layers, f"Trial {number}, layer by layer"))
    else:
        print_text("\n".join(f"{layer}: {choice}" for layer, choice in trial.choices.items()))


def _show_model(path: Path, as_json: bool) -> None:
    from hqsearch.export.packed_file import read_packed, sizes_of
    from hqsearch.show.models import packed_rows, packed_table, packed_text

    packed = read_packed(path)
    sizes = sizes_of(packed, path)
    if as_json:
        parts = {"tensors": sizes.tensors, "graph": sizes.graph, "header": sizes.header}
        emit_json(
            {
                **packed.about,
                "path": str(path),
                "bytes": {**parts, "file": sizes.file},
                "layers": packed_rows(packed),
            }
        )
        return
    print_text(packed_text(packed, sizes, path))
    out.print(packed_table(packed))


def _show_learned(supernets: Learned, task: int | None, plot: Path | None, as_json: bool) -> None:
    from hqsearch.show.supernets import learned_tables, plot_history

    if plot is not None:
        plot_history(supernets, task, plot)
        tell_file("drawn", plot)
    emit(supernets.as_json(), as_json, lambda: learned_tables(supernets))
