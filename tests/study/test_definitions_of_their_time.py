"""Studies whose shipped definition, space or default profile has changed since their log began."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hqsearch.definition import files, load_study, recorded
from hqsearch.definition.recorded import located_definition
from hqsearch.errors import StudyMismatch
from hqsearch.study import asked, opening
from hqsearch.study.asked import asked_definition
from hqsearch.study.checking import check_study
from hqsearch.study.opening import Request, recorded_study


def attributes(folder: Path, name: str = "toy") -> dict[str, Any]:
    place = folder.resolve() / name
    return recorded_study(f"sqlite:///{place / 'study.db'}", name, place)


@pytest.fixture
def changed(tmp_path: Path, launched: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log of the toy, which then comes along with other choices and another noise."""
    launched.run(tmp_path / "s", evaluations=8)
    shipped = tmp_path / "shipped"
    for kind in ("studies", "spaces"):
        (shipped / kind).mkdir(parents=True)
        for name, path in files.embedded(kind).items():
            text = path.read_text()
            if (kind, name) == ("spaces", "toy"):
                text = 'choices = ["2u", "3u", "4u", "fp32"]\n'
            if (kind, name) == ("studies", "toy"):
                text = text.replace("[[objective]]", "[evaluation]\nnoise = 0.01\n[[objective]]", 1)
            (shipped / kind / path.name).write_text(text)

    def embedded(kind: str) -> dict[str, Path]:
        return {p.stem: p for p in sorted((shipped / kind).glob("*.toml"))}

    for module in (files, asked, recorded, opening):
        monkeypatch.setattr(module, "embedded", embedded)
    return tmp_path / "s"


def test_run_goes_on_with_the_log_and_says_so(changed: Path, launched: Any) -> None:
    found = asked_definition(Request("toy", "nsga2", studies_dir=changed))
    (note,) = found.notes
    assert "goes on with the definition in its log" in note
    assert "evaluation.noise, space.choices" in note
    finished = launched.run(changed, evaluations=12)
    assert (finished.finished, finished.mismatches) == (12, 0)
    keys = {row[2] for row in launched.table(changed)}
    assert any("2l" in key for key in keys)
    assert not any("3u" in key for key in keys)
    check = check_study(Request("toy", "nsga2", studies_dir=changed))
    assert check.problems == []
    assert f"note: {note}" in check.notes


def test_resume_and_reading_know_the_space_of_then(changed: Path, launched: Any) -> None:
    definition = located_definition(attributes(changed), "toy", changed)
    assert not isinstance(definition.space, str)
    assert definition.space.choices == ("2u", "4u", "2l", "4l", "fp32")
    launched.run(changed, evaluations=9)
    with pytest.raises(StudyMismatch, match="noise"):
        launched.run(changed, evaluations=10, overrides={"evaluation.noise": 0.5})
    launched.run(changed, evaluations=10, fresh=True)
    assert any("3u" in row[2] for row in launched.table(changed))


def test_nothing_is_said_where_nothing_has_changed(tmp_path: Path, launched: Any) -> None:
    launched.run(tmp_path, evaluations=7, overrides={"evaluation.noise": 0.01})
    assert asked_definition(Request("toy", "nsga2", studies_dir=tmp_path)).notes == ()
    with pytest.raises(StudyMismatch, match=r"evaluation[.]noise"):
        launched.run(tmp_path, evaluations=8)


def test_the_space_that_logs_until_0_2_name_is_the_papers() -> None:
    """They name ``spikformer`` and hold no space; it had SpikeHQ's five choices."""
    definition = load_study(files.embedded("studies")["gesture"]).model_dump(mode="json")
    found = located_definition({"definition": definition}, "gesture", Path("absent"))
    assert found.space == "spikehq"
    held = {"definition": definition, "space": files.space_tables(found)}
    space = located_definition(held, "gesture", Path("absent")).space
    assert not isinstance(space, str)
    assert space.choices == ("2u", "4u", "2l", "4l", "fp32")


def test_a_definition_without_a_profile_keeps_that_of_its_log(
    tmp_path: Path, launched: Any, study_file: Callable[..., Path]
) -> None:
    study = str(study_file("own"))
    request = Request(study, "nsga2", studies_dir=tmp_path / "s")
    assert asked_definition(request).definition.hardware.profile == "resident-45nm"
    early = {"hardware.profile": "horowitz-45nm-memory"}
    launched.run(tmp_path / "s", study, evaluations=7, overrides=early)
    assert asked_definition(request).definition.hardware.profile == "horowitz-45nm-memory"
    named = Request(study, "nsga2", studies_dir=tmp_path / "s",
                    overrides={"hardware.profile": "sop-45nm"})  # fmt: skip
    assert asked_definition(named).definition.hardware.profile == "sop-45nm"
    described = load_study(Path(study))
    python = Request("own", "nsga2", studies_dir=tmp_path / "s", definition=described)
    assert asked_definition(python).definition.hardware.profile == "horowitz-45nm-memory"
