"""The report of a study: pictures, tables and where everything comes from, in one file."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from hqsearch import __version__
from hqsearch.analysis.pictures.facts import Facts, NothingToDraw
from hqsearch.atomic import write_atomically
from hqsearch.errors import HqsearchError
from hqsearch.show.formats import check_file
from hqsearch.show.pictures.drawing import Drawing, panel_svg
from hqsearch.show.pictures.kinds import KINDS
from hqsearch.show.report.legend import legend_html
from hqsearch.show.report.sections import (
    escaped,
    failures,
    front_table,
    headline,
    provenance,
    runs_table,
)
from hqsearch.show.report.svg import page_svg, variables

#: Panels wider than this (inches) keep their size and are scrolled on a narrow screen.
WIDE = 5.5
#: Panels from which they are small, two in a row on a phone.
SMALL = 4
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def write_report(facts: Facts, path: Path | None = None) -> Path:
    """Write the page.

    Args:
        path: ``.html``; ``report/report.html`` in the study's folder by default.

    Raises:
        InputError: another kind of file, or a folder that does not exist.
    """
    check_file(path, (".html", ".htm"))
    place = path or facts.folder / "report" / "report.html"
    write_atomically(place, report_html(facts))
    return place


def report_html(facts: Facts) -> str:
    """The page as text; every text in it that is not ours is escaped."""
    body = "\n".join(_body(facts))
    style = resources.files(__package__).joinpath("style.css").read_text()
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escaped(facts.title)}</title>\n<style>\n{_colours()}\n{style}</style>\n"
        f"</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _colours() -> str:
    light = f":root {{ color-scheme: light dark; --card: #f1f3f6; {variables(False)} }}"
    dark = f"--card: #1f2530; {variables(True)}"
    # What is printed is on white, whatever the screen is.
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"


def _body(facts: Facts) -> Iterator[str]:
    yield headline(facts)
    yield (
        "<nav>"
        + "".join(f'<a href="#{k}">{escaped(kind.heading)}</a>' for k, kind in KINDS.items())
        + '<a href="#failures">Failures</a><a href="#provenance">Where it comes from</a></nav>'
    )
    rows = {t.number for t in facts.front}
    for name, kind in KINDS.items():
        yield f'<h2 id="{name}">{escaped(kind.heading)}</h2>'
        try:
            yield _pictures(kind.draw(facts), name, rows)
        except (NothingToDraw, HqsearchError) as error:
            yield f'<p class="about">Nothing to draw: {escaped(str(error))}</p>'
        if name == "front":
            yield front_table(facts)
        if name == "hypervolume":
            yield runs_table(facts)
    yield '<h2 id="failures">Failures</h2>'
    yield failures(facts)
    yield '<h2 id="provenance">Where it comes from</h2>'
    yield provenance(facts)
    yield f'<p class="about"><small>Written by hqsearch {__version__} from the log.</small></p>'


def _pictures(drawing: Drawing, name: str, rows: set[int]) -> str:
    figures = []
    for place, panel in enumerate(drawing.panels):
        svg = page_svg(panel_svg(drawing, place, f"{name}-{place}"), panel.alt, drawing.hover, rows)
        wide = ' class="wide"' if panel.width > WIDE else ""
        figures.append(f'<figure{wide}><div class="scroll">{svg}</div></figure>')
    reading = f'<p class="reading">{escaped(drawing.reading)}</p>'
    small = " small" if len(drawing.panels) > SMALL else ""
    legend = legend_html(drawing.legend)
    return f'{reading}\n<div class="panels{small}">{"".join(figures)}</div>\n{legend}'
