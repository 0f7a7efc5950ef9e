"""``[evaluation]`` of what trains candidates from a parent."""

from __future__ import annotations

from typing import Any

import pytest

from hqsearch.definition import validate
from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.qat.options import QatOptions


@pytest.mark.parametrize(
    "given",
    [
        {"parent_epochs": -1},
        {"parent_learning_rate": 0.0},
        {"parent_threads": 0},
        {"epochs": -1},
        {"learning_rate": -1e-3},
        {"batch_size": 0},
        {"shift": -1},
    ],
)
def test_impossible_values_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match=next(iter(given))):
        validate(QatOptions, given, "[evaluation]")


def test_zero_epochs_and_no_shift_are_allowed_and_keys_are_known() -> None:
    options = validate(QatOptions, {"epochs": 0, "shift": 0}, "[evaluation]")
    assert (options.epochs, options.shift, options.parent_epochs) == (0, 0, 25)
    with pytest.raises(UnknownName, match="did you mean 'parent_epochs'"):
        validate(QatOptions, {"parent_epoch": 3}, "[evaluation]")
