"""Predicted against measured: the surrogate's accuracy, and the energy before training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hqsearch.analysis.pictures.facts import Facts, NothingToDraw, require_completed, spread_over
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import Objective
from hqsearch.surrogate import Design, fit

#: Measurements that a surrogate needs before it says anything.
LEAST = 6
#: Candidates that are predicted; more are evenly thinned out, for the work grows cubically.
MOST = 400


@dataclass(frozen=True)
class Calibration:
    """Predictions beside what was measured.

    Attributes:
        title: of the study.
        quality: what the surrogate predicts.
        trials: ``[n]``, whose candidates were predicted.
        predicted: ``[n]``, each from all the others (leave-one-out).
        measured: ``[n]``.
        skill: 1 − squared error / that of predicting the mean; 0 or less: it knows nothing.
        candidates: how many there are to choose the ``n`` from.
        energy_trials: ``[m]``, with both energies.
        estimated: µJ ``[m]``, from the parent's firing rates, before training.
        recorded: µJ ``[m]``, from the candidate's own.
    """

    title: str
    quality: Objective
    trials: tuple[int, ...]
    predicted: tuple[float, ...]
    measured: tuple[float, ...]
    skill: float
    candidates: int
    energy_trials: tuple[int, ...]
    estimated: tuple[float, ...]
    recorded: tuple[float, ...]


def calibration_picture(facts: Facts) -> Calibration:
    """Leave-one-out predictions of the surrogate on everything that was measured.

    Raises:
        NothingToDraw: too few trials were completed.
    """
    require_completed(facts)
    if len(facts.completed) < LEAST:
        raise NothingToDraw(
            f"study {facts.name!r}: a surrogate needs {LEAST} completed candidates, and there are "
            f"{len(facts.completed)}"
        )
    rows, quality = spread_over(facts.completed, MOST), facts.quality
    values = np.array([(t.values or {})[quality.name] for t in rows])
    errors = np.array([t.details.error_of(quality.name) or 0.0 for t in rows])
    space = facts.space
    codes = space.encode(Candidate.of({n: t.choices[n] for n in space.names}) for t in rows)
    model = fit(Design(space), codes, values, errors)
    predicted = model.transform.back(model.targets - model.leave_one_out())
    plain = np.sum((values - values.mean()) ** 2)
    skill = 1.0 - float(np.sum((values - predicted) ** 2) / max(float(plain), 1e-300))
    both = [(t, t.details.energy_estimate) for t in rows if "energy" in (t.values or {})]
    energies = [(t, estimate) for t, estimate in both if estimate is not None]
    return Calibration(
        title=facts.title,
        quality=quality,
        trials=tuple(t.number for t in rows),
        predicted=tuple(float(p) for p in predicted),
        measured=tuple(float(v) for v in values),
        skill=skill,
        candidates=len(facts.completed),
        energy_trials=tuple(t.number for t, _ in energies),
        estimated=tuple(float(e) for _, e in energies),
        recorded=tuple((t.values or {})["energy"] for t, _ in energies),
    )
