"""Dimensions are honoured or refused by name, before anything is created."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hqsearch.definition import embedded, load_study
from hqsearch.errors import DefinitionError
from hqsearch.evaluator import Setup
from hqsearch.evaluator.registry import make_evaluator

CHOICES = 'choices = ["2u", "4u", "fp32"]\n'


@pytest.fixture
def refused(tmp_path: Path, launched: Any, study_file: Callable[..., Path]) -> Callable[..., str]:
    """What a run on a space with this ``[[structure]]`` is told, and that it left nothing."""

    def run(structure: str, evaluator: str = "toy", strategy: str = "random", **top: Any) -> str:
        tables = structure.replace("|", "\n")
        (tmp_path / "space.toml").write_text(f"{CHOICES}{tables}\n")
        study = study_file(space="space.toml", evaluator=evaluator, **top)
        with pytest.raises(DefinitionError) as told:
            launched.run(tmp_path / "studies", str(study), strategy=strategy)
        assert not (tmp_path / "studies").exists()
        return str(told.value)

    return run


@pytest.mark.parametrize("strategy", ["random", "nsga2", "sensitivity"])
def test_a_kind_that_an_evaluator_does_not_honour(
    refused: Callable[..., str], strategy: str
) -> None:
    told = refused("[[structure]]|name = 'timesteps'|values = [4, 2]", "synthetic", strategy)
    assert "'synthetic' does not honour dimension 'timesteps' of kind structure" in told
    assert "searches weights alone" in told


@pytest.mark.parametrize(
    ("study", "name", "told"),
    [
        ("synthetic", "timesteps", "'synthetic' does not honour .* 'timesteps'"),
        ("gesture", "depth", "'short-qat' has no structural setting 'depth'"),
    ],
)
def test_what_is_not_honoured_is_refused(tmp_path: Path, study: str, name: str, told: str) -> None:
    (tmp_path / "space.toml").write_text(
        f"{CHOICES}[[structure]]\nname = '{name}'\nvalues = [4, 2]\n"
    )
    given = {"space": str(tmp_path / "space.toml")}
    definition = load_study(embedded("studies")[study], given)
    evaluator = make_evaluator(Setup(definition, tmp_path / "state"))
    with pytest.raises(DefinitionError, match=told):
        _ = evaluator.space


def test_a_setting_that_an_evaluator_does_not_have(refused: Callable[..., str]) -> None:
    told = refused("[[structure]]|name = 'timestep'|values = [4, 2]")
    assert "evaluator 'toy' has no structural setting 'timestep'" in told
    assert "did you mean 'timesteps'?" in told
    assert "It offers: timesteps" in told


@pytest.mark.parametrize("values", ["[4, 8]", "[4, 0]", "[4, '2']", "[4, 2.0]", "[4, true]"])
def test_a_value_that_an_evaluator_does_not_take(refused: Callable[..., str], values: str) -> None:
    told = refused(f"[[structure]]|name = 'timesteps'|values = {values}")
    assert "'timesteps' has the value" in told
    assert "evaluator 'toy' does not take" in told


def test_more_parts_than_a_study_allows(refused: Callable[..., str]) -> None:
    told = refused("[[structure]]|name = 'timesteps'|values = [4, 2, 1]", max_structures=2)
    assert "has 3 structural parts (timesteps 3) and the study allows 2" in told
    assert "max_structures = 3" in told
    told = refused("[[structure]]|name = 'timesteps'|values = [4]", max_structures=0)
    assert "max_structures" in told


def test_eight_parts_are_allowed_unless_a_study_says_more(
    tmp_path: Path, study_file: Callable[..., Path]
) -> None:
    (tmp_path / "many.py").write_text(
        "from typing import Any, ClassVar, Mapping\n"
        "from hqsearch.evaluators.toy import Toy\n"
        "class Many(Toy):\n"
        "    structure: ClassVar[Mapping[str, Any]] = {'a': int, 'b': str}\n"
    )
    (tmp_path / "space.toml").write_text(
        f"{CHOICES}[[structure]]\nname = 'a'\nvalues = [1, 2, 3]\n"
        "[[structure]]\nname = 'b'\nvalues = ['x', 'y', 'z']\n"
    )

    def parts(**top: Any) -> int:
        study = study_file(space="space.toml", evaluator="many.py:Many", **top)
        return len(make_evaluator(Setup(load_study(study), tmp_path / "state")).space.parts)

    with pytest.raises(DefinitionError, match=r"9 structural parts \(a 3 × b 3\).*allows 8"):
        parts()
    assert parts(max_structures=9) == 9
