"""The guide is complete and true: names, code blocks, links, pages made from the code."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import sqlite_utils.cli

import hqsearch
from hqsearch import guide
from hqsearch.cli import cli
from hqsearch.definition import SpaceDefinition, StudyDefinition, embedded, validate
from hqsearch.errors import UnknownName
from hqsearch.evaluator.registry import evaluator_class, evaluator_names
from hqsearch.hardware import profile_names
from hqsearch.schemes import parse_choice, registry, schemes
from hqsearch.strategies import strategy_class, strategy_names

from . import generate
from .blocks import Block, anchors, blocks, inline, links

ROOT = Path(__file__).parents[2]
PAGES = sorted(generate.GUIDE.glob("*.md"))
DOCUMENTS = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
SPANS = {span for page in PAGES for span in inline(page)}
#: Modules that are stuck in memory would be found by the next page.
LANGUAGES = {"sh", "python", "toml", "text", "dockerfile"}


def options() -> list[tuple[str, str]]:
    """Command and option of everything that can be typed."""
    return [
        (name, option)
        for name, command in cli.commands.items()
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    ]


# Everything that has a name is in it.


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("study", embedded("studies")),
        ("space", embedded("spaces")),
        ("strategy", strategy_names()),
        ("evaluator", evaluator_names()),
        ("profile", profile_names()),
        ("scheme", [scheme.name for scheme in schemes()]),
    ],
)
def test_every_name_is_in_the_guide(what: str, names: Any) -> None:
    assert len(list(names)) >= 4
    assert {name for name in names if name not in SPANS} == set(), what


def test_every_choice_is_in_the_guide() -> None:
    text = (generate.GUIDE / "your-own.md").read_text()
    for scheme in schemes():
        ends = {scheme.choices()[0].text, scheme.choices()[-1].text}
        assert all(f"`{end}`" in text for end in ends), scheme


def test_every_command_and_option_is_in_the_guide() -> None:
    text = (generate.GUIDE / "commands.md").read_text()
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert set(sections) == set(cli.commands)
    missing = [(c, o) for c, o in options() if not re.search(rf"`{o}[ `,]", sections[c])]
    assert missing == []


def test_every_public_name_is_in_the_guide() -> None:
    headings = anchors(generate.GUIDE / "api.md")
    assert {name for name in hqsearch.__all__ if name.lower() not in headings} == set()


def test_every_strategy_option_that_is_named_exists() -> None:
    """``strategy.nsga2.population`` in any page or command."""
    for document in DOCUMENTS:
        for name, option in re.findall(r"strategy\.([\w-]+)\.(\w+)", document.read_text()):
            if name in strategy_names():
                assert option in strategy_class(name).Options.model_fields, (document, name, option)


# Its pages.


def test_the_index_lists_every_page_once() -> None:
    assert sorted(guide.pages()) == sorted(p.stem for p in PAGES if p.name != "README.md")
    for name, page in guide.pages().items():
        assert guide.page(f"{name}.md") == page
        assert page.text.startswith("# ")
        assert page.about


def test_an_unknown_page_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown page 'comands' in the guide; did you mean 'com"):
        guide.page("comands")


@pytest.mark.parametrize("path", [generate.GUIDE / "commands.md", generate.GUIDE / "api.md"])
def test_pages_made_from_the_code_are_up_to_date(path: Path) -> None:
    made = generate.pages()[path]
    assert path.read_text() == made, "run: python tests/guide/generate.py"


def test_every_space_is_in_the_guide() -> None:
    page = guide.page("your-own").text
    assert [name for name in embedded("spaces") if f"`{name}`" not in page] == []


def test_the_api_page_says_something_of_everything() -> None:
    page = (generate.GUIDE / "api.md").read_text()
    assert "\nexport(model: Any, path: str" in page
    silent = re.findall(r"^#{2,3} (.+)\n+(?:#{2,3} |\Z)", page, re.MULTILINE)
    assert silent == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


def test_the_changelog_goes_by_release() -> None:
    heads = re.findall(r"^## (.+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    released = [head for head in heads if not head.endswith("(unreleased)")]
    assert released[0].startswith(f"{hqsearch.__version__} (")
    assert heads.index(released[0]) <= 1
    assert released[-1].startswith("0.1.0 (")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    dead = []
    for link in links(document):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (document.parent / place).resolve() if place else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


# Its code.


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in; modules and schemes that a page brings are forgotten after it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    schemes()
    known, modules = dict(registry._registered), set(sys.modules)
    yield tmp_path
    registry._registered.clear()
    registry._registered.update(known)
    registry._read_entry_points.cache_clear()
    parse_choice.cache_clear()
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_code_blocks_run(document: Path, place: Path) -> None:
    """In the order of the page, all in one folder."""
    for block in blocks(document):
        assert block.language in LANGUAGES, f"{block.page}: a block of {block.language!r}"
        if block.language == "sh":
            _shell(block)
        elif block.language == "python":
            _python(block, place)
        elif block.language == "toml":
            _toml(block, place)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_the_text_exist(document: Path) -> None:
    given = dict.fromkeys(cli.commands, frozenset[str]())
    for name, option in options():
        given[name] |= {option}
    for span in inline(document):
        words = span.split()
        if words[0] != "hqsearch" or len(words) < 2 or not words[1].islower():
            continue
        assert words[1] in given, span
        named = {w.partition("=")[0] for w in words if w.startswith("--")}
        assert named <= given[words[1]] | {"--help"}, span


def _shell(block: Block) -> None:
    """Run, or where it is long parse, every command; a short block holds no other ones."""
    for words in block.commands():
        program = Path(words[0]).name
        if program == "hqsearch" and not block.long:
            cli.main(words[1:], standalone_mode=False)
        elif program == "hqsearch":
            command = cli.commands[words[1]]
            command.make_context(words[1], words[2:])
        elif not block.long:
            assert program == "sqlite-utils", f"{block.page}: {words}"
            sqlite_utils.cli.cli.main(words[1:], standalone_mode=False)


def _python(block: Block, place: Path) -> None:
    code = compile(block.text, block.page, "exec")
    _resolve(ast.parse(block.text))
    path = place / (block.file or "")
    if block.file is not None:
        path.write_text(block.text)
    if block.long:
        return
    if block.file is None:
        exec(code, {"__name__": "__main__"})
        return
    importlib.invalidate_caches()
    defined = runpy.run_path(str(path), run_name="__main__")
    if block.file.startswith("test_"):
        tried = sum(_contract(value, place) for value in defined.values() if _is_test(value))
        assert tried > 5, f"{block.file}: a contract has more tests than that"


def _is_test(value: Any) -> bool:
    return inspect.isclass(value) and value.__name__.startswith("Test")


def _contract(kind: type, place: Path) -> int:
    """Run the tests of a class as pytest would; returns how many there are."""
    tests = [name for name in dir(kind) if name.startswith("test_")]
    for name in tests:
        test = getattr(kind(), name)
        folder = place / "tests" / name
        folder.mkdir(parents=True)
        test(**({"tmp_path": folder} if "tmp_path" in inspect.signature(test).parameters else {}))
    return len(tests)


def _resolve(tree: ast.AST) -> None:
    """Names that are imported from hqsearch are there, and ``hq.name`` is public."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("hqsearch"):
            module = importlib.import_module(str(node.module))
            assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            public = node.value.id != "hq" or node.attr in hqsearch.__all__
            assert public, f"hq.{node.attr} is not public"


def _toml(block: Block, place: Path) -> None:
    tables = tomllib.loads(block.text)
    if block.file is not None:
        (place / block.file).write_text(block.text)
    if "objective" in tables:
        given = {**tables, "name": "given", "folder": place}
        study = validate(StudyDefinition, given, block.page)
        evaluator = evaluator_class(study.evaluator, study.folder)
        validate(evaluator.Options, study.evaluation, block.page)
    elif "choices" in tables:
        validate(SpaceDefinition, tables, block.page)


# That these tests see what they should.


def test_what_a_page_holds_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One `two`: three\n[a](b.md#c) `[not](a-link)` `hqsearch run`\n"
        "```sh long\nhqsearch run \\\n  --study toy  # a comment\npip install . && x --y\n```\n"
        "  ```toml file=a.toml\n  a = 1\n  ```\n## Twice\n## Twice\n"
    )
    shell, table = blocks(page)
    assert (shell.language, shell.long, shell.file) == ("sh", True, None)
    assert list(shell.commands()) == [
        ["hqsearch", "run", "--study", "toy"], ["pip", "install", "."], ["x", "--y"],
    ]  # fmt: skip
    assert (table.text, table.file, table.long) == ("a = 1\n", "a.toml", False)
    assert links(page) == ["b.md#c"]
    assert "hqsearch run" in inline(page)
    assert anchors(page) == {"one-two-three", "twice", "twice-1"}


@pytest.mark.parametrize(
    "text",
    [
        "```sh\nhqsearch run --study toy --stratgy random\n```\n",
        "```sh long\nhqsearch run --stratgy random\n```\n",
        "```sh\nrm -rf nothing\n```\n",
        "```python\nassert False\n```\n",
        "```python long\nfrom hqsearch.schemes import nothing_of_that_name\n```\n",
        "```python long\nhq.nothing\n```\n",
        "```toml\na = \n```\n",
        "```toml\nchoices = []\n```\n",
        "```\nno language\n```\n",
    ],
)
def test_what_is_wrong_is_noticed(text: str, place: Path) -> None:
    page = place / "page.md"
    page.write_text(text)
    with pytest.raises((AssertionError, click.ClickException, ValueError, hqsearch_error())):
        test_code_blocks_run(page, place)


def hqsearch_error() -> type[Exception]:
    from hqsearch.errors import HqsearchError

    return HqsearchError


def test_the_wrapper_of_a_script_that_stays_as_it_is(tmp_path: Path) -> None:
    page = next(path for path in DOCUMENTS if path.name == "your-script.md")
    wrapper = next(block for block in blocks(page) if block.file == "wrapper.py")
    (tmp_path / "wrapper.py").write_text(wrapper.text)
    (tmp_path / "mine.py").write_text("import sys; print(sys.argv[1:]); print('accuracy 0.875')")
    rows = [{"layer": "conv1", "bits": 4}, {"layer": "head", "bits": 32}]
    (tmp_path / "a.json").write_text(json.dumps({"layers": rows, "seed": 3}))
    words = [sys.executable, "wrapper.py", "mine.py", "a.json"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    first, *_, last = done.stdout.splitlines()
    assert first == "['--bits', 'conv1=4,head=32', '--seed', '3']"
    assert json.loads(last) == {"accuracy": 0.875}
