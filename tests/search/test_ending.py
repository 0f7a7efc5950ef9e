"""A search that ends before its number of evaluations: time is over, or little is to be gained."""

from __future__ import annotations

from pathlib import Path

import pytest

from hqsearch.search.stalling import Stalling
from tests.search.engine_parts import OBJECTIVES, Cut, Scripted, Study, Workers, at

STEPS = [at(1, 0, 0), at(0, 1, 0), at(0, 0, 1), at(1, 1, 0), at(1, 0, 1), at(0, 1, 1)]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


def keys(study: Study) -> list[str]:
    return [r.proposal.key for r in study.log.records]


@pytest.mark.parametrize("capacity", [1, 2])
def test_nothing_is_begun_when_time_is_over_and_what_runs_is_finished(
    study: Study, capacity: int
) -> None:
    study.workers = Workers(capacity)
    search = study.run(Scripted(*STEPS), over=lambda: len(study.log.records) >= 4)
    assert search.out_of_time
    assert (search.finished, len(study.log.records)) == (4, 4)
    whole = Study(study.folder / "whole")
    whole.run(Scripted(*STEPS))
    gone_on = study.run(Scripted(*STEPS))
    assert not gone_on.out_of_time
    assert keys(study) == keys(whole)


def test_what_was_cut_off_is_not_begun_either(study: Study) -> None:
    study.workers.leaves_files = False
    study.log.cut = 5
    with pytest.raises(Cut):
        study.run(Scripted(*STEPS))
    study.log.cut = -1
    left = [r.number for r in study.log.records if not r.finished]
    begun = len(study.workers.submitted)
    study.workers.waiting.clear()
    search = study.run(Scripted(*STEPS), over=lambda: True)
    assert search.out_of_time
    assert left
    assert len(study.workers.submitted) == begun


def test_time_that_is_over_at_the_end_changes_nothing(study: Study) -> None:
    study.run(Scripted(*STEPS), evaluations=4)
    search = study.run(Scripted(*STEPS), evaluations=4, over=lambda: True)
    assert not search.out_of_time


def test_a_batch_that_promises_little_is_not_begun(study: Study) -> None:
    stalling = Stalling(OBJECTIVES, 2, 2)

    def strategy() -> Scripted:
        made = Scripted(*STEPS)
        made.promises = {STEPS[0]: 0.2, STEPS[2]: 0.004, STEPS[4]: 0.003}
        return made

    search = study.run(strategy(), stalling=stalling)
    assert search.stalled.startswith("the next batch would bring 0.30 %")
    assert keys(study)[2:] == [c.key for c in STEPS[:4]]
    assert [r.proposal.promise for r in study.log.records[2:]] == [0.2, None, 0.004, None]
    again = study.run(strategy(), stalling=stalling)
    assert (again.stalled, again.mismatches) == (search.stalled, 0)
    assert len(study.log.records) == 6
    gone_on = study.run(strategy())
    assert (gone_on.stalled, gone_on.finished) == ("", 8)


@pytest.mark.parametrize("capacity", [1, 3])
def test_what_a_batch_has_added_is_seen_with_any_number_of_workers(
    study: Study, capacity: int
) -> None:
    study.workers = Workers(capacity, last=True)
    stalling = Stalling(OBJECTIVES, 2, 2)
    search = study.run(Scripted(*STEPS), stalling=stalling)
    alone = Study(study.folder / "alone")
    first = alone.run(Scripted(*STEPS), stalling=stalling)
    assert keys(study) == keys(alone)
    assert search.stalled == first.stalled


@pytest.mark.parametrize("cut", range(3, 12))
def test_a_run_that_was_cut_stalls_where_a_whole_one_does(study: Study, cut: int) -> None:
    stalling = Stalling(OBJECTIVES, 2, 2)

    def strategy() -> Scripted:
        made = Scripted(*STEPS)
        made.promises = {STEPS[0]: 0.2, STEPS[2]: 0.004, STEPS[4]: 0.003}
        return made

    study.log.cut = cut
    with pytest.raises(Cut):
        study.run(strategy(), stalling=stalling)
    study.log.cut, study.workers.waiting = -1, []
    search = study.run(strategy(), stalling=stalling)
    assert search.stalled
    assert keys(study)[2:] == [c.key for c in STEPS[:4]]
