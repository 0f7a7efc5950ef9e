"""Contract tests that evaluators, strategies, executors and schemes must pass; users' plugins too.

Subclass one in a pytest file and say how to make the thing::

    class TestMine(EvaluatorContract):
        def make(self, folder):
            return make_evaluator(Setup(load_study(Path("mine.toml")), folder))

Evaluators are prepared in this process; keep theirs small.
"""

from hqsearch.testing.evaluators import EvaluatorContract, prepare_here
from hqsearch.testing.executors import ExecutorContract
from hqsearch.testing.schemes import SchemeContract
from hqsearch.testing.strategies import StrategyContract

__all__ = [
    "EvaluatorContract",
    "ExecutorContract",
    "SchemeContract",
    "StrategyContract",
    "prepare_here",
]
