"""What all parts of a study share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.qat.study import QatStudy

MakeStudy = Callable[..., QatStudy]


def test_a_study_without_data_or_model_is_refused(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(tmp_path)
    for table in ("data", "model"):
        definition = study.definition.model_copy(update={table: None})
        with pytest.raises(DefinitionError, match=r"short-qat needs \[data\] and \[model\]"):
            replace(study, definition=definition)


def test_settings_of_a_part_override_the_model(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(tmp_path)
    assert study.model({}) is study.definition.model
    changed = study.model({"timesteps": "1", "depth": 2})
    assert (changed.timesteps, changed.options["depth"]) == (1, 2)
    assert changed.options["embed_dim"] == 16
    with pytest.raises(DefinitionError, match=r"\[\[structure\]\]: timesteps"):
        study.model({"timesteps": 0})


def test_identities_leave_out_what_changes_no_result(make_study: MakeStudy, tmp_path: Path) -> None:
    plain = make_study(tmp_path)
    other = make_study(tmp_path, {"evaluation.retries": 7, "evaluation.time_limit": 60.0})
    assert plain.settings() == other.settings()
    assert plain.settings() != make_study(tmp_path, {"evaluation.epochs": 9}).settings()
    assert {"path", "download"} & set(plain.data_identity()) == set()
    assert plain.data_identity()["dataset"] == "simulated-gestures"


def test_a_users_file_is_identified_by_its_contents(make_study: MakeStudy, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("def build(**_): ...")
    study = make_study(tmp_path)
    definition = study.definition.model_copy(update={"folder": tmp_path})
    study = replace(study, definition=definition)
    model = study.model({}).model_copy(update={"name": None, "path": "net.py:build"})
    before = study.model_identity(model)["path"]
    assert before.startswith("net.py:build sha256 ")
    (tmp_path / "net.py").write_text("def build(**_): pass")
    assert study.model_identity(model)["path"] != before


def test_profiles_come_by_name(make_study: MakeStudy, tmp_path: Path) -> None:
    assert make_study(tmp_path, {"hardware.profile": "sop-45nm"}).profile.name == "sop-45nm"
    with pytest.raises(UnknownName, match="hardware profile"):
        _ = make_study(tmp_path, {"hardware.profile": "sop-54nm"}).profile
