"""Views of ``results.db``: the usual questions, for sqlite-utils, Datasette and others."""

from __future__ import annotations

from collections.abc import Collection, Sequence

#: Their names.
VIEWS = ("front", "layer_costs", "failures", "strategies")


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def view_statements(
    objectives: Sequence[tuple[str, bool]], dimensions: Sequence[str], layers: Collection[str]
) -> dict[str, str]:
    """View → its ``CREATE VIEW`` statement.

    ``front`` is the present front, cheapest first, with its choices; ``layer_costs`` every layer
    of every completed trial with its share of the trial's; ``failures`` what failed, by reason;
    ``strategies`` one row per run: evaluations, failures, worker seconds, members on the front
    and the best of every objective.

    Args:
        objectives: column of each, and whether more is better.
        dimensions: their columns.
        layers: columns of the table of layers; evaluators need not tell what a layer costs.
    """
    values = [quoted(column) for column, _ in objectives]
    cost = next((quoted(c) for c, more in objectives if not more), values[0])
    own = [f"t.{v}" for v in (*values, *map(quoted, dimensions))]
    best = [
        f"{'max' if more else 'min'}(CASE WHEN t.state = 'COMPLETE' THEN t.{quoted(c)} END) "
        f"AS {quoted(f'best_{c}')}"
        for c, more in objectives
    ]
    told = {c: f"l.{c}" if c in layers else "NULL" for c in ("choice", "energy", "storage")}
    shares = ", ".join(
        f"{told[c]} / nullif(sum({told[c]}) OVER (PARTITION BY l.trial), 0) AS {c}_share"
        for c in ("energy", "storage")
    )
    now = "SELECT trial FROM fronts WHERE finished = (SELECT max(finished) FROM fronts)"
    return {
        "front": f"CREATE VIEW front AS SELECT t.number, t.strategy, t.kind, t.average_bits, "
        f"{', '.join(own)} FROM trials t WHERE t.number IN ({now}) ORDER BY t.{cost}, t.number",
        "layer_costs": "CREATE VIEW layer_costs AS SELECT l.trial, l.position, l.layer, "
        f"{', '.join(f'{value} AS {name}' for name, value in told.items())}, {shares} "
        "FROM layers l JOIN trials t ON t.number = l.trial WHERE t.state = 'COMPLETE'",
        "failures": "CREATE VIEW failures AS SELECT failure, reason, count(*) AS trials, "
        "min(number) AS first_trial FROM trials WHERE failure != '' "
        "GROUP BY failure, reason ORDER BY trials DESC",
        "strategies": f"CREATE VIEW strategies AS SELECT t.run, t.strategy, count(*) AS trials, "
        f"sum(t.state = 'COMPLETE') AS completed, sum(t.state = 'FAIL') AS failed, "
        f"sum(t.copy_of IS NOT NULL) AS copies, "
        f"sum(CASE WHEN t.copy_of IS NULL THEN t.seconds END) AS worker_seconds, "
        f"sum(t.number IN ({now})) AS on_front, {', '.join(best)} "
        f"FROM trials t WHERE t.kind != 'replicate' GROUP BY t.run, t.strategy ORDER BY t.run",
    }
