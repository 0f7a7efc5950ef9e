"""Definitions with any mistakes in them: one message or a run, exit codes 0, 1 and 2 only.

Definitions that come with hqsearch are changed at random (values, keys, tables, the text itself);
``check`` looks at every one, and ``run`` refuses it without touching the disk, or does it.
"""

from __future__ import annotations

import copy
import json
import math
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hqsearch.cli import cli
from hqsearch.definition import embedded, read_toml
from hqsearch.errors import HqsearchError
from hqsearch.study.checking import check_study
from hqsearch.study.running import Request

#: Seconds of CPU after which a command counts as hanging, and of the clock: on a busy machine a
#: command of one second has taken more than 120.
HANG, STUCK = 60.0, 7200.0
#: Those without trainings are changed most: an example of the others costs a network.
NAMES = [*["toy"] * 12, *["toy-structure"] * 4, *["synthetic"] * 4, "gesture", "nmnist", "recorded"]
RUNNABLE = ("toy", "toy-structure", "synthetic")
STRATEGIES = ("random", "nsga2", "sensitivity", "optuna-tpe", "gumbel", "nsga3", "", "../random")

WORDS = st.sampled_from([
    "", "toy", "2u", "4l", "5l", "1b", "fp32", "fp16", "99u", "-1u", "u", "<= 0.5 fp32", "<= 4 uJ",
    ">= 3", "<= nan fp32", "energy", "accuracy", "name", "none", "halving", "log2", "us", "*", "[",
    "../x", "/etc/passwd", "a.py:B", "a.py", "\x00", "\x1b[31m", "{x}", "%41", "ÿ", "\u202e", "💥",
    "x" * 300, "timesteps", "spikformer", "nan", "simulated-gestures", "folder",
])  # fmt: skip
NUMBERS = st.sampled_from([
    0, 1, -1, 2, 3, 7, 8, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 10**30, 0.0, -0.0, 0.5, 1e-320,
    1e308, -1e308, math.inf, -math.inf, math.nan, True, False,
])  # fmt: skip
LEAVES = WORDS | NUMBERS | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    LEAVES,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(WORDS, part, max_size=3),
    max_leaves=6,
)
#: Places that the files leave out.
PLACES = st.sampled_from([
    "title", "name", "folder", "scheme_files", "space", "space.choices", "space.layers",
    "space.schemes", "space.structure", "evaluations", "seed", "max_structures", "data",
    "data.dataset", "data.size", "data.sensor", "data.train", "data.encoding", "data.path",
    "data.time_unit", "data.contents", "data.channels", "model", "model.name", "model.path",
    "model.object", "model.embed_dim", "model.depth", "model.heads", "model.timesteps",
    "model.pooled_stages", "evaluation.seed", "evaluation.threads", "evaluation.gpus",
    "evaluation.memory_gib", "evaluation.time_limit", "evaluation.retries", "evaluation.epochs",
    "evaluation.noise", "evaluation.batch_size", "evaluation.learning_rate", "hardware",
    "hardware.profile", "objective", "constraints", "constraints.energy", "constraints.storage",
    "constraints.average_bits", "constraints.accuracy", "search", "search.early_stopping",
    "search.rungs", "search.keep", "search.cohort", "strategy", "strategy.nsga2",
    "strategy.nsga2.population", "strategy.nsga2.batch", "strategy.nsga2.mode",
    "strategy.nsga2.mutation", "strategy.nsga2.assist", "strategy.gumbel", "strategy.gumbel.target",
    "strategy.sensitivity", "strategy.optuna-tpe", "strategy.none",
])  # fmt: skip

#: What may well stand at a place: together such values ask for what nobody has tried.
LIKELY: dict[str, list[Any]] = {
    "evaluations": [1, 3, 10**9],
    "seed": [0, 7, 2**31 - 1],
    "max_structures": [1, 10**6],
    "space": ["toy", "toy-structure", "synthetic", {"choices": ["2u", "fp32"]}],
    "space.choices": [["2u"], ["2u", "4u", "fp32"], ["1b", "8u"], ["2u", "2u"], ["5l"]],
    "space.layers": [[{"match": "*", "tie": True}], [{"match": "*", "pin": "4u"}], []],
    "space.structure": [[{"name": "timesteps", "values": [1, 2]}], [{"name": "x", "values": [1]}]],
    "objective": [[{"name": "accuracy"}, {"name": "energy"}], [{"name": "energy"}] * 2],
    "constraints.energy": ["<= 0.5 fp32", "<= 1e-9 uJ", "<= 1e300 nJ", "<= 0 fp32", "< 4 uJ"],
    "constraints.storage": ["<= 0.2 fp32", "<= 10 KiB", "<= 1 MiB"],
    "constraints.average_bits": ["<= 4", "<= 0.5 fp32"],
    "evaluation.epochs": [1, 4, 8, 10_000],
    "evaluation.noise": [0.0, 0.1, 1.0],
    "evaluation.threads": [1, 256],
    "evaluation.retries": [0, 20],
    "search.early_stopping": ["halving", "none", True, False],
    "search.rungs": [[1], [1, 2], [1, 2, 4], [10**9]],
    "search.keep": [0.1, 0.5, 0.999],
    "search.cohort": [2, 10_000],
    "strategy.nsga2.population": [4, 12, 10_000],
    "strategy.nsga2.batch": [1, 5, 10_000],
    "strategy.nsga2.mode": ["steady", "generational"],
    "strategy.nsga2.mutation": [1e-9, 1.0],
    "strategy.nsga2.assist": [True, False],
    "data.size": [8, 32, 1024],
    "data.encoding": ["count", "log1p", "log2"],
    "data.train": [1, 10**6],
    "model.embed_dim": [1, 8, 63, 4096],
    "model.depth": [0, 1, 8],
    "model.heads": [1, 3, 64],
    "model.timesteps": [1, 1024],
    "model.pooled_stages": [0, 4, 9],
    "title": ["[red]x[/red]", "💥", "\u202e", ""],
}


def toml(tables: Any) -> str:
    """A value as TOML on one line; tables too."""
    if isinstance(tables, dict):
        return "{" + ", ".join(f"{_text(str(k))} = {toml(v)}" for k, v in tables.items()) + "}"
    if isinstance(tables, list):
        return "[" + ", ".join(map(toml, tables)) + "]"
    if isinstance(tables, bool):
        return str(tables).lower()
    return _text(tables) if isinstance(tables, str) else repr(tables)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def changed(tables: dict[str, Any], draw: Callable[[Any], Any]) -> dict[str, Any]:
    """Tables with something within them gone, or something else."""
    tables = copy.deepcopy(tables)
    if draw(st.integers(0, 3)) > 0:
        likely = draw(st.integers(0, 3)) > 0
        place = draw(st.sampled_from(sorted(LIKELY)) if likely else PLACES)
        *parents, last = place.split(".")
        table: Any = tables
        for parent in parents:
            if not isinstance(table.get(parent), dict):
                table[parent] = {}
            table = table[parent]
        table[last] = draw(st.sampled_from(LIKELY[place]) if likely else VALUES)
        return tables
    inside: Any = tables
    while True:
        keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
        if not keys:
            return tables
        key = draw(st.sampled_from(keys))
        if not isinstance(inside[key], dict | list) or draw(st.integers(0, 2)) == 0:
            break
        inside = inside[key]
    if draw(st.integers(0, 3)) == 0:
        del inside[key]
    else:
        inside[key] = draw(VALUES)
    return tables


def damaged(text: str, draw: Callable[[Any], Any]) -> bytes:
    """A text as editors, transfers and people leave it."""
    content = text.encode()
    at = draw(st.integers(0, len(content)))
    more = draw(st.sampled_from([
        b"", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"[[[[", b"=", b'"""', b"\r", b"9" * 5000,
        b"[" * 3000, b"#", b"a.b.c.d = 1\n", b"[data]\n", b"1979-05-27T07:32:00Z", b"\\u0000",
    ]) | st.binary(max_size=4))  # fmt: skip
    return content[:at] + more + content[at + draw(st.integers(0, 3)) :]


@contextmanager
def no_hang() -> Iterator[None]:
    def tell(number: int, frame: FrameType | None) -> None:
        raise AssertionError("it hangs")

    limits = {
        signal.ITIMER_PROF: (signal.SIGPROF, HANG),
        signal.ITIMER_REAL: (signal.SIGALRM, STUCK),
    }
    before = {number: signal.signal(number, tell) for number, _ in limits.values()}
    for timer, (_, seconds) in limits.items():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer in limits:
            signal.setitimer(timer, 0.0)
        for number, handler in before.items():
            signal.signal(number, handler)


def code_of(*words: str) -> int:
    """The exit code of a command, as :func:`hqsearch.cli.main` gives it; no traceback."""
    try:
        done = CliRunner().invoke(cli, words, standalone_mode=False, catch_exceptions=False)
    except HqsearchError as error:
        return error.exit_code if str(error).strip() else -1
    except click.ClickException as error:
        return error.exit_code
    return int(done.return_value or done.exit_code or 0)


def tree(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


def definitions(data: st.DataObject) -> None:
    """One example: a changed definition is checked, and given to ``run``."""
    name = data.draw(st.sampled_from(NAMES))
    tables = read_toml(embedded("studies")[name])
    for _ in range(data.draw(st.integers(1, 4))):
        tables = changed(tables, data.draw)
    evaluation = tables.get("evaluation")
    if isinstance(evaluation, dict) and "seconds" in evaluation:
        evaluation["seconds"] = 0.0  # what an epoch pretends to need is waited for
    text = "".join(f"{_text(key)} = {toml(value)}\n" for key, value in tables.items())
    content = damaged(text, data.draw) if data.draw(st.integers(0, 7)) == 0 else text.encode()
    with tempfile.TemporaryDirectory() as folder, no_hang():
        path, studies = Path(folder) / "fuzz.toml", Path(folder) / "s"
        path.write_bytes(content)
        before = tree(Path(folder))
        findings = check_study(Request(str(path), "", device="cpu", studies_dir=studies))
        assert tree(Path(folder)) == before
        assert all(problem.strip() for problem in findings.problems)
        json.dumps(findings.as_json())
        # Done runs cost the most and tell the least; a network's trainings are not for here.
        if findings.problems or (name in RUNNABLE and data.draw(st.integers(0, 24)) == 0):
            strategy = data.draw(
                st.sampled_from(STRATEGIES if findings.problems else STRATEGIES[:4])
            )
            code = code_of(
                "run", "--study", str(path), "--strategy", strategy, "--evaluations", "3",
                "--device", "cpu", "--studies-dir", str(studies),
            )  # fmt: skip
            assert code in (0, 1, 2)
            if code == 2:
                assert tree(Path(folder)) == before


FUZZ = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
#: Of the long run; the full one is HQSEARCH_FUZZ_DEFINITIONS=10000 (about 20 minutes of one core).
LONG = int(os.environ.get("HQSEARCH_FUZZ_DEFINITIONS", "500"))
#: A definition may ask for a strategy that says what it thinks of the study.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@settings(FUZZ, max_examples=60)
@given(data=st.data())
def test_a_changed_definition_is_refused_or_run(data: st.DataObject) -> None:
    definitions(data)


@pytest.mark.slow
@settings(FUZZ, max_examples=LONG)
@given(data=st.data())
def test_many_changed_definitions_are_refused_or_run(data: st.DataObject) -> None:
    definitions(data)


@settings(FUZZ, max_examples=100)
@given(text=st.text(max_size=30) | st.builds("{}={}".format, PLACES, LEAVES))
def test_any_set_option_is_refused_or_taken(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder, no_hang():
        code = code_of("check", "--study", "toy", "--studies-dir", f"{folder}/s", "--set", text)
        assert code in (0, 2)
        assert not tree(Path(folder))


@pytest.mark.parametrize("given", [{}, {"name": 3}, {"layers": []}])
def test_an_object_in_a_file_is_no_network(tmp_path: Path, given: dict[str, Any]) -> None:
    """Found by many: only Python gives a network that is in no file."""
    tables = {**read_toml(embedded("studies")["toy"]), "model": {"object": given}}
    path = tmp_path / "mine.toml"
    path.write_text("".join(f"{_text(key)} = {toml(value)}\n" for key, value in tables.items()))
    words = ("run", "--study", str(path), "--strategy", "random", "--studies-dir", str(tmp_path))
    assert code_of(*words) == 2
    assert tree(tmp_path) == {"mine.toml"}
