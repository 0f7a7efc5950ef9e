"""``hqsearch choose``."""

from __future__ import annotations

import re
from pathlib import Path

import click

from hqsearch.cli import options
from hqsearch.cli.output import emit_json, print_text
from hqsearch.errors import InputError


@click.command(context_settings={"ignore_unknown_options": True})
@options.study_and_folder
@click.option("--accuracy", metavar="LIMIT", help="'>= 0.92', '>= 92 %'.")
@click.option("--energy", metavar="LIMIT", help="'<= 20 uJ', '<= 0.3 fp32'.")
@click.option(
    "--storage",
    "storages",
    multiple=True,
    metavar="LIMIT|URL",
    help="'<= 40 KiB'; or the log on a server instead of study.db.",
)
@click.option(
    "--limit", "more", multiple=True, metavar="NAME LIMIT", help="'average_bits <= 3'; repeat."
)
@click.argument("others", nargs=-1, type=click.UNPROCESSED, metavar="[--METRIC LIMIT]...")
@options.json_only
def choose(
    study: str,
    studies_dir: Path,
    accuracy: str | None,
    energy: str | None,
    storages: tuple[str, ...],
    more: tuple[str, ...],
    others: tuple[str, ...],
    as_json: bool,
) -> None:
    """The member of the front to take, and why: by limits, else the knee."""
    from hqsearch.api import Study

    given = [("accuracy", accuracy), ("energy", energy)]
    urls = [text for text in storages if not _is_limit(text)]
    given += [("storage", text) for text in storages if _is_limit(text)]
    given += [*(_named(text) for text in more), *_others(others)]
    limits = {name: text for name, text in given if text is not None}
    if len(urls) > 1 or len(limits) < sum(text is not None for _, text in given):
        raise InputError("choose: the same limit, or two logs, were given")
    named = Study(study, studies_dir=studies_dir, storage=urls[0] if urls else None)
    chosen = named.choose(**limits)
    if as_json:
        emit_json(chosen.as_json())
    else:
        print_text(repr(chosen))


def _others(words: tuple[str, ...]) -> list[tuple[str, str]]:
    """Limits on objectives that a study brings: ``--mae '<= 0.2'`` as name and limit.

    Raises:
        InputError: something else than pairs of them.
    """
    waiting, found = list(words), []
    while waiting:
        name, equals, limit = waiting.pop(0).partition("=")
        if not name.startswith("--") or not (equals or waiting):
            raise InputError(f"choose: {name}: expected --METRIC LIMIT, such as --mae '<= 0.2'")
        found.append((name.removeprefix("--"), limit if equals else waiting.pop(0)))
    return found


def _is_limit(text: str) -> bool:
    return text.lstrip().startswith(("<", ">", "=", "≤", "≥"))


def _named(text: str) -> tuple[str, str]:
    """``average_bits <= 3`` as name and limit."""
    match = re.fullmatch(r"\s*([\w.-]+)\s*([<>=≤≥].*)", text)
    if match is None:
        raise InputError(f"--limit {text}: expected NAME LIMIT, such as 'average_bits <= 3'")
    return match[1], match[2]
