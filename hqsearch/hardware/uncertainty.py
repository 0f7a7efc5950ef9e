"""How far the unpublished constants carry the conclusions.

Every constant that no source gives is varied by ±50 % in a Latin hypercube (McKay et al. 1979,
by scipy). Reported are the interval of each candidate's energy, how stable the candidates'
ranking is (Kendall's τ against the nominal ranking), and which constant matters most: the
squared correlation of a constant's draws with the logarithm of the energy, which for
independent draws is its first-order share of the variance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau, qmc

from hqsearch.errors import DefinitionError
from hqsearch.hardware import energy
from hqsearch.hardware.memory import WeightMemory, with_memories
from hqsearch.hardware.profile import Profile
from hqsearch.hardware.workload import LayerRate, Operation, Workload
from hqsearch.schemes.choice import Choice, parse_choice

Floats = npt.NDArray[np.float64]
#: A full assignment and the rates measured on it (None: the workload's).
Assignment = tuple[Mapping[str, str | Choice], Mapping[str, LayerRate] | None]


@dataclass(frozen=True)
class ConstantUncertainty:
    """Energies of n candidates under ``draws`` variations of the constants.

    nominal, low, high: [n], µJ; low and high hold 90 % of the draws between them.
    tau: [draws], Kendall's τ of the ranking against the nominal one (NaN below 2 candidates).
    importance: constant -> share of the variance, largest first.
    """

    constants: tuple[str, ...]
    nominal: Floats
    low: Floats
    high: Floats
    tau: Floats
    importance: Mapping[str, float]

    @property
    def most_important(self) -> str | None:
        """The constant that moves the energies most; None if nothing moves them."""
        name = next(iter(self.importance), None)
        return name if name is not None and self.importance[name] > 0 else None

    def to_json(self) -> dict[str, Any]:
        """Plain data, τ as its median and 5 % quantile."""
        defined = self.tau[np.isfinite(self.tau)]
        return {
            "constants": list(self.constants),
            "energy": [
                {"nominal": n, "low": low, "high": high}
                for n, low, high in zip(
                    self.nominal.tolist(), self.low.tolist(), self.high.tolist(), strict=True
                )
            ],
            "tau_median": float(np.median(defined)) if len(defined) else None,
            "tau_low": float(np.quantile(defined, 0.05)) if len(defined) else None,
            "importance": dict(self.importance),
            "most_important": self.most_important,
        }


@dataclass(frozen=True)
class SchemeDifference:
    """E(uniform) − E(power-of-two) over all layers with one kind of input.

    difference: µJ at the nominal constants; holds: share of the draws with the same sign.
    """

    input_kind: str
    layers: int
    difference: float
    holds: float


def draw_constants(
    profile: Profile, draws: int = 1000, seed: int = 0, spread: float = 0.5
) -> dict[str, float | Floats]:
    """The profile's constants, uncertain ones as [draws] between (1 ± spread) times nominal.

    Raises:
        DefinitionError: fewer than 2 draws, or a spread outside 0 … 1.
    """
    if draws < 2 or not 0.0 < spread <= 1.0:
        raise DefinitionError(
            f"sensitivity needs at least 2 draws and a spread within 0 and 1, "
            f"not {draws} and {spread}."
        )
    values: dict[str, float | Floats] = dict(profile.values())
    names = profile.uncertain()
    if names:
        sampler = qmc.LatinHypercube(len(names), rng=np.random.default_rng(seed))
        factors = 1.0 + spread * (2.0 * sampler.random(draws) - 1.0)
        for column, name in enumerate(names):
            values[name] = profile.constants[name].value * factors[:, column]
    return with_memories(values, profile.rules)


def vary_constants(
    workload: Workload,
    profile: Profile,
    candidates: Sequence[Assignment],
    *,
    draws: int = 1000,
    seed: int = 0,
    spread: float = 0.5,
) -> ConstantUncertainty:
    """Vary the unpublished constants under ``candidates``.

    Raises:
        DefinitionError: see :func:`draw_constants`; an assignment that misses a layer; or
            firing rates that are needed and not known.
    """
    values = draw_constants(profile, draws, seed, spread)
    nominal = _energies(workload, profile, candidates, profile.values(), 1)[:, 0]
    drawn = _energies(workload, profile, candidates, values, draws)
    low, high = np.quantile(drawn, (0.05, 0.95), axis=1) if len(drawn) else (nominal, nominal)
    tau = np.full(draws, np.nan)
    if len(nominal) > 1:
        for index in range(draws):
            tau[index] = kendalltau(nominal, drawn[:, index]).statistic
    names = tuple(profile.uncertain())
    shares = {name: _share(np.asarray(values[name]), drawn) for name in names}
    ordered = dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))
    return ConstantUncertainty(names, nominal, low, high, tau, ordered)


def scheme_differences(
    workload: Workload,
    profile: Profile,
    *,
    bits: int = 4,
    draws: int = 1000,
    seed: int = 0,
    spread: float = 0.5,
) -> list[SchemeDifference]:
    """E(uniform) − E(power-of-two) at ``bits`` bits, for each kind of input in the network.

    Kinds: ``binary`` spikes, ``integer`` sums of spikes, integer ``frames``, ``real`` values.
    """
    uniform, log = parse_choice(f"{bits}u"), parse_choice(f"{bits}l")
    values = draw_constants(profile, draws, seed, spread)
    kinds: dict[str, list[Operation]] = {}
    for op in workload.layers.values():
        frames = op.input_source == "frames" and op.input_kind != "real"
        kinds.setdefault("frames" if frames else op.input_kind, []).append(op)
    differences = []
    for kind, operations in kinds.items():
        nominal, drawn = 0.0, np.zeros(draws)
        for op in operations:
            at = profile.values()
            nominal += float(_total(op, uniform, at, profile) - _total(op, log, at, profile))
            drawn += _total(op, uniform, values, profile) - _total(op, log, values, profile)
        same = np.sign(drawn) == np.sign(nominal)
        holds = float(same.mean())
        differences.append(SchemeDifference(kind, len(operations), nominal, holds))
    return differences


def _total(op: Operation, choice: Choice | None, values: energy.Values, profile: Profile) -> Any:
    """One operation's energy, µJ, [draws] or a number."""
    columns = (
        energy.weight_layer(op, choice, values, profile.rules)
        if choice is not None
        else energy.other(op, values, profile.rules)
    )
    return sum(columns[name] for name in energy.COLUMNS) * 1e-6


def _energies(
    workload: Workload,
    profile: Profile,
    candidates: Sequence[Assignment],
    values: energy.Values,
    draws: int,
) -> Floats:
    """Energy µJ, [n candidates, draws]; operations that candidates share are computed once."""
    computed: dict[tuple[Operation, str], Any] = {}
    memory = WeightMemory.of(values, profile.rules)
    totals = np.zeros((len(candidates), draws))
    for index, (choices, rates) in enumerate(candidates):
        run = workload.with_rates(rates) if rates else workload
        for op in run.operations:
            choice = None
            if op.kind == "weight":
                if op.path not in choices:
                    raise DefinitionError(f"the assignment has no choice for {op.path!r}.")
                choice = parse_choice(str(choices[op.path]))
            key = (op, str(choice))
            if key not in computed:
                computed[key] = _total(op, choice, values, profile)
            totals[index] += computed[key]
        if memory is not None:
            layers = workload.layers.items()
            bits = sum(op.weights * parse_choice(str(choices[p])).bits for p, op in layers)
            totals[index] += memory.loading(bits) * 1e-6
    return totals


def _share(constant: Floats, drawn: Floats) -> float:
    """Mean squared correlation of one constant with the candidates' log energies."""
    shares = []
    for row in drawn:
        if row.min() > 0 and np.ptp(row) > 1e-12 * row.mean() and np.ptp(constant) > 0:
            shares.append(np.corrcoef(constant, np.log(row))[0, 1] ** 2)
        else:
            shares.append(0.0)
    return float(np.mean(shares)) if shares else 0.0
