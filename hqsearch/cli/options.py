"""Options that commands share, and what more than one of them checks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hqsearch.errors import InputError

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def _together(*options: Decorator) -> Decorator:
    def apply(function: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            function = option(function)
        return function

    return apply


def _one_format(context: click.Context, parameter: click.Parameter, given: bool) -> bool:
    other = {"as_json": "as_csv", "as_csv": "as_json"}[str(parameter.name)]
    if given and context.params.get(other):
        raise InputError("--json and --csv are two formats of one answer; give one")
    return given


def overrides_of(settings: tuple[str, ...]) -> dict[str, Any]:
    """What ``--set`` changes of a definition, by ``key.path``."""
    from hqsearch.definition import parse_override

    return dict(parse_override(text) for text in settings)


_folder = click.option(
    "--studies-dir",
    type=click.Path(path_type=Path),
    default=Path("studies"),
    show_default=True,
    help="Where studies keep their state.",
)
_storage = click.option("--storage", metavar="URL", help="Log on a server instead of study.db.")
study_and_folder = _together(
    click.option("--study", required=True, metavar="NAME|FILE", help="Name or TOML file."), _folder
)
study = _together(study_and_folder, _storage)
study_if_needed = _together(
    click.option("--study", metavar="NAME|FILE", help="Name or TOML file."), _folder, _storage
)
work = _together(
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where trainings run; auto: a GPU where there is one.",
    ),
    click.option("--workers", type=int, metavar="N", help="Evaluations at a time."),
    click.option(
        "--executor",
        type=click.Choice(["auto", "in-process", "ray"]),
        default="auto",
        show_default=True,
        help="This process, or worker processes; auto: whichever fits.",
    ),
    click.option("--ray-address", metavar="ADDR", help="Join this Ray cluster."),
)
recordings = click.option(
    "--data", type=click.Path(path_type=Path), metavar="DIR", help="The recordings."
)
setting = click.option(
    "--set", "settings", multiple=True, metavar="KEY.PATH=VALUE", help="Override a key."
)
time_limit = click.option(
    "--time-limit", metavar="TIME", help="20m, 1h30m: begin nothing after; what runs is finished."
)
json_only = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on standard output."
)
json_front = click.option(
    "--json", "as_json", is_flag=True, help="Print the front as JSON at the end."
)
json_or_csv = _together(
    click.option(
        "--json",
        "as_json",
        is_flag=True,
        callback=_one_format,
        help="One JSON document on standard output.",
    ),
    click.option(
        "--csv", "as_csv", is_flag=True, callback=_one_format, help="Comma-separated values."
    ),
)
draw = click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE", help="Draw it (.png, .svg, .pdf)."
)
