"""Costs for a terminal: layer by layer, by part of the network, totals, comparisons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.text import Text

from hqsearch.analysis.costs import Assigned, CostReport
from hqsearch.analysis.robustness import BITS, DRAWS, SPREAD, Robustness
from hqsearch.hardware.energy import COLUMNS
from hqsearch.hardware.tables import breakdown, layer_table
from hqsearch.show.literal_table import LiteralTable, ModulePath
from hqsearch.show.text import number


def cost_text(report: CostReport) -> RenderableType:
    """The whole report."""
    profile = report.profile
    parts: list[RenderableType] = [
        Text(f"study {report.study}, hardware profile {profile.name}: {profile.title}")
    ]
    parts += [Text(f"note: {note}") for note in report.notes]
    if report.assigned:
        parts += _assigned(report.assigned, report)
    if report.robustness:
        parts += _robustness(report.robustness)
    return Group(*parts)


def _assigned(assigned: Assigned, report: CostReport) -> Iterator[RenderableType]:
    yield Text(f"firing rates: {assigned.rates}")
    yield _layers(assigned)
    yield from _columns(assigned)
    yield _parts(assigned)
    yield Text("\n".join(_totals(assigned, report)))


def _layers(assigned: Assigned) -> LiteralTable:
    """Every operation that costs something."""
    rows = layer_table(assigned.energy, assigned.storage)
    shown = [row for row in rows if row["energy"] or row["storage"]]
    free = len(rows) - len(shown)
    title = f"Cost of {assigned.label}: energy in µJ per inference, storage in KiB"
    if free:
        title += f" ({free} operations that cost nothing are left out)"
    table = _table(title, "operation", "choice", "input")
    for name in ("rate", "MACs", "energy", "storage"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in shown:
        table.add_row(
            ModulePath(row["path"]),
            row["choice"] or "",
            row["input"] or "",
            "" if row["rate"] is None else number(row["rate"], 3),
            _count(row["macs"]),
            _cost(row["energy"]),
            _cost(row["storage"]),
        )
    table.add_section()
    macs = _count(sum(row["macs"] for row in rows))
    totals = (_cost(assigned.energy.total), _cost(assigned.storage.kib))
    table.add_row("total", "", "", "", macs, *totals, style="bold")
    return table


def _columns(assigned: Assigned) -> Iterator[LiteralTable]:
    """The same energies by kind of cost, where a profile knows more than one kind."""
    names = [name for name in COLUMNS if assigned.energy.column(name)]
    if len(names) < 2:
        return
    loaded = assigned.energy.offchip
    title = "The same energies by kind of cost, µJ"
    if loaded:
        title += " (off-chip is a part of weights)"
    table = _table(title, "operation")
    place = names.index("weights") + 1 if loaded else len(names)
    for name in [*names[:place], *(["off-chip"] if loaded else []), *names[place:]]:
        table.add_column(name, justify="right", no_wrap=True)

    def cells(columns: Mapping[str, float], offchip: float) -> list[str]:
        values = [columns[name] for name in names]
        return [
            _cost(v) for v in [*values[:place], *([offchip] if loaded else []), *values[place:]]
        ]

    for row in assigned.energy.rows:
        if row.total:
            table.add_row(row.path, *cells(row.columns, row.offchip))
    table.add_section()
    totals = {name: assigned.energy.column(name) for name in names}
    table.add_row("total", *cells(totals, loaded), style="bold")
    yield table


def _parts(assigned: Assigned) -> LiteralTable:
    table = _table("By part of the network", "part")
    for name in ("energy", "share", "storage", "share"):
        table.add_column(name, justify="right")
    for row in breakdown(assigned.energy, assigned.storage):
        table.add_row(
            row["part"],
            number(row["energy"]),
            f"{row['energy_share']:.1%}",
            number(row["storage"]),
            f"{row['storage_share']:.1%}",
        )
    return table


def _totals(assigned: Assigned, report: CostReport) -> Iterator[str]:
    energy, storage = assigned.energy.total, assigned.storage
    yield f"\nenergy: {number(energy, 6)} µJ per inference of {report.timesteps} timesteps"
    counted = assigned.energy.operations()
    if counted is not None:
        exact, padded = counted
        yield (
            f"  operations of the weight layers: {_count(exact)} per inference, exactly; r·M, as "
            f"papers count them: {_count(padded)}"
            + (f", {padded / exact:.3f} times this" if exact else "")
        )
    if assigned.recorded is not None:
        other = report.recorded_profile != report.profile.name
        under = f", under profile {report.recorded_profile}" if other else ""
        same = " (the same)" if assigned.recorded == energy else ""
        yield f"  recorded: {number(assigned.recorded, 6)} µJ{under}{same}"
    yield from _memories(assigned, report)
    compared = assigned.comparison
    yield f"  this network at fp32: {number(compared['fp32'])} µJ"
    yield (
        f"  bit-matched network without spikes ({report.timesteps.bit_length()}-bit activations, "
        f"one pass): {_without(compared['non-spiking'], energy)}"
    )
    skipped = _without(compared["non-spiking, zeros skipped"], energy)
    yield f"  the same, if zero activations are skipped: {skipped}"
    yield (
        f"storage: {number(storage.kib, 6)} KiB; "
        f"{number(storage.average_bits, 3)} bits per weight on average"
    )
    yield (
        f"  smaller than fp32: {assigned.compression['codes']:.2f}× by weight codes alone "
        f"(32 / average bits, as papers count), {assigned.compression['stored']:.2f}× with "
        "everything stored"
    )


def _memories(assigned: Assigned, report: CostReport) -> Iterator[str]:
    """Where weights are, and what reading from the profile's memories costs."""
    placed = assigned.placement
    if placed is not None:
        text = f"  weights: {number(placed.codes)} KiB of codes, "
        if placed.offchip:
            times = "once" if placed.loads == 1 else f"{placed.loads:g} times"
            yield text + (
                f"{number(placed.codes - placed.offchip)} of them stay on the chip; "
                f"{number(placed.offchip)} KiB do not fit and are loaded {times} per inference: "
                f"{number(placed.energy)} µJ, shared among layers by their codes"
            )
        else:
            yield text + f"all fit the {number(placed.capacity)} KiB on the chip and stay there"
    derived = report.profile.derived()
    for what, name in (("weights", "weight_memory"), ("membranes and spikes", "membrane_memory")):
        if name in derived:
            constant = derived[name]
            yield f"  reading a bit of {what}: {number(constant.value, 3)} pJ; {constant.source}"


def _without(other: float, energy: float) -> str:
    """The energy of a network without spikes, and what spikes change about it."""
    text = f"{number(other)} µJ"
    if not other:
        return text
    saved = 1.0 - energy / other
    return f"{text}, spikes {'save' if saved >= 0 else 'cost'} {abs(saved):.1%}"


def _robustness(found: Robustness) -> Iterator[RenderableType]:
    sensitivity = found.sensitivity
    varied = len(sensitivity.constants)
    title = (
        f"Energy, µJ, with {varied} unpublished constants varied by ±{SPREAD:.0%} "
        f"({DRAWS} draws, seed {found.seed})"
    )
    table = _table(title, "candidate")
    for name in ("nominal", "5 %", "95 %", "low", "high"):
        table.add_column(name, justify="right")
    for row in found.rows():
        nominal = row["nominal"]
        ends = [row["low"], row["high"]]
        relative = [f"{end / nominal - 1:+.1%}" if nominal else "–" for end in ends]
        table.add_row(row["candidate"], *(number(v) for v in (nominal, *ends)), *relative)
    yield table
    facts = sensitivity.to_json()
    if facts["tau_median"] is not None:
        yield Text(
            f"ranking by energy: Kendall's τ to the nominal one {facts['tau_median']:.3f} "
            f"(median), {facts['tau_low']:.3f} (5 % of the draws are below)"
        )
    else:
        yield Text("ranking by energy: none, for it needs two candidates of different energy")
    if sensitivity.most_important:
        leading = [
            f"{name} {share:.0%}" for name, share in list(facts["importance"].items())[:3] if share
        ]
        yield Text(f"most important constant, by share of the variance: {', '.join(leading)}")
    else:
        yield Text("most important constant: none, every constant that matters is published")
    schemes = _table(f"E({BITS}u) − E({BITS}l): what power-of-two weights would save", "input")
    for name in ("layers", "µJ", "sign holds in"):
        schemes.add_column(name, justify="right")
    for scheme in found.schemes:
        schemes.add_row(
            scheme.input_kind,
            str(scheme.layers),
            f"{scheme.difference:+.4g}" if scheme.difference else "0",
            f"{scheme.holds:.1%}",
        )
    yield schemes


def _table(title: str, *names: str) -> LiteralTable:
    """A table narrow enough for 80 columns; ``names`` are its columns of text."""
    table = LiteralTable(
        title=f"\n{title}",
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    for index, name in enumerate(names):
        table.add_column(name, overflow="fold", no_wrap=index > 0)
    return table


def _cost(value: float) -> str:
    return number(value, 3) if value else ""


def _count(value: float) -> str:
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value:.3g}" if value else ""
