from __future__ import annotations

from pathlib import Path

import pytest

import hqsearch
from hqsearch.errors import DefinitionError, InputError, UnknownName


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> hqsearch.Trials:
    study = hqsearch.Study("toy", studies_dir=tmp_path_factory.mktemp("selecting"))
    study.run("random", evaluations=20)
    return study.trials()


def test_conditions_choose_and_columns_sort(trials: hqsearch.Trials) -> None:
    some = trials.select("energy <= 20 uJ", "accuracy >= 70 %", sort="-accuracy", limit=3)
    assert 0 < len(some) <= 3
    accuracies = [t.values["accuracy"] for t in some if t.values]
    assert accuracies == sorted(accuracies, reverse=True)
    assert min(accuracies) >= 0.7
    assert all(t.values["energy"] <= 20 for t in some if t.values)
    uniform = trials.select("kind = baseline")
    assert [t.kind for t in uniform] == ["baseline"] * 5
    assert all(t.choices["head"] == "4u" for t in trials.select("head=4u"))
    assert len(trials.select("head != 4u")) + len(trials.select("head = 4u")) == len(trials)
    assert len(trials.select("state = complete")) == 20
    assert trials.select("copy_of >= 0").as_json() == []
    assert [t.number for t in trials.select(sort="number", limit=2)] == [0, 1]
    assert len(trials.select("number < 3", limit=0)) == 0


@pytest.mark.parametrize(
    ("condition", "kind", "match"),
    [
        ("enrgy < 3", UnknownName, "did you mean 'energy'"),
        ("energy < 3 KiB", DefinitionError, "units: "),
        ("energy", DefinitionError, "expected COLUMN OPERATOR VALUE"),
        ("state < 3", DefinitionError, "only = and != go with it"),
        ("accuracy >= much", DefinitionError, "expected a number"),
    ],
)
def test_what_cannot_be_read_is_told(
    trials: hqsearch.Trials, condition: str, kind: type[Exception], match: str
) -> None:
    with pytest.raises(kind, match=match):
        trials.select(condition)


def test_orders_and_limits_are_checked(trials: hqsearch.Trials, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="column 'energie'"):
        trials.select(sort="-energie")
    with pytest.raises(InputError, match="at least 0"):
        trials.select(limit=-1)
