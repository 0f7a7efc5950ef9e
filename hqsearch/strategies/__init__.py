"""Strategies by name. Third parties register under the entry points ``hqsearch.strategies``."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import cast

from hqsearch.errors import UnknownName
from hqsearch.strategies.base import (
    Problem,
    Result,
    Signal,
    Strategy,
    StrategyOptions,
    StrategyTask,
    TaskResult,
)

__all__ = [
    "Problem",
    "Result",
    "Signal",
    "Strategy",
    "StrategyOptions",
    "StrategyTask",
    "TaskResult",
    "strategy_class",
    "strategy_names",
]

_BUILT_IN = {
    "gumbel": "hqsearch.strategies.gumbel:Gumbel",
    "nsga2": "hqsearch.strategies.nsga2.strategy:Nsga2",
    "optuna-gp": "hqsearch.strategies.optuna.samplers:OptunaGp",
    "optuna-nsga2": "hqsearch.strategies.optuna.samplers:OptunaNsga2",
    "optuna-nsga3": "hqsearch.strategies.optuna.samplers:OptunaNsga3",
    "optuna-qmc": "hqsearch.strategies.optuna.samplers:OptunaQmc",
    "optuna-random": "hqsearch.strategies.optuna.samplers:OptunaRandom",
    "optuna-tpe": "hqsearch.strategies.optuna.samplers:OptunaTpe",
    "random": "hqsearch.strategies.random:RandomSearch",
    "sensitivity": "hqsearch.strategies.sensitivity:Sensitivity",
}


def strategy_names() -> list[str]:
    """Every strategy that can be named."""
    return sorted({*_BUILT_IN, *entry_points(group="hqsearch.strategies").names})


def strategy_class(name: str) -> type[Strategy]:
    """The strategy behind a name; imported only now, for some bring heavy libraries."""
    if name in _BUILT_IN:
        module, _, attribute = _BUILT_IN[name].partition(":")
        found = getattr(importlib.import_module(module), attribute)
    elif name in entry_points(group="hqsearch.strategies").names:
        found = entry_points(group="hqsearch.strategies")[name].load()
    else:
        raise UnknownName("strategy", name, strategy_names())
    assert issubclass(found, Strategy)
    return cast(type[Strategy], found)
