"""Exit code 2 means that nothing on disk has changed: the tree before and after every refusal."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hqsearch import errors
from hqsearch.cli import cli
from hqsearch.errors import InputError
from hqsearch.store.lock import DriverLock

TOML = """
space = "toy"
evaluator = "{evaluator}"
{more}
[[objective]]
name = "accuracy"
[[objective]]
name = "{second}"
"""
FILES = {
    "elsewhere.csv": "source,steem,accuracy\npaper,2u,0.9\n",
    "other.toml": TOML.format(evaluator="toy", second="energy", more=""),
    "unknown.toml": TOML.format(evaluator="toyy", second="energy", more=""),
    "joy.toml": TOML.format(evaluator="toy", second="joy", more=""),
    "broken.toml": "space = [",
    "ends.toml": TOML.format(evaluator="ends.py:Ends", second="energy", more=""),
    "ends.py": "import sys\nsys.exit(0)\n",
    "wrong.toml": TOML.format(evaluator="wrong.py:Wrong", second="energy", more=""),
    "wrong.py": "Wrong = 3\n",
    "returns.toml": TOML.format(evaluator="returns.py:Returns", second="energy", more=""),
    "returns.py": (
        "from hqsearch.evaluators.toy import Toy\n"
        "class Returns(Toy):\n"
        "    def prepare(self, context):\n"
        "        (self.setup.folder / 'half').mkdir()\n"
        "        (self.setup.folder / 'half' / 'frames').write_text('some')\n"
        "        return {'made': {1, 2}}\n"
    ),
    "data.toml": TOML.format(evaluator="data.py:Data", second="energy", more=""),
    "data.py": (
        "from hqsearch.errors import DataError\nfrom hqsearch.evaluators.toy import Toy\n"
        "class Data(Toy):\n"
        "    def prepare(self, context):\n"
        "        (self.setup.folder / 'data').mkdir()\n"
        "        (self.setup.folder / 'data' / 'half').write_text('framed')\n"
        "        raise DataError('recording 7 is empty')\n"
    ),
}
TOY = ("run", "--study", "toy", "--strategy", "random", "--evaluations", "6")
OF = ("run", "--strategy", "random", "--evaluations", "6", "--study")

#: Words of a command → the error. ``{files}`` is a folder with FILES and an empty folder in it.
REFUSED: dict[str, tuple[type[InputError], tuple[str, ...]]] = {
    "study": (errors.UnknownName, (*OF, "toyy")),
    "strategy": (errors.UnknownName, ("run", "--study", "toy", "--strategy", "nsga")),
    "option": (errors.UnknownName, (*TOY, "--set", "strategy.nsga2.assit=true")),
    "evaluator": (errors.UnknownName, (*OF, "{files}/unknown.toml")),
    "objective": (errors.UnknownName, (*OF, "{files}/joy.toml")),
    "command": (errors.UnknownName, ("rnu",)),
    "toml": (errors.DefinitionError, (*OF, "{files}/broken.toml")),
    "no toml": (errors.DefinitionError, (*OF, "{files}/none.toml")),
    "set": (errors.DefinitionError, (*TOY, "--set", "evaluation.epochs")),
    "type": (errors.DefinitionError, (*TOY, "--set", "evaluation.epochs=many")),
    "budget's grammar": (errors.DefinitionError, (*TOY, "--set", "constraints.energy=little")),
    "no data": (errors.DataError, (*OF, "dvs-gesture", "--data", "{files}/empty")),
    "half the data": (errors.DataError, (*OF, "{files}/data.toml")),
    "budget": (errors.BudgetError, (*TOY, "--set", "constraints.energy=<= 0.0001 fp32")),
    "target": (
        errors.BudgetError,
        ("run", "--study", "toy", "--strategy", "gumbel", "--set",
         "strategy.gumbel.target.energy=0.001"),
    ),
    "early stopping": (errors.DefinitionError, (*TOY, "--set", "search.early_stopping=halving")),
    "url": (errors.StorageError, (*TOY, "--storage", "mysql://here/x")),
    "device": (errors.DeviceError, (*TOY, "--device", "cuda")),
    "no cluster": (errors.DeviceError, (*TOY, "--ray-address", "127.0.0.1:1")),
    "file ends": (errors.PluginError, (*OF, "{files}/ends.toml")),
    "no evaluator": (errors.PluginError, (*OF, "{files}/wrong.toml")),
    "what it returns": (errors.PluginError, (*OF, "{files}/returns.toml")),
    "workers": (InputError, (*TOY, "--workers", "0")),
    "executor": (
        InputError, (*TOY, "--executor", "in-process", "--set", "evaluation.time_limit=3")
    ),
    "fresh on a server": (
        InputError, (*TOY, "--fresh", "--storage", "postgresql://nobody@127.0.0.1:1/x")
    ),
    "compared twice": (InputError, ("compare", "--study", "toy", "--strategies", "random,random")),
    "compared with early stopping": (
        InputError,
        ("compare", "--study", "toy", "--strategies", "random",
         "--set", "search.early_stopping=halving"),
    ),
    "cost of nothing": (InputError, ("cost", "--study", "toy")),
    "two formats": (InputError, ("front", "--study", "toy", "--json", "--csv")),
    "show what": (InputError, ("show", "--study", "toy")),
}  # fmt: skip
#: On a study that is there.
REFUSED_THERE: dict[str, tuple[type[InputError], tuple[str, ...]]] = {
    "mismatch": (errors.StudyMismatch, (*TOY, "--set", "evaluation.noise=0.1")),
    "finished": (errors.StorageError, ("resume", "--study", "toy")),
    "limits": (errors.LimitsNotMet, ("choose", "--study", "toy", "--accuracy", ">= 0.9999")),
    "no such trial": (InputError, ("show", "--study", "toy", "--trial", "999")),
    "figure": (InputError, ("front", "--study", "toy", "--plot", "front.doc")),
    "elsewhere": (errors.ImportRefused, ("import", "--study", "toy", "elsewhere.csv")),
    "layers of nobody": (InputError, ("cost", "--study", "toy", "--trial", "0")),
}
#: On a study that is not.
REFUSED_NOT_THERE: dict[str, tuple[type[InputError], tuple[str, ...]]] = {
    "resumed": (errors.StudyMissing, ("resume", "--study", "toy")),
    "confirmed": (errors.StudyMissing, ("confirm", "--study", "toy")),
    "front": (errors.StorageError, ("front", "--study", "toy")),
    "trials": (errors.UnknownName, ("trials", "--study", "toyy")),
}


@pytest.fixture
def refuse(
    tmp_path: Path, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[[type[InputError], tuple[str, ...]], None]:
    files = tmp_path / "files"
    (files / "empty").mkdir(parents=True)
    for name, text in FILES.items():
        (files / name).write_text(text)
    monkeypatch.chdir(files)

    def refuse(error: type[InputError], words: tuple[str, ...]) -> None:
        given = [word.format(files=files) for word in words]
        if given[0] not in ("rnu",):
            given += ["--studies-dir", str(tmp_path / "studies")]
        with refused(error):
            CliRunner().invoke(cli, given, catch_exceptions=False, standalone_mode=False)

    return refuse


def there(tmp_path: Path) -> None:
    words = [*TOY, "--studies-dir", str(tmp_path / "studies")]
    assert CliRunner().invoke(cli, words, catch_exceptions=False).exit_code == 0


@pytest.mark.parametrize("case", [*REFUSED, *REFUSED_NOT_THERE])
def test_a_refusal_creates_nothing(refuse: Any, case: str) -> None:
    refuse(*{**REFUSED, **REFUSED_NOT_THERE}[case])


def test_a_refusal_changes_nothing_of_a_study(refuse: Any, tmp_path: Path) -> None:
    there(tmp_path)
    for error, words in {**REFUSED, **REFUSED_THERE}.values():
        refuse(error, words)
    # Nor does --fresh, which would move it aside.
    for error, words in REFUSED.values():
        if words[0] == "run" and error is not errors.StudyMismatch:
            refuse(error, (*words, "--fresh"))
    assert [p.name for p in (tmp_path / "studies").iterdir()] == ["toy"]


def test_every_error_of_bad_input_is_in_the_tables() -> None:
    cases = {**REFUSED, **REFUSED_THERE, **REFUSED_NOT_THERE}
    tried = {error for error, _ in cases.values()} | {errors.StudyDamaged}  # further down
    tried |= {errors.ExportError}  # needs a trained network: tests/export
    kinds = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, InputError)
    }
    assert tried == kinds


def test_a_study_that_is_being_run_is_left_alone(refuse: Any, tmp_path: Path) -> None:
    there(tmp_path)
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with DriverLock(tmp_path / "studies" / "toy"):
            locked.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    locked.wait()
    try:
        for more in ((), ("--fresh",)):
            refuse(errors.StorageError, (*TOY, *more))
    finally:
        done.set()
        holder.join()


def test_what_is_no_database_is_left_alone(refuse: Any, tmp_path: Path) -> None:
    folder = tmp_path / "studies" / "toy"
    folder.mkdir(parents=True)
    (folder / "study.db").write_text("my own notes, and long enough to be a header\n" * 9)
    refuse(errors.StorageError, TOY)


def test_a_damaged_log_is_left_alone(refuse: Any, tmp_path: Path) -> None:
    there(tmp_path)
    path = tmp_path / "studies" / "toy" / "study.db"
    content = bytearray(path.read_bytes())
    content[200:] = bytes(len(content) - 200)
    path.write_bytes(content)
    refuse(errors.StudyDamaged, TOY)


def test_what_goes_wrong_after_hours_of_preparation_is_a_failed_run(tmp_path: Path) -> None:
    (tmp_path / "late.toml").write_text(
        TOML.format(evaluator="late.py:Late", second="energy", more="")
        + '[constraints]\nenergy = "<= 0.0001 fp32"\n'
    )
    (tmp_path / "late.py").write_text(
        "from hqsearch.evaluators.toy import Toy\nfrom hqsearch.evaluator import Resources\n"
        "class Late(Toy):\n"
        "    def prepare(self, context):\n"
        "        context.run_task({}, Resources(), lambda: None)\n"
        "        return {}\n"
        "    def prepare_task(self, payload):\n"
        "        (self.setup.folder / 'parent').write_text('trained')\n"
        "        return {}\n"
        "    def reference(self):\n"
        "        (self.setup.folder / 'parent').read_text()\n"
        "        return super().reference()\n"
    )
    words = [*OF, str(tmp_path / "late.toml"), "--studies-dir", str(tmp_path / "studies")]
    with pytest.raises(errors.BudgetError) as raised:
        CliRunner().invoke(cli, words, catch_exceptions=False, standalone_mode=False)
    assert raised.value.exit_code == 1
    assert (tmp_path / "studies" / "late" / "parent").read_text() == "trained"
    # Prepared already: now it is a refusal.
    with pytest.raises(errors.BudgetError) as raised:
        CliRunner().invoke(cli, words, catch_exceptions=False, standalone_mode=False)
    assert raised.value.exit_code == 2
