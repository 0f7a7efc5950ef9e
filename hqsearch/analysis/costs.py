"""What an assignment of choices to layers costs, for ``hqsearch cost``.

Which layers take which choice, at which firing rates (measured on a trial, on the parent, or
stated), with the comparisons that a saving must stand up to. The model itself is in
:mod:`hqsearch.hardware`; what it is applied to, in :mod:`hqsearch.analysis.cost_study`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from hqsearch.analysis.cost_study import CostRequest, CostStudy, listed
from hqsearch.analysis.robustness import CostedAssignment, Robustness, robustness
from hqsearch.errors import InputError, UnknownName
from hqsearch.hardware import (
    CostModel,
    EnergyReport,
    LayerRate,
    Placement,
    Profile,
    StorageReport,
    rates_from_json,
)
from hqsearch.hardware.energy import COLUMNS
from hqsearch.hardware.non_spiking import comparison
from hqsearch.hardware.tables import breakdown, layer_table
from hqsearch.schemes.choice import FP32, parse_choice
from hqsearch.store.records import TrialRow

Rates = Mapping[str, LayerRate]


@dataclass(frozen=True)
class Assigned:
    """Costs of one assignment.

    rates: where its firing rates come from, in words.
    comparison: µJ of the same network at ``fp32`` and of the bit-matched ``non-spiking`` ones.
    recorded: energy that the log holds for the trial, µJ, under the recorded profile.
    unread: what the network does not read and need not store, (path, number of values).
    placement: where its codes are; None where the profile places layers one by one.
    """

    label: str
    candidate: CostedAssignment
    rates: str
    energy: EnergyReport
    storage: StorageReport
    compression: Mapping[str, float]
    comparison: Mapping[str, float]
    recorded: float | None = None
    unread: tuple[tuple[str, int], ...] = ()
    placement: Placement | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain data: totals, comparisons, parts of the network and every operation."""
        counted, padded = self.energy.operations() or (None, None)
        return {
            "assignment": self.label,
            "trial": self.candidate.trial,
            "choices": dict(self.candidate.choices),
            "rates": self.rates,
            "energy": self.energy.total,
            "energy_columns": {name: self.energy.column(name) for name in COLUMNS},
            "energy_offchip": self.energy.offchip,
            "placement": self.placement.as_json() if self.placement else None,
            "recorded_energy": self.recorded,
            "operations": counted,
            "padded_operations": padded,
            "padded_over_operations": padded / counted if padded and counted else None,
            "storage": self.storage.kib,
            "unread": [{"path": path, "values": count} for path, count in self.unread],
            "average_bits": self.storage.average_bits,
            "compression": dict(self.compression),
            "comparison": dict(self.comparison),
            "parts": breakdown(self.energy, self.storage),
            "layers": layer_table(self.energy, self.storage),
        }


@dataclass(frozen=True)
class CostReport:
    """Everything that ``hqsearch cost`` prints; :mod:`hqsearch.show.costs` shows it."""

    study: str
    profile: Profile
    recorded_profile: str | None
    timesteps: int
    notes: tuple[str, ...]
    assigned: Assigned | None
    robustness: Robustness | None

    def as_json(self) -> dict[str, Any]:
        """One JSON document; energies in µJ per inference, storage in KiB."""
        return {
            "study": self.study,
            "profile": self.profile.name,
            "recorded_profile": self.recorded_profile,
            "timesteps": self.timesteps,
            "notes": list(self.notes),
            **(self.assigned.as_json() if self.assigned else {}),
            **({"sensitivity": self.robustness.as_json()} if self.robustness else {}),
        }

    def rows(self) -> list[dict[str, Any]]:
        """The one table that CSV can hold: operations, or without an assignment intervals.

        Raises:
            InputError: there are both.
        """
        if self.assigned and self.robustness:
            raise InputError("--csv holds one table: give an assignment or --sensitivity, not both")
        if self.assigned:
            return layer_table(self.assigned.energy, self.assigned.storage)
        return self.robustness.rows() if self.robustness else []


def cost_report(request: CostRequest) -> CostReport:
    """Compute what was asked for; nothing is created, but for the tables of a study with a log.

    Raises:
        InputError: contradictory options; no assignment; an evaluator without a network;
            firing rates that are neither measured nor stated; bad layers, choices, profiles.
    """
    _check(request)
    study = CostStudy(request)
    assigned, found = _assigned(study), None
    if request.sensitivity:
        candidates = _candidates(study, assigned)
        found = robustness(study.workload, study.profile, candidates, seed=request.seed or 0)
    return CostReport(
        study=study.name,
        profile=study.profile,
        recorded_profile=study.recorded.name if study.recorded else None,
        timesteps=study.workload.timesteps,
        notes=tuple(dict.fromkeys(study.notes)),
        assigned=assigned,
        robustness=found,
    )


def _check(request: CostRequest) -> None:
    if request.trial is not None and request.uniform is not None:
        raise InputError("--trial and --uniform are two assignments; give one")
    if request.trial is not None and request.rate is not None:
        raise InputError(
            "--rate and --trial exclude each other: a trial comes with its measured rates; "
            "for other rates give its choices by --assign"
        )
    asked = request.trial is not None or request.uniform is not None or request.assign
    if not asked and not request.sensitivity:
        raise InputError(
            "say which assignment: --trial N, --uniform CHOICE or --assign LAYER=CHOICE …; "
            "or --sensitivity for the whole front"
        )
    if request.seed is not None and not request.sensitivity:
        raise InputError("--seed is that of the sensitivity draws; it needs --sensitivity")


def _assigned(study: CostStudy) -> Assigned | None:
    """The assignment that was asked for, and its costs; None if none was."""
    candidate = _candidate(study)
    if candidate is None:
        return None
    choices, rates = candidate.choices, candidate.rates
    model = CostModel(study.workload, study.profile, {p: (c,) for p, c in choices.items()})
    if study.workload.unread:
        values = [f"{path} ({count:,} values)" for path, count in study.workload.unread]
        study.notes.append(f"not read by the network, not stored: {listed(values)}")
    energy, recorded = model.energy(choices, rates), None
    if candidate.trial is not None and not study.request.assign:
        recorded = (study.row(candidate.trial).values or {}).get("energy")
    same = study.recorded is not None and study.profile.contents() == study.recorded.contents()
    if same and rates and recorded is not None and recorded != energy.total:
        study.notes.append(
            f"the recorded energy is {recorded:.6g} µJ, this is {energy.total:.6g} µJ: "
            "not every firing rate of the trial was recorded"
        )
    return Assigned(
        label=candidate.label,
        candidate=candidate,
        rates=f"measured on trial {candidate.trial}" if rates else study.rates_text,
        energy=energy,
        storage=model.storage(choices),
        compression=model.compression(choices),
        comparison=comparison(model, choices, rates),
        recorded=recorded,
        unread=study.workload.unread,
        placement=model.placement(choices),
    )


def _candidate(study: CostStudy) -> CostedAssignment | None:
    request, layers = study.request, _searched(study)
    choices: dict[str, str] = dict(study.space.pinned)
    rates: Rates | None = None
    labels: list[str] = []
    if request.trial is not None:
        row = study.row(request.trial)
        choices, rates = _choices(study, row), _rates(study, row)
        labels.append(f"trial {row.number}")
    elif request.uniform is not None:
        choices = _uniform(study, request.uniform)
        labels.append(f"uniform {request.uniform}")
    elif not request.assign:
        return None
    if request.assign:
        choices |= _given(study, request.assign)
        labels.append(", ".join(request.assign))
    missing = [path for path in layers if path not in choices]
    if missing:
        raise InputError(
            f"--assign leaves {len(missing)} of {len(layers)} layers without a choice "
            f"({listed(missing)}): add --uniform CHOICE or --trial N for the others"
        )
    # What a network does with weights that are in no layer stays in fp32.
    ordered = {path: choices.get(path, FP32) for path in study.workload.layers}
    return CostedAssignment(" with ".join(labels), request.trial, ordered, rates)


def _searched(study: CostStudy) -> list[str]:
    """Weight layers that have a choice, in the order of the network."""
    known = {layer.path for layer in study.evaluator.layers()}
    return [path for path in study.workload.layers if path in known]


def _uniform(study: CostStudy, choice: str) -> dict[str, str]:
    """The baseline of a choice of the space; of another choice, every layer as asked."""
    parse_choice(choice)
    if not any(choice in d.values for d in study.space.dimensions if d.kind == "weights"):
        study.notes.append(f"{choice} is outside the study's space; every layer takes it here")
        return dict.fromkeys(_searched(study), choice)
    choices = study.space.assignment(study.space.baseline(choice))
    others = [f"{path}={c}" for path, c in choices.items() if c != choice]
    if others:
        study.notes.append(f"layers that may not take {choice}: {listed(others)}")
    return choices


def _given(study: CostStudy, texts: Sequence[str]) -> dict[str, str]:
    """``LAYER=CHOICE`` texts; a layer may be a dimension's name or a pattern."""
    groups = {d.name: d.layers for d in study.space.dimensions if d.kind == "weights"}
    allowed = {path: d.values for d in study.space.dimensions for path in d.layers}
    allowed |= {path: (choice,) for path, choice in study.space.pinned}
    layers = _searched(study)
    found: dict[str, str] = {}
    for text in texts:
        name, separator, choice = text.rpartition("=")  # a layer's name may hold one
        if not separator or not name or not choice:
            raise InputError(f"--assign {text}: expected LAYER=CHOICE, such as head=4u")
        parse_choice(choice)
        matched = groups.get(name) or [p for p in layers if fnmatchcase(p, name)]
        if not matched:
            raise UnknownName("layer", name, [*layers, *groups], f"--assign {text}")
        found |= dict.fromkeys(matched, choice)
    outside = [f"{p}={c}" for p, c in found.items() if c not in allowed.get(p, (c,))]
    if outside:
        study.notes.append(f"outside the study's space: {listed(outside)}")
    return found


def _choices(study: CostStudy, row: TrialRow) -> dict[str, str]:
    return study.space.assignment(study.space.candidate(row.choices))


def _rates(study: CostStudy, row: TrialRow) -> Rates | None:
    """The rates measured on a trial (of its layers only, where that is all it recorded)."""
    if study.request.rate is not None:
        return None
    details = row.details
    if details.rates is not None:
        return rates_from_json(details.rates)
    rates = {
        row.layer: LayerRate(row.rate, row.activity)
        for row in details.layers or ()
        if row.layer is not None and row.rate is not None and row.activity is not None
    }
    if not rates:
        study.notes.append(
            f"trial {row.number} ({row.state}) measured no firing rates: the parent's are used"
        )
    return rates or None


def _candidates(study: CostStudy, assigned: Assigned | None) -> list[CostedAssignment]:
    """What sensitivity compares: the front (else the baselines), and the assignment."""
    found = [
        CostedAssignment(
            f"trial {row.number}", row.number, _choices(study, row), _rates(study, row)
        )
        for row in study.front
        if study.space.structural_key(study.space.candidate(row.choices)) == study.part
    ]
    if len(found) < len(study.front):
        study.notes.append(
            f"{len(study.front) - len(found)} members of the front have another structure; "
            "--trial N says whose is compared"
        )
    if not found:
        study.notes.append("there is no front yet: the uniform baselines are compared")
        found = [
            CostedAssignment(f"uniform {name}", None, study.space.assignment(candidate), None)
            for name, candidate in study.space.baselines().items()
        ]
    if assigned is not None and assigned.label not in {c.label for c in found}:
        found.append(assigned.candidate)
    return found
