"""Means of crossed tables, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hqsearch.report.replicates import crossed_mean


def test_the_variance_of_a_crossed_mean_by_hand() -> None:
    """Seeds 0, 1, 2 above samples 0, 3; one cell 1 more than their sum."""
    table = np.array([[0.0, 3.0], [1.0, 4.0], [2.0, 6.0]])
    # Means by seed 1.5, 2.5, 4; by sample 1, 13/3; mean square of seeds 2 · 19/12 = 19/6, of
    # samples 3 · 50/9 = 50/3, of the rest (1/36 · 4 + 1/9 · 2) / 2 = 1/6.
    estimate = crossed_mean(table)
    total = 19 / 6 + 50 / 3 - 1 / 6
    assert estimate.mean == pytest.approx(8 / 3)
    assert estimate.standard_error == pytest.approx(math.sqrt(total / 6))
    terms = (19 / 6) ** 2 / 2 + (50 / 3) ** 2 / 1 + (1 / 6) ** 2 / 2
    assert estimate.freedom == pytest.approx(total**2 / terms)
