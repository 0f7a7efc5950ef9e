"""One trial in words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from hqsearch.evaluator.details import Details
from hqsearch.show.overview import status_text, studies_table, trial_text
from hqsearch.store.records import TrialRow


def row(**details: Any) -> TrialRow:
    facts = SimpleNamespace(
        number=3, state="COMPLETE", run=0, strategy="nsga2", kind="search", origin="", copy_of=None,
        imported=False,
        values={}, average_bits=4.0, seed=0, seconds=1.5, attempts=1, stopped_at=None,
        violation=0.0, failure=None, reason=None, details=Details(**details),
    )  # fmt: skip
    return cast(TrialRow, facts)


def test_the_entropy_of_q_k_and_v_stands_block_by_block() -> None:
    bits = {"blocks.0.attention.q": 0.5, "blocks.0.attention.k": 1.0, "blocks.1.attention.q": 0.25}
    told = trial_text(row(entropy=bits), ())
    wanted = "blocks.0.attention q 0.50, k 1.00; blocks.1.attention q 0.25"
    assert f"entropy of firing (bits): {wanted}" in told.splitlines()
    assert "entropy" not in trial_text(row(entropy={}), ())


def test_a_study_without_a_title_has_none() -> None:
    facts: dict[str, Any] = {
        "study": "edge", "title": "", "notes": [], "driver": "", "runs": [], "trials": {},
        "copies": 0, "imported": 0, "front": 0, "stopped": {}, "failures": {},
        "budgets": [], "models": [], "worker_seconds_left": None, "disk": {}, "verdict": [],
    }  # fmt: skip
    assert status_text(facts).splitlines()[0] == "edge"
    assert status_text({**facts, "title": "T"}).splitlines()[0] == "edge: T"
    table = studies_table([{"name": "edge", "title": "", "runs": []}])
    assert [str(cell) for cell in table.columns[1].cells] == ["–"]
