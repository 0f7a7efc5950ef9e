from __future__ import annotations

from pathlib import Path

import pytest

from hqsearch.errors import InputError
from hqsearch.show.formats import FORMATS, check_plot


def test_a_figure_goes_to_what_can_be_drawn() -> None:
    check_plot(None)
    for ending in FORMATS:
        check_plot(Path("front" + ending))
    with pytest.raises(InputError, match=r"path=front\.gif: the file must end in \.png"):
        check_plot(Path("front.gif"))
