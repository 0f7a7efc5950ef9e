"""Every picture is drawn, and what cannot be drawn is refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import hqsearch
from hqsearch.cli import cli
from hqsearch.errors import HqsearchError, InputError, UnknownName
from hqsearch.show.formats import check_plot
from hqsearch.show.palette import COLOURS, role_of, strategy_marks, text_on
from hqsearch.show.pictures.kinds import KINDS

DRAWN = ["front", "bits", "breakdown", "probabilities", "hypervolume", "calibration"]


@pytest.mark.parametrize("kind", DRAWN)
def test_every_kind_is_drawn(kind: str, drawn_study: hqsearch.Study, tmp_path: Path) -> None:
    path = tmp_path / f"{kind}.svg"
    figure = drawn_study.plot(kind, path=path)
    text = path.read_text()
    assert text.startswith("<?xml")
    assert "<dc:date>" not in text  # the same file whenever it is drawn
    assert figure.axes
    assert len(text) < 400_000


def test_several_fronts_go_into_one_picture(drawn_study: hqsearch.Study, tmp_path: Path) -> None:
    other = hqsearch.Study("toy", studies_dir=tmp_path)
    other.run("random", evaluations=10)
    figure = drawn_study.plot("front", other)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "front of toy" in labels


def test_what_is_wrong_is_told(drawn_study: hqsearch.Study, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"unknown picture 'fron'; did you mean 'front'"):
        drawn_study.plot("fron")
    with pytest.raises(InputError, match="'bits' shows one"):
        drawn_study.plot("bits", drawn_study)
    with pytest.raises(InputError, match="trial goes with the picture 'weights'"):
        drawn_study.plot("front", trial=3)
    with pytest.raises(InputError, match="task goes with"):
        drawn_study.plot("bits", task=0)
    with pytest.raises(InputError, match="has not kept the weights of trial 3"):
        drawn_study.plot("weights", trial=3)
    with pytest.raises(InputError, match="trains no network whose weights"):
        drawn_study.keep_weights(3)
    with pytest.raises(InputError, match=r"x\.sgv: .*did you mean x\.svg"):
        check_plot(tmp_path / "x.sgv")
    with pytest.raises(InputError, match=r"the folder .* does not exist"):
        check_plot(tmp_path / "no" / "x.svg")


def test_the_command_draws_and_refuses(drawn_study: hqsearch.Study, tmp_path: Path) -> None:
    where = ["--study", "toy", "--studies-dir", str(drawn_study.folder.parent)]
    done = CliRunner().invoke(cli, ["plot", "bits", *where, "-o", str(tmp_path / "b.png")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "b.png").read_bytes()[:4] == b"\x89PNG"
    for asked in (["plot", "bit"], ["plot", "front", "--study", "toy"]):
        refused = CliRunner().invoke(cli, [*asked, *where, "-o", str(tmp_path / "c.png")])
        assert isinstance(refused.exception, HqsearchError)
        assert refused.exception.exit_code == 2
        assert not (tmp_path / "c.png").exists()


def test_colours_are_unique_and_mean_one_thing() -> None:
    for page in ("light", "dark"):
        assert len({getattr(c, page) for c in COLOURS.values()}) == len(COLOURS)
    assert role_of("2u") != role_of("4u") != role_of("8u")
    assert role_of("2l").startswith("power")
    assert role_of("1b") == "other-low"
    assert role_of("timesteps=4") == "other-high"
    assert {text_on(c) for c in ("2u", "4u")} == {"on-pale", "paper"}
    marks = strategy_marks(["gumbel", "mine", "nsga2"])
    assert marks["nsga2"] == strategy_marks(["nsga2"])["nsga2"]
    assert len({(m.colour, m.marker) for m in marks.values()}) == 3


def _contrast(one: str, other: str) -> float:
    """WCAG's ratio of two colours."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("page", ["light", "dark"])
def test_contrasts_suffice(page: str) -> None:
    colours: dict[str, Any] = {role: getattr(c, page) for role, c in COLOURS.items()}
    paper = colours["paper"]
    assert _contrast(colours["ink"], paper) >= 7
    assert _contrast(colours["muted"], paper) >= 4.5
    for role, colour in colours.items():
        if role.startswith("mark-"):
            assert _contrast(colour, paper) >= 3, role


def test_every_kind_has_a_heading() -> None:
    assert next(iter(KINDS)) == "front"
    assert len({kind.heading for kind in KINDS.values()}) == len(KINDS) == 8


@pytest.mark.parametrize("page", ["light", "dark"])
@pytest.mark.parametrize("choice", ["1b", "2u", "4u", "8u", "2l", "4l", "8l", "fp32"])
def test_a_choice_can_be_read_in_its_cell(choice: str, page: str) -> None:
    cell, words = COLOURS[role_of(choice)], COLOURS[text_on(choice)]
    assert _contrast(getattr(cell, page), getattr(words, page)) >= 3
