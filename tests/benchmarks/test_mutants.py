"""The tool that breaks lines: what it draws, and what it makes of tests that notice or do not."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

MODULE = '''"""A docstring with 1 < 2 and x - y."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    LIMIT = 1 - 2

Both = int | float


def middle(values: list[float], low: int | None = 0) -> float:
    """Not 3 + 4."""
    if not values:
        raise ValueError("nothing of 5 < 6" + str(7))
    ordered = sorted(values)
    total = ordered[0] + (ordered[-1] - abs(low or 0))  # µ
    total *= 2.0
    if len(values) < 3 and values:
        return min(total, 9.0)
    return total / 4
'''
PACKAGE = "hqsearch"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import mutants

    return mutants  # type: ignore[no-any-return]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A module of which a test notices two of what can be broken, and a config of its own."""
    root = tmp_path / "checkout"
    for folder in (root / PACKAGE, root / "tests"):
        folder.mkdir(parents=True)
    (root / PACKAGE / "toy.py").write_text(MODULE)
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (root / "tests" / "test_toy.py").write_text(
        "from hqsearch.toy import middle\n\n"
        "def test_middle():\n    assert middle([1.0, 2.0]) == 6.0\n"
    )
    (root / PACKAGE / "__init__.py").touch()
    return root


def test_a_draw_repeats_and_every_mutant_is_one_line_that_compiles(
    tool: ModuleType, checkout: Path
) -> None:
    count = sum(1 for ways in tool.places(MODULE) if ways)
    drawn = tool.draw(checkout, ["hqsearch/toy.py"], count, 3)
    assert drawn == tool.draw(checkout, ["hqsearch"], count, 3)
    assert drawn[:5] != tool.draw(checkout, ["hqsearch"], 5, 4)
    before = MODULE.split("\n")
    for mutant in drawn:
        after = tool.apply(MODULE, mutant.line, mutant.mutated)
        assert tool.compiles(after)
        differ = [i for i, pair in enumerate(zip(before, after.split("\n"), strict=True), 1)
                  if pair[0] != pair[1]]  # fmt: skip
        assert differ == [mutant.line]
        assert before[mutant.line - 1] == mutant.original
    with pytest.raises(SystemExit, match="there are only"):
        tool.draw(checkout, ["hqsearch"], count + 1, 3)


def test_every_way_to_break_a_line(tool: ModuleType) -> None:
    ways = {}
    for changes in tool.places(MODULE):
        for change in changes:
            ways.setdefault(change.original.strip(), []).append(change.mutated.strip())
    assert ways["if not values:"] == ["if values:"]
    assert ways['raise ValueError("nothing of 5 < 6" + str(7))'] == ["pass"]
    assert {"total /= 2.0", "total *= 3.0", "total *= 1.0", "total *= (-2.0)", "pass"} == set(
        ways["total *= 2.0"]
    )
    assert "if len(values) <= 3 and values:" in ways["if len(values) < 3 and values:"]
    assert "if len(values) < 3 or values:" in ways["if len(values) < 3 and values:"]
    assert "return max(total, 9.0)" in ways["return min(total, 9.0)"]
    assert {"return None", "return -(total / 4)", "return total * 4"} <= set(
        ways["return total / 4"]
    )
    line = "total = ordered[0] + (ordered[-1] - abs(low or 0))  # µ"
    assert {
        "total = ordered[-1] + (ordered[-1] - abs(low or 0))  # µ",
        "total = ordered[0] + (ordered[0] - abs(low or 0))  # µ",
        "total = ordered[0] + (((abs(low or 0)) - (ordered[-1])))  # µ",
        "total = ordered[0] + (ordered[-1] - (low or 0))  # µ",
        "total = ordered[0] + (ordered[-1] + abs(low or 0))  # µ",
    } <= set(ways[line])
    # What binds a name for the first time would only be missed, and text is no logic.
    assert set(ways) == {
        "def middle(values: list[float], low: int | None = 0) -> float:",
        "if not values:",
        'raise ValueError("nothing of 5 < 6" + str(7))',
        line,
        "total *= 2.0",
        "if len(values) < 3 and values:",
        "return min(total, 9.0)",
        "return total / 4",
    }


def test_what_tests_notice_is_killed_and_a_run_goes_on(
    tool: ModuleType, checkout: Path, tmp_path: Path
) -> None:
    drawn = tool.draw(checkout, ["hqsearch/toy.py"], 23, 0)
    killed = next(m for m in drawn if m.mutated.strip() == "if values:")
    survived = next(m for m in drawn if m.original.strip() == "return total / 4")
    gone = tool.Mutant("hqsearch/toy.py", 3, "not = there", "is = not", "number")
    results = tmp_path / "results.jsonl"
    tool.run(checkout, [killed, survived], results, 1)
    assert tool.read(results) == [(killed, "killed"), (survived, "survived")]
    tool.run(checkout, [killed, survived, gone], results, 1)
    assert tool.read(results)[2:] == [(gone, "stale")]
    assert (checkout / PACKAGE / "toy.py").read_text() == MODULE
    text = tool.table(tool.read(results))
    assert "hqsearch                              1        1  50.0%  9.5% to 90.5%" in text
    assert f"survived hqsearch/toy.py:{survived.line} [{survived.operator}]" in text
    assert "1 not tried" in text


def test_none_is_begun_when_time_is_over(tool: ModuleType, checkout: Path, tmp_path: Path) -> None:
    drawn = tool.draw(checkout, ["hqsearch/toy.py"], 2, 0)
    tool.run(checkout, drawn, tmp_path / "results.jsonl", 1, seconds=-1.0)
    assert tool.read(tmp_path / "results.jsonl") == []


def test_the_list_names_files_that_are_there(tool: ModuleType) -> None:
    told = json.loads(Path(__file__).with_name("mutants.json").read_text())
    assert {m["file"] for m in told["mutants"]} == set(told["paths"])
    assert [name for name in told["paths"] if not (tool.ROOT / name).is_file()] == []
    assert len(told["mutants"]) + told["gone"] == told["drawn"] == 300


def test_tests_that_fail_without_a_mutant_are_refused(
    tool: ModuleType, checkout: Path, tmp_path: Path
) -> None:
    (checkout / "tests" / "test_toy.py").write_text("def test_no():\n    assert False\n")
    drawn = tool.draw(checkout, ["hqsearch/toy.py"], 1, 0)
    with pytest.raises(SystemExit, match=r"without any mutant these tests fail:\ntests/test_toy"):
        tool.run(checkout, drawn, tmp_path / "results.jsonl", 1)


def test_tests_are_found_beside_the_module_or_in_its_folder(
    tool: ModuleType, checkout: Path
) -> None:
    assert tool.tests_of(checkout, "hqsearch/toy.py") == ("tests/test_toy.py",)
    (checkout / "tests" / "test_toy_more.py").touch()
    assert tool.tests_of(checkout, "hqsearch/toy.py")[1:] == ("tests/test_toy_more.py",)
    assert tool.tests_of(checkout, "hqsearch/a/other.py") == ("tests/a",)
    assert tool.tests_of(checkout, "evaluators/toy.py") == ("tests/evaluators",)
    for module, tests in tool.ELSEWHERE.items():
        assert (tool.ROOT / module).exists()
        assert all((tool.ROOT / test).exists() for test in tests)


def test_a_list_is_written_once(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "list.json"
    arguments = ["mutants.py", "--draw", "2", "--seed", "5", "--list", str(path)]
    monkeypatch.setattr("sys.argv", [*arguments, "hqsearch/problem/pareto.py"])
    tool.main()
    written = json.loads(path.read_text())
    assert (written["seed"], len(written["mutants"])) == (5, 2)
    with pytest.raises(SystemExit):
        tool.main()
