"""The evaluator contract: what turns candidates into objective values.

Everything that a user's own evaluator needs is imported from here; evaluators by name are in
:mod:`hqsearch.evaluator.registry`.
"""

from hqsearch.definition.study import EvaluationOptions
from hqsearch.evaluator.contract import (
    Evaluation,
    Evaluator,
    PrepareContext,
    Resources,
    Setup,
)
from hqsearch.problem.objective import ACCURACY, ENERGY, STORAGE, Objective

__all__ = [
    "ACCURACY",
    "ENERGY",
    "STORAGE",
    "Evaluation",
    "EvaluationOptions",
    "Evaluator",
    "Objective",
    "PrepareContext",
    "Resources",
    "Setup",
]
