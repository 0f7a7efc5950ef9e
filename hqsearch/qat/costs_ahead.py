"""Costs before anything is trained: at an assumed firing rate, and those that need none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hqsearch.evaluator import Ahead
from hqsearch.hardware import CostModel, Profile, Workload
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.space import Space
from hqsearch.qat.costs import METRICS, fp32_metrics, metrics_of
from hqsearch.schemes.choice import FP32

#: Share of neurons that fire in a step, assumed where nothing is trained yet.
ASSUMED_RATE = 0.1
#: Columns that no firing rate changes.
KNOWN = ("storage", "average_bits")


def costs_ahead(traced: Workload, profile: Profile, space: Space) -> dict[str, Any]:
    """Energy µJ and storage KiB of fp32 and of every uniform assignment.

    Args:
        traced: the untrained network's, without firing rates.

    Returns:
        ``rate``, and ``uniform``: choice → energy and storage.
    """
    model = _model(traced, profile, space)
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


def known_ahead(traced: Mapping[str, Workload], profile: Profile, space: Space) -> Ahead:
    """Storage and average bits.

    Args:
        traced: of every structural part, by key, the first one first.
    """
    models = {key: _model(workload, profile, space) for key, workload in traced.items()}
    columns = [METRICS.index(name) for name in KNOWN]

    def cheap(candidates: Sequence[Candidate]) -> npt.NDArray[np.float64]:
        return metrics_of(models.__getitem__, space, candidates)[:, columns]

    reference = fp32_metrics(next(iter(models.values())))
    return Ahead(KNOWN, cheap, {name: reference[name] for name in KNOWN})


def _model(traced: Workload, profile: Profile, space: Space) -> CostModel:
    allowed: dict[str, tuple[str, ...]] = {path: (choice,) for path, choice in space.pinned}
    for dimension in space.dimensions:
        if dimension.kind == "weights":
            allowed.update(dict.fromkeys(dimension.layers, dimension.values))
    return CostModel(traced.with_rate(ASSUMED_RATE), profile, allowed)
