"""The JSON object that a command answers with: values of objectives, and facts."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

from hqsearch.command.process import Exited
from hqsearch.errors import TrialFailed, closest
from hqsearch.evaluator.json_record import WrongType, measured_number
from hqsearch.hardware import LayerRate

#: Characters of standard error that a reason quotes, its last ones.
QUOTED = 1500
#: The largest result file that is read, bytes.
LARGEST = 1 << 24


def read_answer(done: Exited, result: Path | None) -> dict[str, Any]:
    """The object in ``result``, or on the last line of standard output that is not empty.

    Args:
        result: where the command was asked to write it; None: it prints it.

    Raises:
        TrialFailed: the command failed, or answered with anything else; quotes standard error.
    """
    if done.code != 0:
        raise TrialFailed(f"the command failed ({done.ending()}){_quoted(done.errors)}")
    if result is not None:
        text, place = _written(result, done), "the file {result}"
    else:
        lines = [line for line in done.output.splitlines() if line.strip()]
        if not lines:
            raise TrialFailed(
                "the command printed nothing: its last line must be a JSON object such as "
                f'{{"accuracy": 0.91}}{_quoted(done.errors)}'
            )
        text, place = lines[-1], "the last line that the command printed"
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        shown = text.strip()[:200]
        raise TrialFailed(
            f'{place} is no JSON object such as {{"accuracy": 0.91}}, but {shown!r}'
            f"{_quoted(done.errors)}"
        )
    return answer


def objective_value(answer: dict[str, Any], name: str, unit: str) -> float:
    """The value of an objective, taken out of an answer.

    Raises:
        TrialFailed: it is missing, no number, or a fraction outside 0 … 1. NaN is returned.
    """
    if name not in answer:
        listed = ", ".join(map(repr, list(answer)[:8])) or "no key at all"
        near = closest(name, list(map(str, answer)))
        hint = f"; did you mean {near!r}?" if near else ""
        raise TrialFailed(f"the command's result has no {name!r}, but {listed}{hint}")
    try:
        value = measured_number(answer.pop(name))
    except WrongType as error:
        raise TrialFailed(f"the command's result: {name}: {error}") from None
    if unit == "fraction" and not math.isnan(value) and not 0.0 <= value <= 1.0:
        raise TrialFailed(
            f"the command's result: {name} is {value}; a fraction lies within 0 and 1"
            + (" (not in percent)" if 1.0 < value <= 100.0 else "")
        )
    return value


def facts_of(answer: dict[str, Any], taken: Collection[str], split: str) -> dict[str, Any]:
    """What an answer says besides objectives, as an evaluation's details.

    ``samples`` are those of the split that was measured.
    """
    facts = {str(key): value for key, value in answer.items() if key not in taken}
    if "samples" in facts:
        facts[f"{split}_samples"] = facts.pop("samples")
    return facts


def rates_in(facts: dict[str, Any], layers: Collection[str]) -> dict[str, LayerRate]:
    """Firing rates that an answer reports: ``{"rates": {layer: share of nonzero inputs}}``.

    Raises:
        TrialFailed: a layer that does not exist, or no rate within 0 … 1.
    """
    told = facts.get("rates")
    if told is None:
        return {}
    if not isinstance(told, dict):
        raise TrialFailed("the command's result: rates: expected a table, layer → rate")
    rates = {}
    for path, rate in told.items():
        if path not in layers:
            near = closest(str(path), layers)
            hint = f"; did you mean {near!r}?" if near else ""
            raise TrialFailed(f"the command's result: rates: there is no layer {path!r}{hint}")
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
            raise TrialFailed(
                f"the command's result: rates: {path}: {rate!r} is not within 0 and 1"
            )
        rates[str(path)] = LayerRate(float(rate), float(rate))
    return rates


def binomial_error(accuracy: float, samples: Any) -> float | None:
    """Standard error of an accuracy on so many samples; None where that cannot be said.

    >>> binomial_error(0.5, 100)
    0.05
    """
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        return None
    return None if math.isnan(accuracy) else math.sqrt(accuracy * (1 - accuracy) / samples)


def _written(result: Path, done: Exited) -> str:
    try:
        with result.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError:
        raise TrialFailed(
            "the command ended without writing the file {result}" + _quoted(done.errors)
        ) from None
    if len(content) > LARGEST:
        raise TrialFailed(f"the file {{result}} is larger than {LARGEST >> 20} MiB")
    return content.decode(errors="replace")


def _quoted(errors: str) -> str:
    text = errors.strip()
    if not text:
        return "; it wrote nothing to standard error"
    cut = "…" if len(text) > QUOTED else ""
    return f"; standard error: {cut}{text[-QUOTED:]}"
