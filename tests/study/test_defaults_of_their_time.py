"""Runs that were logged before an option existed go on as they began."""

from __future__ import annotations

from dataclasses import replace

from hqsearch.store.records import RunRecord
from hqsearch.strategies import strategy_class
from hqsearch.study.identity import of_its_time


def logged(strategy: str, options: dict[str, object]) -> RunRecord:
    return RunRecord(0, strategy, 0, {"strategy": options, "constraints": {}}, 8, 0, (), {})


def test_options_that_a_log_lacks_are_what_they_were() -> None:
    kind = strategy_class("nsga2")
    then = {
        k: v
        for k, v in kind.Options().model_dump(mode="json").items()
        if k not in kind.Options.BEFORE
    }
    run = logged("nsga2", {**then, "prior": False})
    found = kind.Options.model_validate(of_its_time(run)["strategy"])
    assert (found.prior, found.solved, found.drawn) == (False, 0, 0)
    assert found.errors == "additive"


def test_what_a_log_holds_stays() -> None:
    dumped = strategy_class("nsga2").Options().model_dump(mode="json")
    run = logged("nsga2", dumped)
    assert of_its_time(run) == run.options
    none = replace(run, strategy="sensitivity", options={"strategy": {}, "constraints": {}})
    assert of_its_time(none)["strategy"] == {"neighbours": False}
