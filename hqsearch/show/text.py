"""Numbers and values as words, and words as lines."""

import textwrap

from hqsearch.problem.objective import number_text as number
from hqsearch.problem.objective import value_text

__all__ = ["folded", "number", "value_text"]


def folded(text: str, width: int | None) -> str:
    """Lines broken at words; what goes on below is indented two more than its line.

    Args:
        width: in characters; None leaves every line whole.
    """
    if width is None:
        return text
    lines = []
    for line in text.split("\n"):
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        wrapped = textwrap.wrap(
            line, max(width, 20), subsequent_indent=indent, break_on_hyphens=False,
            break_long_words=False, replace_whitespace=False, drop_whitespace=True,
        )  # fmt: skip
        lines += wrapped or [""]
    return "\n".join(lines)
