"""matplotlib's SVG as part of a page: colours follow the page, points say what they are."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Mapping

from hqsearch.show.palette import COLOURS

_ROLES = {colour.light: role for role, colour in COLOURS.items()}
_POINT = re.compile(r'<a xlink:href="([^"]*)"[^>]*>(.*?)</a>', re.DOTALL)
_HEX = re.compile(r"#[0-9a-f]{6}")
_HEAD = re.compile(r'<svg\b[^>]*viewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*>')
#: CSS pixels in a point.
_PIXELS = 96 / 72


def page_svg(text: str, alt: str, hover: Mapping[str, str], rows: Collection[int]) -> str:
    """An ``<svg>`` element for a page.

    Args:
        text: what matplotlib wrote.
        alt: what it shows, in words.
        hover: link of a point → what is shown over it.
        rows: trials that have a row ``#trial-N`` on the page to jump to.
    """
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # of several figures on a page
    text = re.sub(r"\n\s*", "\n", text)
    text = _POINT.sub(lambda match: _point(match, hover, rows), text)
    text = themed(text)
    head = _HEAD.search(text)
    assert head is not None
    width, height = (float(size) for size in head.groups())
    # Points that are links are for a keyboard as well: the picture is then no single image.
    role = "group" if hover else "img"
    opened = (
        f'<svg role="{role}" aria-label="{html.escape(alt)}" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width * _PIXELS:.0f}" height="{height * _PIXELS:.0f}" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return opened + text[head.end() :].strip()


def _point(match: re.Match[str], hover: Mapping[str, str], rows: Collection[int]) -> str:
    link = html.unescape(match[1])
    told = html.escape(hover.get(link, ""))
    number = link.rpartition(":")[2]
    title = f"<title>{told}</title>" if told else ""
    if number.isdigit() and int(number) in rows:
        return f'<a class="point" href="#trial-{number}">{title}{match[2].strip()}</a>'
    return f'<g class="point">{title}{match[2].strip()}</g>'


def themed(text: str) -> str:
    """With the palette's colours as CSS variables, in styles and in attributes."""
    styled = re.sub(
        r'(fill|stroke)="(#[0-9a-f]{6})"', lambda m: f'style="{m[1]}: {_variable(m[2])}"', text
    )
    return _HEX.sub(lambda match: _variable(match[0]), styled)


def _variable(colour: str) -> str:
    role = _ROLES.get(colour)
    return colour if role is None else f"var(--{role})"


def variables(dark: bool) -> str:
    """The colours as CSS variables."""
    return " ".join(
        f"--{role}: {colour.dark if dark else colour.light};" for role, colour in COLOURS.items()
    )
