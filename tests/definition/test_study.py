from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hqsearch.definition import (
    changed_study,
    embedded,
    find_definition,
    load_space,
    load_study,
    parse_override,
)
from hqsearch.errors import DefinitionError, UnknownName


@pytest.mark.parametrize("name", sorted(embedded("studies")))
def test_embedded_studies_load_and_name_known_spaces(name: str) -> None:
    study = load_study(embedded("studies")[name])
    assert study.name == name
    assert study.title
    assert load_space(study.space, study).choices


def test_all_promised_studies_are_there() -> None:
    promised = {"toy", "gesture", "dvs-gesture", "cifar10-dvs", "n-caltech101", "nmnist"}
    assert promised <= set(embedded("studies"))


def test_unknown_key_names_place_and_closest(study_file: Callable[..., Path]) -> None:
    with pytest.raises(UnknownName, match="did you mean 'evaluations'") as told:
        load_study(study_file(evalutions=3))
    assert "mine.toml" in str(told.value)
    with pytest.raises(UnknownName, match=r"\[data\].*did you mean 'encoding'"):
        load_study(study_file(extra='[data]\ndataset = "nmnist"\nencodng = "log2"'))


def test_malformed_toml_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('title = "x"\nspace = \n')
    with pytest.raises(DefinitionError, match=r"bad\.toml.*line 2"):
        load_study(path)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("evaluations=0", "evaluations"),
        ("evaluations=many", "evaluations"),
        ("seed=-1", "seed"),
        ("data.size=4", "size"),
    ],
)
def test_values_out_of_range_are_refused(override: str, told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        load_study(embedded("studies")["gesture"], dict([parse_override(override)]))


def test_overrides_reach_nested_keys_and_keep_types() -> None:
    overrides = dict(
        parse_override(t)
        for t in ("strategy.nsga2.population=8", "constraints.energy=<= 0.5 fp32", "data.size=16")
    )
    study = load_study(embedded("studies")["gesture"], overrides)
    assert study.strategy["nsga2"]["population"] == 8
    assert study.constraints["energy"] == "<= 0.5 fp32"
    assert study.data is not None
    assert study.data.size == 16


def test_override_of_an_unknown_key_is_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean 'model'"):
        load_study(embedded("studies")["gesture"], {"modle.depth": 3})
    with pytest.raises(DefinitionError, match=r"expected key\.path=value"):
        parse_override("novalue")


def test_a_network_has_one_source(study_file: Callable[..., Path]) -> None:
    with pytest.raises(DefinitionError, match="either name"):
        load_study(study_file(extra='[model]\nname = "spikformer"\npath = "a.py:b"'))


def test_names_are_found_in_the_studies_folder_first(study_file: Callable[..., Path]) -> None:
    path = study_file("toy", title="my own")
    assert find_definition("toy", path.parent) == path
    with pytest.raises(UnknownName, match="did you mean 'gesture'"):
        find_definition("gestre", path.parent)


def test_fewer_than_two_objectives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.toml"
    path.write_text('space = "toy"\nevaluator = "toy"\n[[objective]]\nname = "accuracy"\n')
    with pytest.raises(DefinitionError, match="at least two"):
        load_study(path)


def test_a_space_may_stand_in_the_study_itself(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    rest = 'evaluator = "toy"\n[[objective]]\nname = "accuracy"\n[[objective]]\nname = "energy"\n'
    path.write_text(f'{rest}[space]\nchoices = ["2u", "4u"]\n')
    study = load_study(path)
    assert load_space(study.space, study).choices == ("2u", "4u")
    again = changed_study(study, {"seed": 3, "space.choices": ["8u"]})
    assert (again.seed, load_space(again.space, again).choices) == (3, ("8u",))
    path.write_text(f'{rest}[space]\nchoices = ["2u"]\nchoise = []\n')
    with pytest.raises(UnknownName, match="did you mean 'choices'"):
        load_study(path)
    path.write_text(f"space = 3\n{rest}")
    with pytest.raises(DefinitionError, match="space: expected a name, a TOML file or a table"):
        load_study(path)
