"""The public names: complete, sorted, light to import."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import hqsearch
from hqsearch import errors


def test_all_is_sorted_and_every_name_is_there() -> None:
    assert hqsearch.__all__ == sorted(hqsearch.__all__)
    assert set(hqsearch.__all__) <= set(dir(hqsearch))
    for name in hqsearch.__all__:
        assert getattr(hqsearch, name) is not None


def test_all_is_complete() -> None:
    import hqsearch.api as api

    every_error = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.HqsearchError)
    }
    elsewhere = {"Exported", "Frames", "Images", "Listener", "TrainedModel", "export", "load_model"}
    expected = {*api.__all__, *every_error, *elsewhere, "__version__"}
    assert set(hqsearch.__all__) == expected


def test_every_public_class_and_method_is_documented() -> None:
    for name in hqsearch.__all__:
        value = getattr(hqsearch, name)
        if not inspect.isclass(value):
            continue
        assert value.__doc__, name
        for method, function in vars(value).items():
            if inspect.isfunction(function) and not method.startswith("_"):
                inherited = any(
                    getattr(getattr(base, method, None), "__doc__", None) for base in value.__mro__
                )
                assert inherited, f"{name}.{method}"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Studdy'"):
        hqsearch.Studdy  # noqa: B018


def test_importing_is_light_and_reading_needs_neither_torch_nor_ray(tmp_path) -> None:
    code = (
        "import sys, hqsearch\n"
        "heavy = {'numpy', 'pydantic', 'optuna', 'torch', 'ray', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "study = hqsearch.Study('toy', studies_dir=sys.argv[1])\n"
        "if len(sys.argv) > 2:\n"
        "    study.run(evaluations=12)\n"
        "else:\n"
        "    print(study.front(), study.trials(), study.status(), study.choose())\n"
        "    assert not {'torch', 'ray', 'tonic'} & set(sys.modules)\n"
    )
    for words in ([str(tmp_path), "run"], [str(tmp_path)]):
        subprocess.run([sys.executable, "-c", code, *words], check=True, cwd=tmp_path)
