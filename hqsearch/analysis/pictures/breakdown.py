"""Energy and storage by part of the network, as SpikeHQ (arXiv 2412.05505) plots in figure 4."""

from __future__ import annotations

from dataclasses import dataclass

from hqsearch.analysis.pictures.facts import Facts, NothingToDraw, layer_rows, require_completed
from hqsearch.evaluator.details import LayerRow
from hqsearch.hardware.tables import OTHER, PARTS, part_of
from hqsearch.store.records import TrialRow

#: What a trial's total holds beyond its layers: products of attention, pooling, neurons, biases.
REST = "not in a weight layer"


@dataclass(frozen=True)
class PartCosts:
    """One assignment: label, trial, and by part its energy (µJ) and storage (KiB)."""

    label: str
    trial: int
    energy: dict[str, float]
    storage: dict[str, float]


@dataclass(frozen=True)
class Breakdown:
    """Costs of some assignments by part of the network.

    Attributes:
        title: of the study.
        parts: in the order of the network.
        assignments: fp32, uniform 4-bit and members of the front, as far as the log has them.
    """

    title: str
    parts: tuple[str, ...]
    assignments: tuple[PartCosts, ...]


def breakdown_picture(facts: Facts) -> Breakdown:
    """Costs by part of fp32, uniform 4-bit, and the cheapest, the knee and the best member.

    Raises:
        NothingToDraw: no trial was completed, or none recorded its layers' costs.
    """
    require_completed(facts)
    wanted: dict[str, TrialRow | None] = {
        "uniform fp32": facts.uniform(),
        "uniform 4u": facts.uniform(4),
        **{f"{what}, trial {t.number}": t for what, t in facts.chosen.items()},
    }
    found: dict[int, PartCosts] = {}
    for label, trial in wanted.items():
        if trial is not None and trial.number not in found and layer_rows(trial):
            found[trial.number] = _costs(label, trial)
    if not found:
        raise NothingToDraw(
            f"study {facts.name!r}: its evaluator records no costs by layer, so there is nothing "
            "to break down"
        )
    used = {part for a in found.values() for costs in (a.energy, a.storage) for part in costs}
    order = [part for part in (*PARTS, OTHER, REST) if part in used]
    return Breakdown(facts.title, tuple(order), tuple(found.values()))


def _costs(label: str, trial: TrialRow) -> PartCosts:
    energy, storage = (_by_part(trial, name) for name in ("energy", "storage"))
    return PartCosts(label, trial.number, energy, storage)


def _by_part(trial: TrialRow, cost: str) -> dict[str, float]:
    sums: dict[str, float] = {}
    for row in layer_rows(trial):
        part = part_of(row.layer or "")
        sums[part] = sums.get(part, 0.0) + _cost(row, cost)
    total = (trial.values or {}).get(cost)
    rest = 0.0 if total is None else total - sum(sums.values())
    if total and rest > 1e-6 * total:  # else what rounding leaves
        sums[REST] = rest
    return sums


def _cost(row: LayerRow, cost: str) -> float:
    value = row.energy if cost == "energy" else row.storage
    return value or 0.0
