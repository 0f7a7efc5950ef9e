"""The evaluator contract: what turns candidates into objective values.

Everything that a user's own evaluator needs is imported from here; evaluators by name are in
:mod:`hqsearch.evaluator.registry`.
"""

from hqsearch.definition.study import EvaluationOptions
from hqsearch.evaluator.ahead import Ahead
from hqsearch.evaluator.contract import (
    Evaluation,
    Evaluator,
    PrepareContext,
    Resources,
    Setup,
)
from hqsearch.evaluator.details import Details, LayerRow
from hqsearch.evaluator.given import GivenObjects
from hqsearch.evaluator.inspection import Inspection
from hqsearch.evaluator.outlook import Outlook
from hqsearch.evaluator.parent_quality import ParentQuality
from hqsearch.evaluator.tasks import (
    EvaluatorTask,
    FinalResult,
    FinalTask,
    FreshParent,
    OtherTask,
    ParentResult,
    ParentTask,
    ScoresResult,
    ScoresTask,
    SupernetResult,
    SupernetTask,
    TaskAnswer,
)
from hqsearch.problem.objective import ACCURACY, ENERGY, STORAGE, Objective

__all__ = [
    "ACCURACY",
    "ENERGY",
    "STORAGE",
    "Ahead",
    "Details",
    "Evaluation",
    "EvaluationOptions",
    "Evaluator",
    "EvaluatorTask",
    "FinalResult",
    "FinalTask",
    "FreshParent",
    "GivenObjects",
    "Inspection",
    "LayerRow",
    "Objective",
    "OtherTask",
    "Outlook",
    "ParentQuality",
    "ParentResult",
    "ParentTask",
    "PrepareContext",
    "Resources",
    "ScoresResult",
    "ScoresTask",
    "Setup",
    "SupernetResult",
    "SupernetTask",
    "TaskAnswer",
]
