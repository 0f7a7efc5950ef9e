"""Costs of the uniform assignments before anything is trained, at an assumed firing rate."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import spearmanr

from hqsearch.hardware import CostModel, Profile, Workload
from hqsearch.problem.space import Space
from hqsearch.schemes.choice import FP32

#: Share of neurons that fire in a step, assumed where nothing is trained yet.
ASSUMED_RATE = 0.1
#: Candidates, drawn with seed 0, that correlations are computed over.
_DRAWN = 256


def costs_ahead(traced: Workload, profile: Profile, space: Space) -> dict[str, Any]:
    """Energy µJ and storage KiB of fp32 and of every uniform assignment.

    Args:
        traced: the untrained network's, without firing rates.

    Returns:
        ``rate``, ``uniform`` (choice → energy and storage), and ``correlation``: Spearman's, of
        energy with storage over random candidates; near 1 they are one objective.
    """
    allowed: dict[str, tuple[str, ...]] = {path: (choice,) for path, choice in space.pinned}
    for dimension in space.dimensions:
        if dimension.kind == "weights":
            allowed.update(dict.fromkeys(dimension.layers, dimension.values))
    model = CostModel(traced.with_rate(ASSUMED_RATE), profile, allowed)
    uniform = {}
    for name, candidate in space.baselines().items():
        choices = space.assignment(candidate)
        uniform[name] = (model.energy(choices).total, model.storage(choices).kib)
    every = model.uniform(FP32)
    uniform[FP32] = (model.energy(every).total, model.storage(every).kib)
    generator = np.random.default_rng(0)
    drawn = [space.random(generator) for _ in range(_DRAWN)]
    estimate = model.estimate(model.codes(space.assignment(c) for c in drawn))
    varied = np.ptp(estimate.energy) > 0 and np.ptp(estimate.storage) > 0
    correlation = float(spearmanr(estimate.energy, estimate.storage)[0]) if varied else None
    return {
        "rate": ASSUMED_RATE,
        "uniform": {
            name: {"energy": round(e, 6), "storage": round(s, 4)}
            for name, (e, s) in uniform.items()
        },
        "correlation": None if correlation is None else round(correlation, 3),
    }
