"""Costs of the uniform assignments before anything is trained, at an assumed firing rate."""

from __future__ import annotations

from typing import Any

from hqsearch.hardware import CostModel, Profile, Workload
from hqsearch.problem.space import Space
from hqsearch.schemes.choice import FP32

#: Share of neurons that fire in a step, assumed where nothing is trained yet.
ASSUMED_RATE = 0.1


def costs_ahead(traced: Workload, profile: Profile, space: Space) -> dict[str, Any]:
    """Energy µJ and storage KiB of fp32 and of every uniform assignment.

    Args:
        traced: the untrained network's, without firing rates.

    Returns:
        ``rate``, and ``uniform``: choice → energy and storage.
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
    return {
        "rate": ASSUMED_RATE,
        "uniform": {
            name: {"energy": round(e, 6), "storage": round(s, 4)}
            for name, (e, s) in uniform.items()
        },
    }
