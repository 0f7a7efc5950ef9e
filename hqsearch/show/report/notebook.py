"""A study in a notebook: its front as a picture, and where more is."""

from __future__ import annotations

from hqsearch.analysis.pictures.facts import Facts
from hqsearch.analysis.pictures.front import front_picture
from hqsearch.show.palette import COLOURS
from hqsearch.show.pictures.drawing import panel_svg
from hqsearch.show.pictures.front import draw_front
from hqsearch.show.report.legend import legend_html
from hqsearch.show.report.sections import escaped
from hqsearch.show.report.svg import page_svg


def notebook_html(facts: Facts) -> str:
    """HTML that stands alone: light colours, for a notebook's page may be anything.

    Raises:
        NothingToDraw: there is no front yet.
    """
    drawing = draw_front(front_picture([facts]))
    panels = "".join(
        page_svg(panel_svg(drawing, place, f"notebook-{place}"), panel.alt, drawing.hover, ())
        for place, panel in enumerate(drawing.panels)
    )
    panels += legend_html(drawing.legend)
    for role, colour in COLOURS.items():
        panels = panels.replace(f"var(--{role})", colour.light)
    notes = "".join(f"<p><em>{escaped(note)}</em></p>" for note in facts.notes)
    back = COLOURS["paper"].light
    return (
        f"<div><p><b>{escaped(facts.title)}</b> · front {len(facts.front)} of "
        f"{len(facts.completed)} completed candidates</p>{notes}"
        f'<div style="background:{back}">{panels}</div></div>'
    )
