"""The report is one page that shows everything and loads nothing."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hqsearch
from hqsearch.analysis.pictures.facts import Facts, facts_of, study_facts
from hqsearch.errors import InputError
from hqsearch.show.pictures.kinds import KINDS
from hqsearch.show.report.page import report_html

HOSTILE = '<script>alert(1)</script> [/b] $x$ & "q"'


@pytest.fixture(scope="module")
def page(drawn_study: hqsearch.Study) -> str:
    return drawn_study.report().read_text()


def test_nothing_is_loaded_and_nothing_is_executed(page: str) -> None:
    assert "default-src 'none'" in page
    assert not re.search(r"<(script|link|iframe|img|object)\b", page)
    for address in re.findall(r'(?:href|src)="([^"]*)"', page):
        assert address.startswith("#"), address
    assert not re.search(r"url\((?!#)", page)


def test_every_picture_has_a_place_a_sentence_and_words(page: str) -> None:
    for name, kind in KINDS.items():
        assert f'<h2 id="{name}">{kind.heading}</h2>' in page
    figures = re.findall(r"<svg [^>]*aria-label=\"([^\"]+)\"", page)
    assert len(figures) >= 15
    assert all(len(words) > 20 for words in figures)
    assert page.count('class="reading"') >= 6
    assert "#00795c" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    assert "prefers-color-scheme: dark" in page


def test_every_member_has_a_row_and_its_point_leads_there(
    page: str, drawn_study: hqsearch.Study
) -> None:
    for trial in drawn_study.front():
        assert f'<tr id="trial-{trial.number}">' in page
        assert page.count(f'href="#trial-{trial.number}"') == 2  # one point per cost
    member = drawn_study.front()[0]
    told = re.search(rf'href="#trial-{member.number}"><title>(.*?)</title>', page, re.DOTALL)
    assert told is not None
    lines = html.unescape(told[1]).splitlines()
    assert lines[-len(member.choices) :] == [f"{k}: {v}" for k, v in member.choices.items()]


def test_a_study_without_supernets_or_anything_says_so(tmp_path: Path) -> None:
    study = hqsearch.Study("toy", studies_dir=tmp_path)
    study.run("random", evaluations=5)
    text = study.report(tmp_path / "r.html").read_text()
    assert "has trained no supernet: hqsearch run --study toy --strategy gumbel" in text
    with pytest.raises(InputError, match=r"must end in \.html"):
        study.report(tmp_path / "r.pdf")
    with pytest.raises(InputError, match="does not exist"):
        study.report(tmp_path / "no" / "r.html")


FAILING = """
from hqsearch.evaluators.toy import Toy

class Failing(Toy):
    def evaluate(self, candidate, *rest, **more):
        raise ValueError("<script>alert(2)</script> [/b]")
"""


def test_all_failures_and_hostile_names_are_shown_as_text(
    tmp_path: Path, study_file: Any, launched: Any
) -> None:
    (tmp_path / "failing.py").write_text(FAILING)
    path = study_file(evaluator="failing.py:Failing", title=HOSTILE)
    with pytest.raises(hqsearch.HqsearchError):
        launched.run(tmp_path, str(path), strategy="random", evaluations=3)
    text = report_html(study_facts("mine", tmp_path))
    assert "<script" not in text
    assert html.escape(HOSTILE) in text
    assert "has no completed trial yet" in text
    assert "&lt;script&gt;alert(2)&lt;/script&gt; [/b]" in text


def test_a_hostile_title_is_drawn(tmp_path: Path, study_file: Any) -> None:
    path = study_file(title=HOSTILE)
    study = hqsearch.Study(path, studies_dir=tmp_path)
    study.run("random", evaluations=5)
    figure = study.plot("front", path=tmp_path / "f.svg")
    assert figure.get_suptitle() == HOSTILE
    assert "<script" not in (tmp_path / "f.svg").read_text()
    shown = study._repr_html_()
    assert "<script" not in shown
    assert "<svg" in shown


def test_a_notebook_shows_what_there_is(tmp_path: Path, drawn_study: hqsearch.Study) -> None:
    assert drawn_study._repr_html_().count("<svg role") == 2
    assert "var(--" not in drawn_study._repr_html_()
    assert "has not been run" in hqsearch.Study("toy", studies_dir=tmp_path)._repr_html_()


def _many(study: hqsearch.Study, count: int) -> Facts:
    """The study's facts with so many trials, as a log would have them."""
    facts = study_facts("toy", study.folder.parent)
    generator = np.random.default_rng(0)
    codes = generator.integers(0, facts.space.cardinalities, (count, len(facts.space.names)))
    records = []
    for number, candidate in enumerate(facts.space.decode(codes)):
        like = facts.records[number % 5 if number < 5 else 5 + number % 20]
        key = like.proposal.key if number < 5 else candidate.key
        proposal = replace(like.proposal, key=key, slot=number, run=0, copy_of=None)
        spread = generator.uniform(0.97, 1.03, 3)
        values = tuple(float(v) for v in np.array(like.values) * (1.0 if number < 5 else spread))
        records.append(replace(like, number=number, proposal=proposal, values=values))
    runs = [replace(facts.runs[0], evaluations=count)]
    return facts_of("toy", facts.folder, facts.attributes, runs, (), records)


@pytest.mark.slow
def test_a_page_of_5000_trials_is_below_10_mb(drawn_study: hqsearch.Study) -> None:
    text = report_html(_many(drawn_study, 5000))
    assert text.count('class="point"') > 9_000  # a point for every trial and cost
    assert len(text.encode()) < 10_000_000


@pytest.mark.slow
def test_a_browser_shows_it_without_a_network(
    page: str, drawn_study: hqsearch.Study, browser: Any, tmp_path: Path
) -> None:
    path = drawn_study.report(tmp_path / "report.html")
    for width, height in ((1280, 900), (390, 844)):
        for scheme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme=scheme, offline=True
            )
            tab = context.new_page()
            said: list[str] = []
            tab.on("console", lambda message, said=said: said.append(message.text))
            tab.on("pageerror", lambda error, said=said: said.append(str(error)))
            asked: list[str] = []
            tab.on("request", lambda request, asked=asked: asked.append(request.url))
            tab.goto(path.as_uri())
            assert said == []
            assert asked == [path.as_uri()]
            across = tab.evaluate("document.documentElement.scrollWidth")
            assert across <= width  # nothing sticks out of the page
            sizes = tab.evaluate(
                "[...document.querySelectorAll('figure svg')].map(s => s.getBoundingClientRect())"
                ".map(r => Math.min(r.width, r.height))"
            )
            assert len(sizes) >= 15
            assert min(sizes) > 60
            dark = tab.evaluate("getComputedStyle(document.body).backgroundColor")
            assert dark == ("rgb(20, 24, 31)" if scheme == "dark" else "rgb(254, 254, 254)")
            tab.screenshot(path=tmp_path / f"report-{width}-{scheme}.png", full_page=True)
            context.close()
