"""The command line: parse, call, print; no logic.

Exit codes: 0 done, 1 the run failed, 2 bad usage or bad input, 130 interrupted (state saved).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NoReturn

import click
from rich.console import Console

from hqsearch import __version__
from hqsearch.errors import HqsearchError, InputError, RunFailed, UnknownName

out = Console()
err = Console(stderr=True)


class Commands(click.Group):
    """Unknown commands are answered with the closest known one."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise UnknownName("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


def main() -> NoReturn:
    """Entry point of the ``hqsearch`` command."""
    try:
        cli(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        err.print("interrupted; everything finished is saved: the same command, or resume, goes on")
        sys.exit(130)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except HqsearchError as error:
        err.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            sys.stderr.close()
            sys.exit(0)
        place = f"{error.filename}: " if error.filename else ""
        err.print(f"error: {place}{error.strerror or error}", style="red", markup=False)
        sys.exit(1)
    sys.exit(0)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hqsearch")
def cli() -> None:
    """Find the quantizations of a spiking transformer that are worth having."""


Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def _options(*options: Decorator) -> Decorator:
    def apply(function: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            function = option(function)
        return function

    return apply


_study = _options(
    click.option("--study", required=True, metavar="NAME|FILE", help="Name or TOML file."),
    click.option(
        "--studies-dir",
        type=click.Path(path_type=Path),
        default=Path("studies"),
        show_default=True,
        help="Where studies keep their state.",
    ),
    click.option("--storage", metavar="URL", help="Log on a server instead of study.db."),
)
_work = _options(
    click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto"),
    click.option("--workers", type=int, metavar="N", help="Evaluations at a time."),
    click.option("--executor", type=click.Choice(["auto", "in-process", "ray"]), default="auto"),
    click.option("--ray-address", metavar="ADDR", help="Join this Ray cluster."),
)
_format = _options(
    click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output."),
    click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values."),
)


@cli.command()
@_study
@click.option("--strategy", required=True, metavar="NAME", help="nsga2, random, …")
@click.option("--evaluations", type=click.IntRange(min=1), metavar="N", help="Of this run.")
@click.option("--seed", type=click.IntRange(min=0), metavar="S", help="Of this run.")
@click.option("--data", type=click.Path(path_type=Path), metavar="DIR", help="The recordings.")
@_work
@click.option("--set", "settings", multiple=True, metavar="KEY.PATH=VALUE", help="Override a key.")
@click.option("--fresh", is_flag=True, help="Move the study's old state aside first.")
@click.option("--json", "as_json", is_flag=True, help="Print the front as JSON at the end.")
def run(settings: tuple[str, ...], as_json: bool, **asked: Any) -> None:
    """Search; or continue the run with this strategy, options and seed."""
    from hqsearch.definition import parse_override
    from hqsearch.study.running import Request, start

    overrides = dict(parse_override(text) for text in settings)
    _search(start, Request(overrides=overrides, **asked), as_json)


@cli.command()
@_study
@_work
@click.option("--json", "as_json", is_flag=True, help="Print the front as JSON at the end.")
def resume(as_json: bool, **asked: Any) -> None:
    """Finish the last unfinished run with its stored options."""
    from hqsearch.study.running import Request
    from hqsearch.study.running import resume as resume_run

    _search(resume_run, Request(strategy="", **asked), as_json)


@cli.command()
@_study
@click.option(
    "--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Of each candidate."
)
@click.option("--epochs", type=click.IntRange(min=1), metavar="E", help="Of each; as searched.")
@_work
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def confirm(seeds: int, epochs: int | None, as_json: bool, **asked: Any) -> None:
    """Retrain the front and the uniform assignments with fresh seeds; measure on the test split."""
    from hqsearch.analysis.confirmation import confirmation_of
    from hqsearch.analysis.confirmed_verdict import study_verdict
    from hqsearch.show import confirmation as shown
    from hqsearch.show.live import LiveProgress
    from hqsearch.study.confirming import confirm as confirm_study
    from hqsearch.study.opening import Request

    request = Request(strategy="", **asked)
    with LiveProgress(err) as progress:
        confirm_study(request, seeds, epochs, progress)
    from hqsearch.analysis.overview import opened_results

    with opened_results(request.study, request.studies_dir, request.storage) as results:
        front, rows = results.front(), results.trials()
        found = confirmation_of(front, rows, results.objectives)
        if found is None:
            raise RunFailed(f"no replicate succeeded; hqsearch trials --study {request.study}")
        if as_json:
            _emit(found.as_json(), True, lambda: "")
            return
        out.print(shown.confirmation_table(found, results.objectives, results.study["name"]))
        out.print(shown.confirmation_text(found), highlight=False, soft_wrap=True)
        verdict = study_verdict(front, rows, results.objectives)
        out.print(verdict, highlight=False, soft_wrap=True)


def _search(action: Callable[..., Any], request: Any, as_json: bool) -> None:
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
    from hqsearch.analysis.overview import opened_results

    with opened_results(request.study, request.studies_dir, request.storage) as results:
        results.budgets = finished.run.budgets
        _print_front(results, as_json, False)


@cli.command()
@_study
@click.option("--strategies", required=True, metavar="A,B,…", help="nsga2,nsga2:assist=false,…")
@click.option(
    "--seeds", type=click.IntRange(min=1), default=5, show_default=True, help="Of each strategy."
)
@click.option("--evaluations", type=click.IntRange(min=1), metavar="N", help="Of every run.")
@click.option("--data", type=click.Path(path_type=Path), metavar="DIR", help="The recordings.")
@_work
@click.option("--set", "settings", multiple=True, metavar="KEY.PATH=VALUE", help="Override a key.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@click.option("-o", "output", type=click.Path(path_type=Path), metavar="FILE", help="JSON, too.")
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw it (.png, .svg, .pdf)."
)
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
    from hqsearch.definition import parse_override
    from hqsearch.show import comparison as shown
    from hqsearch.show.formats import check_plot
    from hqsearch.show.live import LiveProgress
    from hqsearch.study.comparing import compare as compare_strategies
    from hqsearch.study.opening import Request, study_folder

    check_plot(plot)
    overrides = dict(parse_override(text) for text in settings)
    request = Request(strategy="", overrides=overrides, **asked)
    names = [name.strip() for name in strategies.split(",") if name.strip()]
    with LiveProgress(err) as progress:
        found = compare_strategies(request, names, seeds, progress, clock)
    folder = study_folder(found.study, request.studies_dir) / "comparisons"
    saved = shown.save_comparison(found, folder)
    if output is not None:
        write_comparison(found, output)
    if plot is not None:
        shown.plot_comparison(found, plot)
    err.print(f"saved: {saved}, and the figure beside it", markup=False, highlight=False)
    if as_json:
        _emit(comparison_json(found), True, lambda: "")
        return
    out.print(shown.comparison_table(found))
    out.print(shown.comparison_text(found), highlight=False, soft_wrap=True)


@cli.command()
@click.option("--studies-dir", type=click.Path(path_type=Path), default=Path("studies"))
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def studies(studies_dir: Path, as_json: bool) -> None:
    """Definitions and runs, with progress."""
    from hqsearch.analysis.overview import studies_overview
    from hqsearch.show.overview import studies_table

    rows = studies_overview(studies_dir)
    _emit(rows, as_json, lambda: studies_table(rows))


@cli.command()
@_study
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def status(study: str, studies_dir: Path, storage: str | None, as_json: bool) -> None:
    """Progress, failures, time left."""
    from hqsearch.analysis.overview import opened_results, status_of
    from hqsearch.show.overview import status_text

    with opened_results(study, studies_dir, storage) as results:
        facts = status_of(results)
        _emit(facts, as_json, lambda: status_text(facts))


@cli.command()
@_study
@_format
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw it (.png, .svg, .pdf)."
)
def front(
    study: str,
    studies_dir: Path,
    storage: str | None,
    as_json: bool,
    as_csv: bool,
    plot: Path | None,
) -> None:
    """The candidates worth having, and the verdict against uniform quantization."""
    from hqsearch.analysis.overview import opened_results

    with opened_results(study, studies_dir, storage) as results:
        if plot is not None:
            from hqsearch.show.front_plot import plot_front

            title = str(results.study.get("title") or results.study["name"])
            plot_front(results.front(), results.trials(), title, plot)
            err.print(f"drawn: {plot}", markup=False, highlight=False)
        _print_front(results, as_json, as_csv)


@cli.command()
@_study
@_format
def trials(study: str, studies_dir: Path, storage: str | None, as_json: bool, as_csv: bool) -> None:
    """Every evaluation."""
    from hqsearch.analysis.overview import opened_results
    from hqsearch.show.tables import as_csv as csv_text
    from hqsearch.show.tables import trials_lines

    with opened_results(study, studies_dir, storage) as results:
        rows = results.trials()
        if as_csv:
            click.echo(csv_text(rows, results.objectives), nl=False)
            return
        if as_json:
            _emit([r.as_json() for r in rows], True, lambda: "")
        else:
            click.echo(trials_lines(rows, results.objectives))


@cli.command()
@_study
@click.option("--trial", type=int, metavar="N", help="Number of the trial.")
@click.option("--strategy", metavar="NAME", help="What its last run learned: gumbel.")
@click.option("--task", type=int, metavar="N", help="With --plot: which supernet, from 0.")
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw how it was learned."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
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
    if (trial is None) == (strategy is None):
        raise InputError("show needs either --trial N or --strategy NAME")
    if strategy is not None:
        _show_learned(study, studies_dir, storage, strategy, task, plot, as_json)
        return
    if plot is not None or task is not None:
        raise InputError("--plot and --task go with show --strategy")
    from hqsearch.analysis.overview import opened_results
    from hqsearch.show.overview import trial_text
    from hqsearch.show.tables import layers_table

    with opened_results(study, studies_dir, storage) as results:
        found = next((t for t in results.trials() if t.number == trial), None)
        if found is None:
            raise InputError(f"study {study!r} has no trial {trial}")
        layers = results.layers(found.number)
        if as_json:
            _emit({**found.as_json(), "layers": layers}, True, lambda: "")
            return
        out.print(trial_text(found, results.objectives), highlight=False)
        if layers:
            out.print(layers_table(layers, f"Trial {trial}, layer by layer"))


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
    found = learned(study, studies_dir, storage, strategy)
    if plot is not None:
        plot_history(found, task, plot)
        err.print(f"drawn: {plot}", markup=False, highlight=False)
    _emit(found.as_json(), as_json, lambda: learned_tables(found))


@cli.command()
@_study
@click.option("--trial", type=int, metavar="N", help="Choices and measured rates of a trial.")
@click.option("--uniform", metavar="CHOICE", help="Every layer takes it, or its nearest allowed.")
@click.option(
    "--assign", multiple=True, metavar="LAYER=CHOICE", help="A layer, dimension or pattern; repeat."
)
@click.option("--rate", type=float, metavar="R", help="Firing rate of every neuron, 0 to 1.")
@click.option("--profile", metavar="NAME|FILE", help="Another hardware profile than the study's.")
@click.option("--sensitivity", is_flag=True, help="Vary the unpublished constants by ±50 %.")
@click.option("--seed", type=click.IntRange(min=0), metavar="S", help="Of the draws; default 0.")
@click.option("--data", type=click.Path(path_type=Path), metavar="DIR", help="The recordings.")
@click.option("--unknown-as-real", is_flag=True, help="Count unknown operations as real MACs.")
@_format
def cost(as_json: bool, as_csv: bool, **asked: Any) -> None:
    """Energy and storage of an assignment, layer by layer, and what they rest on."""
    from hqsearch.analysis.cost_study import CostRequest
    from hqsearch.analysis.costs import cost_report
    from hqsearch.hardware.tables import to_csv
    from hqsearch.show.costs import cost_text

    report = cost_report(CostRequest(**asked))
    if as_csv:
        click.echo(to_csv(report.rows()), nl=False)
        return
    _emit(report.as_json(), as_json, lambda: cost_text(report))


def _print_front(results: Any, as_json: bool, as_csv: bool) -> None:
    from hqsearch.analysis.confirmation import confirmation_of
    from hqsearch.analysis.confirmed_verdict import study_verdict
    from hqsearch.show.confirmation import front_marks
    from hqsearch.show.tables import LONG_FRONT, front_table, trials_lines
    from hqsearch.show.tables import as_csv as csv_text

    rows = results.trials()
    found = results.front()
    if as_csv:
        click.echo(csv_text(found, results.objectives), nl=False)
        return
    confirmed = confirmation_of(found, rows, results.objectives)
    if as_json:
        told = [r.as_json() for r in found]
        if confirmed is not None:
            members = {m.key: m.as_json() for m in confirmed.members}
            told = [
                {**row, "confirmed": members.get(r.key)} for row, r in zip(told, found, strict=True)
            ]
        _emit(told, True, lambda: "")
        return
    for note in results.study.get("notes", []):
        out.print(note, highlight=False, soft_wrap=True)
    searched = sum(r.kind != "replicate" for r in rows)
    title = f"Front of {results.study['name']}: {len(found)} of {searched} trials"
    if results.budgets:
        title += ", under " + ", ".join(f"{b.metric} {b.text}" for b in results.budgets)
    marks = front_marks(confirmed)
    if len(found) > LONG_FRONT and not marks:
        click.echo(f"{title}\n{trials_lines(found, results.objectives)}")
    else:
        out.print(front_table(found, results.objectives, title, marks))
    verdict = study_verdict(found, rows, results.objectives)
    out.print(verdict, highlight=False, soft_wrap=True)


def _emit(data: Any, as_json: bool, table: Callable[[], Any]) -> None:
    if as_json and isinstance(data, list):
        # One object a line: readable, and quick for ten thousand trials.
        rows = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in data)
        click.echo("[\n" + ",\n".join(rows) + "\n]")
    elif as_json:
        click.echo(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        out.print(table(), highlight=False)
