"""What the code as a whole keeps to: few parameters, one name for one class.

The lists of exceptions may only shrink: an entry that no longer needs to be there fails, too.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import hqsearch
from hqsearch import tune

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("hqsearch", "evaluators")
#: Parameters that a function may have; more are one typed argument.
MOST = 6
#: Functions with more, and how many; neither commands nor public names.
TOO_MANY = {
    "hqsearch/analysis/yardstick.py:charges": 7,
    "hqsearch/data/simulated/camera.py:_events": 8,
    "hqsearch/export/neurons.py:fixed_point": 7,
    "hqsearch/hardware/trace/operations.py:TracedOperations.add": 8,
    "hqsearch/models/compiled.py:_NormedFire.forward": 7,
    "hqsearch/models/lif_kernels.py:fire_backward": 11,
    "hqsearch/models/registry.py:build_model": 8,
    "hqsearch/qat/relaxation.py:QatRelaxation.__init__": 7,
    "hqsearch/qat/scores.py:score_choices": 7,
    "hqsearch/qat/scores.py:_Scored.__init__": 7,
    "hqsearch/show/dashboard/content.py:_trace": 7,
    "hqsearch/strategies/nsga2/pymoo_parts.py:make_nsga2": 8,
    "hqsearch/study/comparing.py:_read": 7,
    "hqsearch/study/expecting.py:expected": 7,
    "hqsearch/supernet/derive.py:derive": 7,
    "hqsearch/training/loop.py:train": 8,
    "evaluators/command.py:Command._run": 7,
}
#: Public classes whose name another one has, and why both keep it.
TWICE = {
    "Run": "hqsearch.Run is public; export.integer.Run is what one inference came to",
    "Task": "both are contracts of users: of an executor, and of a training",
}


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def _functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            yield f"{prefix}{child.name}", child
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")


def _parameters(function: ast.FunctionDef) -> int:
    """How many there are, without ``self``."""
    given = function.args
    named = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    more = (given.vararg is not None) + (given.kwarg is not None)
    return len([n for n in named if n not in ("self", "cls")]) + more


def _is_command(function: ast.FunctionDef) -> bool:
    return any("click.command" in ast.unparse(d) for d in function.decorator_list)


def _public() -> set[tuple[str, str]]:
    """Module's file and name of every public class and function."""
    told = [getattr(hqsearch, name) for name in hqsearch.__all__]
    told += [value for name, value in vars(tune).items() if not name.startswith("_")]
    return {
        (f"{value.__module__.replace('.', '/')}.py", value.__qualname__)
        for value in told
        if hasattr(value, "__qualname__")
    }


def test_functions_have_few_parameters() -> None:
    public = _public()
    found = {}
    for file, module in _modules():
        for name, function in _functions(module):
            count = _parameters(function)
            own = (file, name.partition(".")[0]) in public or _is_command(function)
            if count > MOST and not own:
                found[f"{file}:{name}"] = count
    assert found == TOO_MANY


def test_a_class_has_its_name_to_itself() -> None:
    places = defaultdict(list)
    for file, module in _modules():
        for node in ast.walk(module):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(file)
    assert {name for name, files in places.items() if len(files) > 1} == TWICE.keys()


def test_commands_and_public_names_are_told_from_the_rest() -> None:
    (command,) = ast.parse("@click.command()\ndef run(a, *b, c=1, **d): ...").body
    assert isinstance(command, ast.FunctionDef)
    assert (_parameters(command), _is_command(command)) == (4, True)
    assert ("hqsearch/api/study.py", "Study") in _public()
    assert ("hqsearch/training/loop.py", "train") not in _public()
