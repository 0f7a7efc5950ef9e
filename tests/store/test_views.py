"""The views of results.db, as sqlite-utils and Datasette read them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import hqsearch
from hqsearch.store.views import view_statements


def test_views_answer_the_usual_questions(tmp_path: Path) -> None:
    study = hqsearch.Study("toy", studies_dir=tmp_path)
    study.run("nsga2", evaluations=20, settings={"strategy.nsga2.population": 6})
    study.run("random", evaluations=8)
    front = study.front()
    with closing(sqlite3.connect(study.folder / "results.db")) as db:
        shown = db.execute('SELECT number, energy, "block.q" FROM front').fetchall()
        assert shown == [
            (t.number, t.values["energy"], t.choices["block.q"]) for t in front if t.values
        ]
        runs = db.execute("SELECT strategy, trials, failed, on_front FROM strategies").fetchall()
        assert [row[:3] for row in runs] == [("nsga2", 20, 0), ("random", 8, 0)]
        assert sum(row[3] for row in runs) == len(front)
        best = db.execute("SELECT max(best_accuracy), min(best_energy) FROM strategies").fetchone()
        values = [t.values for t in study.trials() if t.values]
        assert best == (max(v["accuracy"] for v in values), min(v["energy"] for v in values))
        shares = db.execute(
            "SELECT trial, sum(energy_share), count(*) FROM layer_costs GROUP BY trial"
        ).fetchall()
        assert len(shares) == 28
        assert all(abs(total - 1) < 1e-9 and layers == 8 for _, total, layers in shares)
        assert db.execute("SELECT * FROM failures").fetchall() == []


def test_names_with_quotes_are_columns() -> None:
    made = view_statements([('a "b"', True), ("c", False)], ["x;y", 'q"'], {"choice"})
    with closing(sqlite3.connect(":memory:")) as db:
        columns = '"number", state, strategy, kind, run, copy_of, seconds, average_bits, failure, '
        db.execute(f'CREATE TABLE trials ({columns} reason, "a ""b""", c, "x;y", "q""")')
        db.execute("CREATE TABLE fronts (finished, trial)")
        db.execute("CREATE TABLE layers (trial, position, layer, choice)")
        for statement in made.values():
            db.execute(statement)
        assert db.execute('SELECT "a ""b""", "x;y" FROM front').fetchall() == []
        assert db.execute("SELECT trials FROM strategies").fetchall() == []
        assert db.execute("SELECT energy, energy_share FROM layer_costs").fetchall() == []
