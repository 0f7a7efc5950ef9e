"""Costs of candidates at their parent's firing rates, and layer by layer at their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hqsearch.hardware import CostModel, LayerRate
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.overflow import Overflow
from hqsearch.problem.space import Space
from hqsearch.qat.structural_part import Part
from hqsearch.schemes.choice import FP32, parse_choice

#: Columns of :func:`cheap_metrics`.
METRICS = ("energy", "storage", "average_bits")
_BITS_PER_KIB = 8192


def cheap_metrics(
    parts: Mapping[str, Part], space: Space, candidates: Sequence[Candidate]
) -> npt.NDArray[np.float64]:
    """Energy µJ, storage KiB and average bits ``[n_candidates, 3]``, before any training.

    Args:
        parts: by structural key.
    """
    return metrics_of(lambda key: parts[key].costs(space), space, candidates)


def metrics_of(
    costs: Callable[[str], CostModel], space: Space, candidates: Sequence[Candidate]
) -> npt.NDArray[np.float64]:
    """The same by any cost models, ``costs`` of a structural key."""
    out = np.empty((len(candidates), len(METRICS)))
    keys = [space.structural_key(c) for c in candidates]
    for key in set(keys):
        rows = [i for i, other in enumerate(keys) if other == key]
        model = costs(key)
        codes = model.codes(space.assignment(candidates[i]) for i in rows)
        estimate = model.estimate(codes)
        out[rows] = np.column_stack([estimate.energy, estimate.storage, estimate.average_bits])
    return out


def overflows_of(parts: Mapping[str, Part], space: Space) -> dict[str, Overflow]:
    """What energy gains where codes exceed the memory that they share, by structural key.

    None for parts of which every candidate fits, or none does: their metrics are plain sums.
    """
    found = {key: overflow_of(part.costs(space)) for key, part in parts.items()}
    return {key: overflow for key, overflow in found.items() if overflow is not None}


def overflow_of(costs: CostModel, *, always: bool = False) -> Overflow | None:
    """That of one cost model, as a bend of :func:`cheap_metrics`; None where there is none.

    Args:
        costs: of one structural part.
        always: also where every candidate fits, or none does, for the model's tables leave it out.
    """
    if costs.memory is None:
        return None
    least, most = costs.codes_range
    capacity = float(costs.memory.capacity)
    if not (always or least < capacity < most):
        return None
    weights = max(costs.workload.weights, 1)
    return Overflow(
        column=METRICS.index("energy"),
        total=METRICS.index("average_bits"),
        capacity=capacity / weights,
        price=float(costs.memory.price) * 1e-6 * weights,
    )


def fp32_metrics(costs: CostModel) -> dict[str, float]:
    """The same of the network with every layer in fp32."""
    choices = costs.uniform(FP32)
    return {
        "energy": costs.energy(choices).total,
        "storage": costs.storage(choices).kib,
        "average_bits": 32.0,
    }


def layer_rows(
    costs: CostModel, choices: Mapping[str, str], rates: Mapping[str, LayerRate]
) -> list[dict[str, Any]]:
    """What every weight layer is stored as, how busy it is and what it costs, µJ and KiB.

    Args:
        choices: layer path → choice, in the order of the rows.
        rates: of the quantized network, by path.
    """
    energy = {row.path: row for row in costs.energy(choices, rates).rows}
    storage = {row.path: row for row in costs.storage(choices).layers}
    rows = []
    for path, choice in choices.items():
        rate = rates.get(path)
        rows.append(
            {
                "layer": path,
                "choice": choice,
                "weights": costs.workload.layers[path].weights,
                "bits": parse_choice(choice).bits,
                "input": energy[path].input_kind,
                "rate": _finite(rate.rate) if rate else None,
                "activity": _finite(rate.activity) if rate else None,
                "macs": energy[path].macs,
                "energy": energy[path].total,
                "storage": storage[path].total / _BITS_PER_KIB,
            }
        )
    return rows


def _finite(value: float) -> float | None:
    """Rounded for a table; None, which JSON can hold, for what is no number."""
    return round(value, 6) if math.isfinite(value) else None
