"""Controls: what a verdict compares with and no search proposed.

- every uniform width between and beside the offered ones that costs no more than the front,
- scores without a search: the k most sensitive layers at the second-fewest bits on offer, the rest
  at the fewest, each with the choice that scores best; k as large as a member's costs allow,
- luck: the best of as many random candidates as the search evaluated, from the log where a random
  run is in it.

The last two are made for the members that carry claims: the cheapest, the knee and the most
accurate. Controls are trained by ``hqsearch confirm`` and are no parameters of the space.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hqsearch.analysis.choosing import choose
from hqsearch.evaluator import Evaluator, ScoresResult
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import Objective
from hqsearch.problem.space import Dimension, Space
from hqsearch.schemes.base import Choice
from hqsearch.schemes.choice import parse_choice
from hqsearch.store.records import RunRecord, TrialRow

#: Strategy whose candidates are luck.
RANDOM = "random"
#: Bits of a choice that is no code.
_FP32_BITS = 32

#: The scores of a structural part; None where they cannot be had.
Scored = Callable[[str], ScoresResult | None]


@dataclass(frozen=True)
class Searched:
    """A study as its searches left it.

    Attributes:
        runs: of strategies.
        trials: every one.
        front: of it.
        objectives: of the study.
    """

    runs: Sequence[RunRecord]
    trials: Sequence[TrialRow]
    front: Sequence[TrialRow]
    objectives: tuple[Objective, ...]

    @property
    def found(self) -> list[TrialRow]:
        """Members that are no uniform assignment."""
        uniform = {t.key for t in self.trials if t.kind == "baseline"}
        return [t for t in self.front if t.key not in uniform]

    @property
    def claimed(self) -> list[TrialRow]:
        """Of these the cheapest, the knee and the most accurate."""
        found = self.found
        if not found:
            return []
        # As searched: a confirmation that has begun must not change what it confirms.
        searched = [t for t in self.trials if t.kind != "replicate"]
        knee = choose(found, searched, self.objectives).trial
        best = max(found, key=_quality(self.objectives))
        return list({t.number: t for t in (found[0], knee, best)}.values())

    def costs(self, row: TrialRow) -> dict[str, float]:
        """Objectives of which less is better."""
        values = row.values or {}
        return {o.name: values[o.name] for o in self.objectives if o.direction == "min"}


def controls(searched: Searched, evaluator: Evaluator, scored: Scored) -> dict[str, str]:
    """Keys of controls, with what each is called; what was found already is not among them."""
    made: dict[str, str] = {}
    found = searched.found
    if not found:
        return made
    if evaluator.can_widen:
        made |= _widths(searched, evaluator)
    for member in searched.claimed:
        key, name = _by_scores(searched, evaluator, member, scored) or ("", "")
        if key:
            made.setdefault(key, name)
        key, name = _by_luck(searched, member) or ("", "")
        if key:
            made.setdefault(key, name)
    return made


def _widths(searched: Searched, evaluator: Evaluator) -> dict[str, str]:
    """Uniform assignments of widths that are not offered and cost no more than the front."""
    space, made = evaluator.space, {}
    structures = {space.structural_key(Candidate.of(t.choices)) for t in searched.found}
    for key, part in space.parts.items():
        if key not in structures:
            continue
        own = {uniform(part, choice): choice for choice in unoffered(part)}
        limits = _dearest(searched)
        for candidate, costs in zip(own, _cheap(evaluator, list(own)), strict=True):
            if all(costs.get(name, 0.0) <= limit for name, limit in limits.items()):
                made[candidate.key] = f"uniform {own[candidate]}" + (f", {key}" if key else "")
    return made


def unoffered(space: Space) -> list[str]:
    """Widths between and beside those that a space offers, of its schemes; fewest bits first."""
    values = {v for d in space.dimensions if d.kind == "weights" for v in d.values}
    coded = [c for c in map(parse_choice, values) if c.scheme.has_codes]
    found: list[Choice] = []
    for scheme in {c.scheme.name: c.scheme for c in coded}.values():
        bits = [c.bits for c in coded if c.scheme.name == scheme.name]
        near = range(min(bits) - 1, max(bits) + 2)
        for width in scheme.widths:
            if width in near and width not in bits and not scheme.needless(width):
                found.append(parse_choice(scheme.text(width)))
    return [c.text for c in sorted(found, key=lambda c: (c.bits, c.text))]


def uniform(space: Space, choice: str) -> Candidate:
    """Every layer at ``choice``, if that lies between or beside its own, else at its nearest."""
    wanted, nearest = parse_choice(choice), space.baseline(choice)
    return Candidate(
        tuple(
            (name, choice if _beside(d, wanted) else value)
            for d, (name, value) in zip(space.dimensions, nearest.items, strict=True)
        )
    )


def _beside(dimension: Dimension, wanted: Choice) -> bool:
    if dimension.kind != "weights":
        return False
    own = [parse_choice(value) for value in dimension.values]
    bits = [c.bits for c in own if c.scheme.name == wanted.scheme.name]
    return bool(bits) and min(bits) - 1 <= wanted.bits <= max(bits) + 1


def _by_scores(
    searched: Searched, evaluator: Evaluator, member: TrialRow, scored: Scored
) -> tuple[str, str] | None:
    """The most sensitive layers with more bits, as many as cost no more than a member."""
    space = evaluator.space
    structure = space.structural_key(Candidate.of(member.choices))
    answer = scored(structure)
    if answer is None or not answer.scores:
        return None
    part = space.parts[structure]
    ordered = _ordered(part, answer.scores)
    if not ordered:
        return None
    low = {d.name: d.values[0] for d in part.dimensions}
    low |= {name: few for name, few, _ in ordered}
    steps = [dict(low)]
    for name, _, more in ordered:
        steps.append({**steps[-1], name: more})
    candidates = [part.candidate(choices) for choices in steps]
    limits = _estimates(searched, evaluator, member)
    fits = [
        all(costs.get(name, 0.0) <= limit for name, limit in limits.items())
        for costs in _cheap(evaluator, candidates)
    ]
    if not any(fits):
        return None
    k = max(i for i, fit in enumerate(fits) if fit)
    bits = parse_choice(ordered[0][2]).bits
    return candidates[k].key, f"scores, {k} of {len(ordered)} layers at {bits} bits"


def _ordered(space: Space, scores: Mapping[str, Mapping[str, float]]) -> list[tuple[str, str, str]]:
    """Dimensions with their best choices of fewest and of second-fewest bits, worth most first."""
    found = []
    for dimension in space.dimensions:
        if dimension.kind != "weights":
            continue
        own = scores.get(dimension.name, {})
        by_bits: dict[int, list[str]] = {}
        for value in dimension.values:
            by_bits.setdefault(parse_choice(value).bits, []).append(value)
        few, *rest = sorted(by_bits)
        if not rest or rest[0] == _FP32_BITS:
            continue

        def loss(value: str, own: Mapping[str, float] = own) -> float:
            return float(own.get(value, 0.0))

        low, high = min(by_bits[few], key=loss), min(by_bits[rest[0]], key=loss)
        found.append((loss(low) - loss(high), dimension.name, low, high))
    found.sort(key=lambda entry: -entry[0])  # stable: of equals the first of the network
    return [(name, low, high) for _, name, low, high in found]


def _by_luck(searched: Searched, member: TrialRow) -> tuple[str, str] | None:
    """The best of random candidates at no more cost than a member, as its search measured it."""
    searching = [r for r in searched.runs if r.strategy != RANDOM]
    if not searching:
        return None
    drawn: dict[str, TrialRow] = {}
    for trial in searched.trials:
        if trial.strategy == RANDOM and trial.kind == "search" and trial.values:
            drawn.setdefault(trial.key, trial)
    some = list(drawn.values())[: max(r.evaluations for r in searching)]
    limits = searched.costs(member)
    able = [
        t for t in some if all(searched.costs(t)[name] <= limit for name, limit in limits.items())
    ]
    if not able:
        return None
    best = max(able, key=_quality(searched.objectives))
    return best.key, f"random, trial {best.number}, best of {len(some)}"


def _quality(objectives: tuple[Objective, ...]) -> Callable[[TrialRow], float]:
    measured = next((o for o in objectives if not o.cheap), objectives[0])
    sign = 1.0 if measured.direction == "max" else -1.0
    return lambda row: sign * (row.values or {})[measured.name]


def _dearest(searched: Searched) -> dict[str, float]:
    """The most that a member of the front costs, by objective."""
    rows = [searched.costs(member) for member in searched.found]
    return {name: max(row[name] for row in rows) for name in rows[0]}


def _estimates(searched: Searched, evaluator: Evaluator, member: TrialRow) -> dict[str, float]:
    """A member's cheap costs, which those of controls are compared with before any training."""
    (costs,) = _cheap(evaluator, [Candidate.of(member.choices)])
    return {name: costs[name] for name in searched.costs(member) if name in costs}


def _cheap(evaluator: Evaluator, candidates: Sequence[Candidate]) -> list[dict[str, float]]:
    if not candidates:
        return []
    rows = np.asarray(evaluator.holding(candidates).cheap(candidates))
    return [dict(zip(evaluator.metrics, row.tolist(), strict=True)) for row in rows]
