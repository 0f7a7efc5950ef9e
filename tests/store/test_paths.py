"""Paths are not URLs, names are folders, and passwords stay where they were typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hqsearch.definition import checked_name, find_definition, study_name
from hqsearch.errors import DefinitionError, StorageError
from hqsearch.store.database import shown, sqlite_path, storage_url
from hqsearch.store.log import LogReader
from hqsearch.study.running import Request, start

NAMES = ("run%41", "a%20b", "what?mode=memory", "top#1", "a b", "straße 軸", "{x}", "a&b=c", "50%")


@pytest.mark.parametrize("name", [*NAMES, "two\nlines", "file:x", "@:"])
def test_a_path_comes_back_from_its_url(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    assert sqlite_path(storage_url(None, folder)) == folder / "study.db"
    assert shown(storage_url(None, folder)) == str(folder / "study.db")


@pytest.mark.parametrize("name", NAMES)
def test_a_study_lies_in_the_folder_that_was_named(tmp_path: Path, name: str) -> None:
    studies = tmp_path / name
    start(Request("toy", "random", evaluations=2, studies_dir=studies))
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert (studies / "toy" / "study.db").is_file()
    reader = LogReader(storage_url(None, studies / "toy"), "toy")
    assert len(reader.trials()) == 2
    reader.close()


@pytest.mark.parametrize("name", ["50%", "a%20b", "why?", "a#b", "edge 4u"])
def test_studies_may_be_called_so(tmp_path: Path, study_file: object, name: str) -> None:
    file: Path = study_file(name)  # type: ignore[operator]
    start(Request(str(file), "random", evaluations=2, studies_dir=tmp_path / "s"))
    assert [p.name for p in (tmp_path / "s").iterdir()] == [name]
    assert (tmp_path / "s" / name / "study.db").is_file()


@pytest.mark.parametrize(
    "study",
    [
        *("...toml", "..toml", ".toml", "..", "", " ", ".hidden", "-x"),
        *("a\\b", "a\x00b", "a\nb", "é" * 101, "\udcff"),
    ],
)
def test_names_that_are_no_folder_are_refused(tmp_path: Path, study: str) -> None:
    with pytest.raises(DefinitionError, match="a study cannot be called"):
        study_name(study)
    with pytest.raises(DefinitionError, match="a study cannot be called"):
        find_definition(study, tmp_path)


def test_a_definition_cannot_write_outside_the_studies(tmp_path: Path, study_file: object) -> None:
    study_file("..")  # type: ignore[operator]
    inside = tmp_path / "deep" / "studies"
    with pytest.raises(DefinitionError, match="starts with a dot"):
        start(Request(str(tmp_path / "...toml"), "random", evaluations=2, studies_dir=inside))
    assert [p.name for p in tmp_path.iterdir()] == ["...toml"]


def test_names_as_long_as_they_may_be() -> None:
    assert checked_name("x" * 200) == "x" * 200
    with pytest.raises(DefinitionError, match="201 bytes"):
        checked_name("x" * 201)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:s3cret@host/db",
        "postgresql+psycopg://host/db?user=me&password=s3cret",
        "postgresql+psycopg://me@host/db?sslmode=require&sslpassword=s3cret",
        "postgresql+psycopg://host/db?PASSWORD=s3cret",
    ],
)
def test_passwords_are_not_shown(url: str) -> None:
    assert "s3cret" not in shown(url)
    assert "***" in shown(url)


@pytest.mark.parametrize(
    "given",
    [
        "mysql://me:s3cret@host/db",
        "mysql://host/db?password=s3cret",
        "mysql://host/db?password=s3cret@home",
        "postgresql://me:s3cret@host:port/db",
    ],
)
def test_passwords_are_not_in_refusals(tmp_path: Path, given: str) -> None:
    with pytest.raises(StorageError) as told:
        storage_url(given, tmp_path)
    assert "s3cret" not in str(told.value)
