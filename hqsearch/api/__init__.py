"""What a notebook or a script uses, and the command line: :class:`Study` and its results.

Everything public is imported as ``hqsearch.Study``, ``hqsearch.Front``, …; importing it is
light, and reading a study needs neither torch nor ray.
"""

from hqsearch.api.answers import Check, Confirmation, Imported, Run, Status
from hqsearch.api.chosen import Chosen
from hqsearch.api.comparison import Comparison
from hqsearch.api.study import Study
from hqsearch.api.trials import Front, Trial, Trials

__all__ = [
    "Check",
    "Chosen",
    "Comparison",
    "Confirmation",
    "Front",
    "Imported",
    "Run",
    "Status",
    "Study",
    "Trial",
    "Trials",
]
