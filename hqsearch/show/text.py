"""Numbers and values as words."""

from hqsearch.problem.objective import number_text as number
from hqsearch.problem.objective import value_text

__all__ = ["number", "value_text"]
