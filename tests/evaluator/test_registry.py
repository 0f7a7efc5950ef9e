from __future__ import annotations

from pathlib import Path

import pytest

from hqsearch.errors import PluginError, UnknownName
from hqsearch.evaluator.registry import evaluator_class, evaluator_names


def test_built_in_names() -> None:
    assert {"toy", "short-qat"} <= set(evaluator_names())
    assert evaluator_class("toy", Path()).__name__ == "Toy"


def test_unknown_suggests() -> None:
    with pytest.raises(UnknownName, match="did you mean 'short-qat'"):
        evaluator_class("short_qta", Path())


def test_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from hqsearch.evaluators.toy import Toy\nclass Mine(Toy):\n    pass\nother = 3\n"
    )
    assert evaluator_class("mine.py:Mine", tmp_path).__name__ == "Mine"
    with pytest.raises(PluginError, match="did you mean 'Mine'"):
        evaluator_class("mine.py:Mime", tmp_path)
    with pytest.raises(PluginError, match="not a subclass"):
        evaluator_class("mine.py:other", tmp_path)
    with pytest.raises(PluginError, match="there is no file"):
        evaluator_class("absent.py:Mine", tmp_path)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import nothing_like_this\n")
    with pytest.raises(PluginError, match=r"broken\.py cannot be imported: ModuleNotFoundError"):
        evaluator_class("broken.py:Mine", tmp_path)


def test_an_incomplete_class_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text(
        "from hqsearch.evaluator import Evaluator\n"
        "class Half(Evaluator):\n"
        "    objectives = ()\n    metrics = ()\n"
        "    def layers(self): return []\n"
    )
    with pytest.raises(PluginError, match="cheap, evaluate, reference"):
        evaluator_class("half.py:Half", tmp_path)
