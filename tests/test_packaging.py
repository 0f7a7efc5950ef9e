"""What is shipped: the list of packages, the wheel, and the shape of the tree."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PLUGGABLE = ("evaluators", "spaces", "studies")


def test_every_package_is_listed() -> None:
    """An unlisted subpackage works editable and vanishes from the wheel."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = [p.parent.relative_to(ROOT) for p in (ROOT / "hqsearch").rglob("__init__.py")]
    found += [Path("hqsearch") / name for name in PLUGGABLE]
    assert sorted(listed) == sorted(".".join(p.parts) for p in found)


def test_top_level_is_the_agreed_one() -> None:
    expected = {
        "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md",
        "hqsearch", "tests", *PLUGGABLE,
    }  # fmt: skip
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode:
        pytest.skip("not a git checkout")
    top = {line.split("/")[0] for line in tracked.stdout.splitlines()}
    assert {name for name in top if not name.startswith(".")} == expected


def test_no_file_is_too_long() -> None:
    folders = ("hqsearch", *PLUGGABLE, "tests")
    code = [p for folder in folders for p in (ROOT / folder).rglob("*.py")]
    assert {p.name: n for p in code if (n := len(p.read_text().splitlines())) > 500} == {}


def test_nothing_is_unpickled() -> None:
    forbidden = re.compile(
        r"\b(pickle\.load|torch\.load\((?![^\n]*weights_only=True)|allow_pickle=True|joblib\.load)"
    )
    for folder in ("hqsearch", "evaluators"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not forbidden.search(path.read_text()), path


def test_the_wheel_runs_elsewhere(tmp_path: Path) -> None:
    """Built, unpacked into an environment of its own, run in an empty directory."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", tmp_path, ROOT],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        shipped = set(packed.namelist())
    pages = {f"hqsearch/guide/{page.name}" for page in (ROOT / "hqsearch/guide").glob("*.md")}
    assert pages
    assert pages <= shipped
    venv.create(tmp_path / "env", system_site_packages=False, with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    site = next((tmp_path / "env" / "lib").iterdir()) / "site-packages"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel],
        check=True,
        capture_output=True,
    )
    # The dependencies of this environment, behind the wheel and without this checkout.
    dependencies = [p for p in sys.path if p.endswith("site-packages")]
    environment = {**os.environ, "PYTHONPATH": ":".join([str(site), *dependencies])}
    empty = tmp_path / "empty"
    empty.mkdir()

    def run(*words: str) -> str:
        code = "import sys, hqsearch.cli as m; print(m.__file__, file=sys.stderr); m.main()"
        done = subprocess.run(
            [python, "-c", code, *words],
            cwd=empty,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert str(site) in done.stderr
        return done.stdout

    run("run", "--study", "toy", "--strategy", "nsga2", "--evaluations", "50")
    assert len(json.loads(run("trials", "--study", "toy", "--json"))) == 50
    names = {study["name"] for study in json.loads(run("studies", "--json"))}
    assert {"toy", "gesture", "nmnist"} <= names
    assert "first-steps" in run("guide")
    assert run("guide", "commands").startswith("# The commands")
