from __future__ import annotations

from pathlib import Path
from typing import Any

import hqsearch
from hqsearch.show.scatter import EVALUATED, FRONT, UNIFORM, WIDTH, scatter
from hqsearch.show.text import folded


def test_a_front_is_drawn_in_characters(drawn_study: hqsearch.Study) -> None:
    front = drawn_study.front()
    lines = scatter(front.rows, front.every, front.objectives)
    picture = "\n".join(lines[:-1])
    assert max(map(len, lines)) <= WIDTH + 10 < 80
    assert {FRONT, EVALUATED, UNIFORM} <= set(picture)
    best = max(t.values["accuracy"] for t in front.every if t.values)
    assert lines[0].startswith(f"{100 * best:.1f} %")
    assert "energy, µJ" in lines[-2]


def test_one_point_is_no_picture(drawn_study: hqsearch.Study) -> None:
    front = drawn_study.front()
    assert scatter(front.rows[:1], front.rows[:1], front.objectives) == []
    assert scatter((), (), front.objectives) == []


def test_lines_are_broken_at_words() -> None:
    text = "  against uniform 2u: saves 40% energy and is no less accurate\nshort"
    assert folded(text, None) == text
    lines = folded(text, 30).split("\n")
    assert max(map(len, lines)) <= 30
    assert [line.split() for line in lines] != []
    assert " ".join(" ".join(lines).split()) == " ".join(text.split())
    assert lines[1].startswith("    ")


def test_the_live_picture_ends_with_nothing_running(tmp_path: Path, launched: Any) -> None:
    import io

    import pytest
    from rich.console import Console

    from hqsearch.search.events import Listener
    from hqsearch.show.live import LiveProgress
    from hqsearch.study.running import Request, start

    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, height=60, no_color=True)
    live = LiveProgress(console)

    class Stops(Listener):
        def changed(self, state: Any) -> None:
            live.changed(state)
            if state.finished >= 12:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), live:
        start(Request("toy", "random", evaluations=30, studies_dir=tmp_path), Stops())
    last = out.getvalue().rsplit("evaluations", 1)[1]
    assert "interrupted" in last
    assert "left" not in last
    assert FRONT in out.getvalue()
    status = hqsearch.Study("toy", studies_dir=tmp_path).status()
    assert "RUNNING" not in repr(status)
