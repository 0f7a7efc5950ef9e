"""Write the pages of the guide that are made from the code::

    python tests/guide/generate.py

``commands.md`` comes from click, ``api.md`` from the docstrings of ``hqsearch.__all__``. A test
compares them with what is committed.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from enum import Enum
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import click

import hqsearch
from hqsearch.cli import cli

GUIDE = Path(hqsearch.__file__).parent / "guide"
_MADE = "\n*This page is made by `python tests/guide/generate.py` from the code.*\n"
_COMMANDS = """# The commands

Answers go to standard output, everything else (progress, notes, errors) to standard error. With
`--json` a command prints one JSON document and nothing else. `hqsearch COMMAND --help` shows what
is below.

Exit codes: 0 done, 1 the run failed, 2 bad usage or bad input (no study is created or changed), 130
interrupted (everything finished is saved; the same command, or `resume`, goes on).

The JSON of `front` and `trials` is a list of objects with `number`, `state`, `run`, `strategy`,
`kind` (`search`, `baseline`, `replicate`, `imported`), `copy_of`, `choices` (dimension → value),
`values` (objective → number), `average_bits`, `seed`, `seconds` and `details`; that of `front` also
has `confirmed`, once the study was confirmed.
"""
_API = """# The Python API

```python
import hqsearch as hq
```

These names are public ([what that means](versions.md)). They are imported when they are first used,
so that `import hqsearch` costs nothing. [First steps](first-steps.md) and [your own](your-own.md)
show them at work. What plugins import is on the page [writing plugins](writing-plugins.md).
"""
#: Sections of a docstring, as this project writes them.
_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields|Guarantees[^:\n]*):$")


def commands_page() -> str:
    """Every command: what it does, its usage, its arguments and options."""
    parts = [_COMMANDS]
    for name, command in cli.commands.items():
        context = click.Context(command, info_name=f"hqsearch {name}")
        usage = " ".join(["hqsearch", name, *command.collect_usage_pieces(context)])
        lines = [f"## {name}", "", f"`{usage}`", "", str(command.help)]
        rows = [_option(option) for option in command.params if isinstance(option, click.Option)]
        if rows:
            lines += ["", "| option | default | what it does |", "|---|---|---|", *rows]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts) + _MADE


def _option(option: click.Option) -> str:
    values = option.make_metavar(click.Context(click.Command("none")))
    names = "`, `".join(option.opts)
    text = names if option.is_flag else f"{names} {values}"
    if option.required:
        default = "required"
    elif option.is_flag or option.multiple or not _given(option.default):
        default = ""
    else:
        default = f"`{option.default}`"
    what = (option.help or "") + (" May be repeated." if option.multiple else "")
    return f"| `{_cell(text)}` | {default} | {_cell(what)} |"


def _given(default: Any) -> bool:
    """Whether a default is one; click has a mark of its own for none."""
    return default is not None and not isinstance(default, Enum)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def api_page() -> str:
    """Every public name: its signature, its docstring, its methods."""
    parts = [_API]
    for name in hqsearch.__all__:
        value = getattr(hqsearch, name)
        parts.append("\n".join(_entry(name, value)).rstrip() + "\n")
    return "\n".join(parts) + _MADE


def _entry(name: str, value: Any) -> Iterator[str]:
    yield f"## {name}"
    yield ""
    if isinstance(value, ModuleType):  # a package that can be called
        value = value.__call__  # type: ignore[operator]
    if not inspect.isclass(value) and not inspect.isroutine(value):
        yield f"`hqsearch.{name}`: a {type(value).__name__}."
        return
    if inspect.isclass(value) and issubclass(value, Exception):
        bases = [base.__name__ for base in value.__mro__[1:] if base.__name__ in hqsearch.__all__]
        yield (
            f"An error; a kind of `{bases[0]}`." if bases else "An error; all others are its kinds."
        )
        yield ""
        yield markdown(inspect.getdoc(value) or "")
        return
    documented = inspect.getdoc(value) or ""
    if not inspect.isclass(value) or "Args:" in documented:  # else it is made by hqsearch alone
        yield f"```text\n{name}{_signature(value)}\n```"
        yield ""
    yield markdown(documented)
    for method, member in _members(value) if inspect.isclass(value) else ():
        yield ""
        yield f"### {name}.{method}"
        yield ""
        if callable(member):
            yield f"```text\n{name}.{method}{_signature(member)}\n```"
            yield ""
        yield markdown(inspect.getdoc(member) or "")


def _members(value: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that hqsearch defines, in the order of the source."""
    seen = set()
    for kind in value.__mro__:
        if not kind.__module__.startswith("hqsearch"):
            continue
        for name, member in vars(kind).items():
            if name.startswith("_") or name in seen:
                continue
            seen.add(name)
            if isinstance(member, staticmethod | classmethod):
                yield name, getattr(value, name)
            elif isinstance(member, property | cached_property) or inspect.isfunction(member):
                yield name, member


def _signature(value: Any) -> str:
    """Arguments, one a line where they are many; without ``self`` and without annotations of it."""
    try:
        signature = inspect.signature(value)
    except ValueError:
        return "(…)"
    parameters = [p for p in signature.parameters.values() if p.name != "self"]
    returns = "" if inspect.isclass(value) else _returns(signature)
    short = str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    short = _unquoted(short)
    if len(short) <= 80:
        return short + returns
    text, star = [], False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            text, star = [*text, "*"], True
        text.append(_unquoted(str(parameter)))
    return "(\n    " + ",\n    ".join(text) + ",\n)" + returns


def _unquoted(text: str) -> str:
    """Annotations that are texts, as they were written."""
    return re.sub(r": '([^']*)'", r": \1", text)


def _returns(signature: inspect.Signature) -> str:
    annotation = signature.return_annotation
    if annotation is inspect.Signature.empty:
        return ""
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return f" -> {name}" if name else ""


def markdown(docstring: str) -> str:
    """A docstring of this project as Markdown: code, sections, lists of arguments."""
    lines: list[str] = []
    section = code = False
    for line in docstring.splitlines():
        if code and line and not line.startswith("    "):
            while lines and not lines[-1]:
                lines.pop()
            lines += ["```", ""]
            code = False
        if code:
            lines.append(line.removeprefix("    "))
            continue
        if _SECTION.fullmatch(line):
            lines += [f"**{line[:-1]}**", ""]
            section = True
            continue
        if line and not line.startswith(" "):
            section = False
        if section and re.match(r"    \S", line):
            lines.append("- " + re.sub(r"^(\*{0,2}\w+):", r"`\1`:", _plain(line.strip())))
        elif section and line:
            lines.append("  " + _plain(line.strip()))
        elif line.rstrip().endswith("::"):
            before = _plain(line.rstrip()[:-1]).rstrip(":")
            lines += [f"{before}:", "", "```python long"] if before else ["```python long"]
            code = True
        else:
            lines.append(_plain(line))
    if code:
        lines.append("```")
    return re.sub(r"\n{3,}", "\n\n", _opened("\n".join(lines)))


def _opened(text: str) -> str:
    """Code fences without the empty line that follows ``::``."""
    return text.replace("```python long\n\n", "```python long\n")


def _plain(text: str) -> str:
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    return text.replace("``", "`")


def pages() -> dict[Path, str]:
    """File → text of every page that is made."""
    return {GUIDE / "commands.md": commands_page(), GUIDE / "api.md": api_page()}


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
