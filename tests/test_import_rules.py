"""The arrows between packages: one way down, no circles, libraries where they belong.

Read from the source, so that imports inside functions count, too. ``ORDER`` is the one place
that says what may import what.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: Folder → the package that it is imported as.
FOLDERS = {"hqsearch": "hqsearch", "evaluators": "hqsearch.evaluators"}

#: Packages and top-level modules of hqsearch from the bottom up, each with why it stands there.
#: One may import those above it in this table (they lie below it), and no other.
ORDER = {
    "_moved": "old module names; strings alone",
    "": "hqsearch itself: its version and where its parts lie",
    "errors": "what can go wrong; everybody raises these",
    "atomic": "a file is whole or not there",
    "guide": "the documentation, as text",
    "machine": "how many cores there are",
    "sides": "height and width of frames",
    "toml": "reads a TOML file, whatever it says",
    "wording": "texts of others; any character may be in them",
    "plugins": "loads a user's file by name, whatever is in it",
    "schemes": "how a weight is stored; a choice's text is a scheme's to read",
    "definition": "what a TOML file says; it may name choices, not build anything",
    "problem": "space, objectives, budgets: made from a definition",
    "models": "networks that know nothing of quantization",
    "quant": "puts schemes into networks' layers",
    "training": "how a network is trained, whatever it is",
    "data": "samples, as a definition asks for them",
    "hardware": "what a network costs, layer by layer",
    "export": "a trained quantized network as integers and bytes, in a file or as C",
    "surrogate": "a model of accuracy over a space",
    "evaluator": "the contract: candidates of a problem become values",
    "supernet": "the differentiable search over a problem, as a task of an evaluator",
    "qat": "short training as an evaluation: data, models, quant, hardware and supernet",
    "command": "an evaluation as a program of the user's: started, watched, its answer read",
    "evaluators": "the built-in ones; nobody imports them by name",
    "executors": "where an evaluator's tasks run",
    "store": "the log of candidates and results",
    "strategies": "propose candidates of a problem; they never see a log or an executor",
    "search": "the loop that joins strategy, executor and log, and tells a listener",
    "analysis": "what logs and costs say, as numbers and sentences",
    "study": "a definition, its log and its runs: what commands call",
    "tune": "strategies for users of Ray Tune",
    "testing": "contract tests for users' evaluators, strategies, executors and schemes",
    "show": "tables, figures and the live display; tells nobody below",
    "api": "what notebooks and commands use: studies and their results as objects",
    "cli": "parse, call, print",
    "__main__": "calls cli",
}

#: What the order alone would allow, and must not be: package → packages.
APART = {
    # These know nothing of studies.
    **{
        apart: {"definition", "problem"}
        for apart in ("schemes", "models", "quant", "hardware", "export")
    },
    # Replay and several machines rest on it.
    "strategies": {"store", "executors"},
    # What is read from a log must not depend on how it came about.
    "analysis": {"search", "strategies", "supernet", "qat"},
}
#: Found by walking the package, a user's like a built-in one.
BY_NAME_ONLY = "evaluators"

#: Arrows and circles that are being mended; delete an entry with what it excuses.
PENDING: dict[str, str] = {}

#: Library → packages that import it, at the top of a module or inside a function.
LIBRARIES = {
    "rich": {"show", "cli"},
    "matplotlib": {"show", "cli"},
    "plotly": {"show", "cli"},
    "click": {"cli"},
    "ray": {"executors", "tune"},
    "pandas": {"api"},
    "torch": {
        "models", "quant", "training", "data", "hardware", "supernet", "qat", "evaluators",
        "study", "schemes", "testing", "export", "command",
    },
}  # fmt: skip
#: Of those, packages that import it only inside functions: reading them must stay quick.
LAZY = {
    "matplotlib": {"show", "cli"},
    "pandas": {"api"},
    "torch": {"command", "data", "study", "schemes"},
}


@dataclass(frozen=True)
class Import:
    """One import statement's target.

    Attributes:
        source: the importing module.
        target: the imported module, with all its dots.
        line: where.
        inside: whether it is within a function.
        typing: whether it is for type checkers only.
    """

    source: str
    target: str
    line: int
    inside: bool
    typing: bool

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}"


def _modules() -> dict[str, Path]:
    modules = {}
    for folder, package in FOLDERS.items():
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            name = ".".join([package, *(part for part in parts if part != "__init__")])
            modules[name] = path
    return modules


MODULES = _modules()


def _statements(
    node: ast.AST, inside: bool = False, typing: bool = False
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, inside, typing
        elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for part in child.body:
                yield from _statements(ast.Module([part], []), inside, True)
            for part in child.orelse:
                yield from _statements(ast.Module([part], []), inside, typing)
        else:
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from _statements(child, inside or function, typing)


def imports_of(name: str, path: Path, source: str) -> list[Import]:
    """Every import of a module; ``from package import module`` is one of that module."""
    found = []
    for statement, inside, typing in _statements(ast.parse(source)):
        if isinstance(statement, ast.Import):
            targets = [alias.name for alias in statement.names]
        else:
            base = statement.module or ""
            if statement.level:
                package = name if path.name == "__init__.py" else name.rpartition(".")[0]
                for _ in range(statement.level - 1):
                    package = package.rpartition(".")[0]
                base = f"{package}.{base}" if base else package
            dotted = [f"{base}.{alias.name}" for alias in statement.names]
            targets = [target if target in MODULES else base for target in dotted]
        found += [
            Import(name, target, statement.lineno, inside, typing)
            for target in dict.fromkeys(targets)
        ]
    return found


IMPORTS = [
    one for name, path in MODULES.items() for one in imports_of(name, path, path.read_text())
]
INTERNAL = [one for one in IMPORTS if one.target in MODULES and one.target != one.source]


def package_of(module: str) -> str:
    """``hqsearch.store.log`` → ``store``; ``hqsearch`` itself is the empty name."""
    return ".".join(module.split(".")[1:2])


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other in a circle (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in sorted(arrows.get(module, ())):
            if target not in index:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index[target])
        if low[module] == index[module]:
            place = stack.index(module)
            group = sorted(stack[place:])
            del stack[place:]
            if len(group) > 1:
                groups.append(group)

    for module in sorted(arrows):
        if module not in index:
            visit(module)
    return groups


def test_every_package_has_its_place() -> None:
    assert {package_of(module) for module in MODULES} - set(ORDER) == set()


def test_arrows_run_downwards() -> None:
    places = {package: place for place, package in enumerate(ORDER)}
    upwards = []
    for one in INTERNAL:
        source, target = package_of(one.source), package_of(one.target)
        up = places[target] > places[source]
        apart = target in APART.get(source, ()) or target == BY_NAME_ONLY != source
        if one.source == "hqsearch" and one.typing:
            continue  # its public names, which it imports when they are asked for
        if (up or apart) and str(one) not in PENDING:
            upwards.append(f"{MODULES[one.source]}:{one.line}: {one}")
    assert upwards == []


def test_there_are_no_circles() -> None:
    arrows: dict[str, set[str]] = {}
    for one in INTERNAL:
        if not one.typing and str(one) not in PENDING:
            arrows.setdefault(one.source, set()).add(one.target)
    assert circles(arrows) == []


def test_what_is_pending_is_still_there() -> None:
    """So that an excuse does not outlive what it excuses."""
    assert set(PENDING) - {str(one) for one in INTERNAL} == set()


@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_are_imported_where_they_belong(library: str) -> None:
    wrong = []
    for one in IMPORTS:
        if one.target.split(".")[0] != library or one.typing:
            continue
        package = package_of(one.source)
        early = not one.inside and package in LAZY.get(library, ())
        if package not in LIBRARIES[library] or early:
            wrong.append(f"{MODULES[one.source]}:{one.line}: {one}")
    assert wrong == []


def test_show_is_imported_by_the_command_line_and_lazily_by_the_api() -> None:
    wrong = [
        f"{MODULES[one.source]}:{one.line}: {one}"
        for one in INTERNAL
        if package_of(one.target) == "show" and not one.typing
        if not (
            package_of(one.source) in ("show", "cli")
            or (package_of(one.source) == "api" and one.inside)
        )
    ]
    assert wrong == []


def test_only_show_and_the_command_line_print() -> None:
    wrong = [
        f"{path}:{node.lineno}"
        for name, path in MODULES.items()
        if package_of(name) not in ("show", "cli")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and re.fullmatch(r"print|sys\.std(out|err)\.write", ast.unparse(node.func))
    ]
    assert wrong == []


def test_the_reader_of_imports_sees_them_all() -> None:
    source = (
        "import hqsearch.store.log\n"
        "from hqsearch.search import loop\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n"
        "    from hqsearch.study import running\n"
        "else:\n"
        "    from . import results\n"
        "class Here:\n"
        "    def lazily(self):\n"
        "        try:\n"
        "            from ..show.live import LiveProgress\n"
        "        except ImportError:\n"
        "            import torch.nn\n"
    )
    read = imports_of("hqsearch.store.records", ROOT / "records.py", source)
    assert [(one.target, one.inside, one.typing) for one in read] == [
        ("hqsearch.store.log", False, False),
        ("hqsearch.search.loop", False, False),
        ("typing", False, False),
        ("hqsearch.study.running", False, True),
        ("hqsearch.store.results", False, False),
        ("hqsearch.show.live", True, False),
        ("torch.nn", True, False),
    ]


def test_circles_are_found() -> None:
    arrows = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": {"e"}, "e": {"d"}, "f": {"a", "e"}}
    assert circles(arrows) == [["d", "e"], ["a", "b", "c"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}}) == []
