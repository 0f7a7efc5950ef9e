from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hqsearch.analysis.supernets import history, learned
from hqsearch.errors import InputError
from hqsearch.show.supernets import learned_tables, plot_history

OVERRIDES = {
    "strategy.gumbel.epochs": 3,
    "strategy.gumbel.warmup": 1,
    "strategy.gumbel.targets": [0.1, 0.3, 0.5],
}


@pytest.fixture
def studies(tmp_path: Path, launched: Any) -> Path:
    launched.run(tmp_path, strategy="gumbel", overrides=OVERRIDES)
    return tmp_path


def test_the_final_probabilities_are_shown_and_drawn(studies: Path) -> None:
    found = learned("toy", studies, None, "gumbel")
    rows = found.as_json()
    assert [row["label"] for row in rows] == [f"energy <= {t} fp32" for t in (0.1, 0.3, 0.5)]
    for row in rows:
        assert row["state"] == "COMPLETE"
        for values in row["probabilities"].values():
            assert list(values) == ["2u", "4u", "2l", "4l", "fp32"]
            assert sum(values.values()) == pytest.approx(1.0, abs=1e-5)
    assert sorted(n for row in rows for n in row["trials"]) == list(
        range(5, 5 + sum(len(row["trials"]) for row in rows))
    )
    assert json.loads(json.dumps(rows)) == rows

    told_to = io.StringIO()
    Console(width=80, file=told_to).print(learned_tables(found))
    text = told_to.getvalue()
    assert "Supernet 1: energy <= 0.3 fp32" in text
    likeliest = max(rows[0]["probabilities"]["head"].values())
    line = next(line for line in text.splitlines() if line.split()[:1] == ["head"])
    assert f"{likeliest:.2f}" in line

    task, told = history(found, None)
    assert task.index == 1  # the middle one
    assert len(told["epochs"]) == 3
    picture = studies / "picture.svg"
    plot_history(found, 2, picture)
    assert picture.read_text().startswith("<?xml")
    with pytest.raises(InputError, match="must end in"):
        plot_history(found, None, studies / "picture.gif")
