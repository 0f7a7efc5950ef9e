"""What a search asks of a model of one measured objective, whatever it rests on."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


class Model(Protocol):
    """A posterior of an objective, in its own unit, over value indices ``[n, n_dimensions]``."""

    def mean(self, codes: Codes) -> Floats:
        """Of the noiseless objective ``[n]``."""
        ...

    def predict(self, codes: Codes) -> tuple[Floats, Floats]:
        """Mean and standard deviation ``[n]``."""
        ...

    def draw(
        self, codes: Codes, count: int, generator: np.random.Generator
    ) -> tuple[Floats, Floats]:
        """The mean ``[n]``, and ``count`` joint draws ``[count, n]``."""
        ...

    def believing(self, codes: Codes) -> Model:
        """The posterior if ``codes`` turned out exactly as predicted."""
        ...
