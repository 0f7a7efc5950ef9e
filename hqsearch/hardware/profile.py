"""Hardware constants, each with its unit and its origin.

A profile is a TOML file::

    title = "45 nm, field convention"
    [rules]
    adder = "weight"
    [constants.float_add]
    value = 0.9
    unit = "pJ"
    origin = "published"        # or "extrapolated" (rule named), "assumed"
    source = "Horowitz, ISSCC 2014"

:data:`CONSTANTS` and :data:`RULES` list everything that a profile must say; nothing has a
default, so that no number enters an energy without a line that says where it comes from. Two
rules came later than the others; profiles without them mean what :data:`EARLIER` says. Under
``memory = "by-size"`` the read energies of memories follow from their sizes
(:mod:`hqsearch.hardware.memory`) and are not stated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from hqsearch.errors import DefinitionError, UnknownName
from hqsearch.hardware.memory import PUBLISHED, by_size, read_energy, with_memories
from hqsearch.toml import parse_toml

Origin = Literal["published", "extrapolated", "assumed"]
ORIGINS: tuple[Origin, ...] = ("published", "extrapolated", "assumed")

#: Name -> (unit, meaning). Energies of memories are for one bit.
CONSTANTS: dict[str, tuple[str, str]] = {
    "float_add": ("pJ", "one fp32 addition"),
    "float_multiply": ("pJ", "one fp32 multiplication"),
    "exponent_add": ("pJ", "adding a power-of-two weight's exponent to an fp32 exponent"),
    "add_base": ("pJ", "integer addition, part that does not depend on the width"),
    "add_per_bit": ("pJ/bit", "integer addition, for each bit of the adder"),
    "multiply_per_bit2": ("pJ/bit2", "integer multiplication, times both operands' widths"),
    "shift_per_bit": ("pJ/bit", "one stage of a barrel shifter, for each bit it moves"),
    "decode_per_stage": ("pJ", "decoding a power-of-two code, for each exponent bit"),
    "accumulator_bits": ("bit", "width of the integer accumulators"),
    "membrane_bits": ("bit", "width of a stored membrane potential"),
    "neuron_base": ("pJ", "neuron update, part that does not depend on the width"),
    "neuron_per_bit": ("pJ/bit", "neuron update, for each bit of the membrane"),
    "weight_memory": ("pJ/bit", "reading a weight from the weight buffer"),
    "offchip": ("pJ/bit", "reading a weight from off-chip memory"),
    "weight_buffer": ("KiB", "capacity of the weight buffer, or of the memory for all weights"),
    "weight_loads": ("load/inference", "off-chip loads of weights, as the residency rule says"),
    "reuse_positions": ("position/fetch", "output positions that share one weight fetch"),
    "reuse_timesteps": ("step/fetch", "timesteps that share one weight fetch"),
    "membrane_memory": ("pJ/bit", "reading or writing a membrane potential"),
    "traffic_per_bit": ("pJ/bit", "moving an activation, spike or not, per bit"),
    "traffic_per_spike": ("pJ/spike", "moving one spike as an event"),
}
#: What takes the place of :data:`DERIVED` under ``memory = "by-size"``.
SIZED: dict[str, tuple[str, str]] = {
    **{name: ("pJ/bit", f"reading from an SRAM of {kib} KiB") for kib, name in PUBLISHED.items()},
    "state_memory": ("KiB", "size of the memory for membranes and spikes"),
}
#: Name -> the constant that holds the size of its memory.
DERIVED = {
    "weight_memory": "weight_buffer",
    "membrane_memory": "state_memory",
    "traffic_per_bit": "state_memory",
}

#: Name -> (value -> meaning).
RULES: dict[str, dict[str, str]] = {
    "adder": {
        "weight": "an accumulate costs an adder as wide as the weight (optimistic)",
        "accumulator": "an accumulate costs an adder as wide as the accumulator",
    },
    "integer_inputs": {
        "unit-spikes": "an input of k unit spikes costs k accumulates",
        "multiply": "an input of k unit spikes costs one multiply-accumulate",
    },
    "frame_inputs": {
        "multiply": "integer frames cost one multiply-accumulate per input, zeros included",
        "unit-spikes": "a frame value of k costs k accumulates",
    },
    "attention": {
        "float": "attention products cost fp32 accumulates, as papers count them",
        "integer": "attention products cost integer accumulates of the width they need",
    },
    "rest": {
        "ignored": "biases, unabsorbed normalisation, residual adds and pooling are free",
        "counted": "biases, unabsorbed normalisation, residual adds and pooling are counted",
    },
    "residency": {
        "layer": "a layer that fits the weight buffer is loaded into it, any other streams",
        "network": "weights stay on the chip as far as they fit together; the rest is loaded",
    },
    "memory": {
        "stated": "read energies of memories are constants",
        "by-size": "read energies of memories follow from their sizes",
    },
}
#: What profiles without a rule mean, which was all there was when they were written.
EARLIER: Mapping[str, str] = {"residency": "layer", "memory": "stated"}


@dataclass(frozen=True, slots=True)
class Constant:
    """One number and where it comes from; ``source`` is a citation, a rule or a reason."""

    value: float
    unit: str
    origin: Origin
    source: str


@dataclass(frozen=True)
class Profile:
    """The constants and rules of one piece of hardware."""

    name: str
    title: str
    rules: Mapping[str, str]
    constants: Mapping[str, Constant]

    def values(self) -> dict[str, float]:
        """Constant name -> number, in the units of :data:`CONSTANTS`."""
        return with_memories({name: c.value for name, c in self.constants.items()}, self.rules)

    def uncertain(self) -> list[str]:
        """Constants that no source gives and that are not zero."""
        return [
            name
            for name, constant in self.constants.items()
            if constant.origin != "published" and constant.value > 0
        ]

    def contents(self) -> dict[str, Any]:
        """Everything that can change an energy, for a study's fingerprint."""
        return {
            "name": self.name,
            "rules": dict(self.rules),
            "constants": {
                name: {"value": c.value, "unit": c.unit, "origin": c.origin}
                for name, c in self.constants.items()
            },
        }

    def table(self) -> list[dict[str, str | float]]:
        """Rows (constant, value, unit, origin, meaning, source), for people."""
        meanings = CONSTANTS | SIZED
        constants = {**self.constants, **self.derived()}
        return [
            {
                "constant": name,
                "value": c.value,
                "unit": c.unit,
                "origin": c.origin,
                "meaning": meanings[name][1],
                "source": c.source,
            }
            for name, c in constants.items()
        ]

    def derived(self) -> dict[str, Constant]:
        """The read energies that follow from sizes; none where they are stated."""
        if not by_size(self.rules):
            return {}
        values, found = self.values(), {}
        for name, memory in DERIVED.items():
            kib = values[memory]
            published = kib in PUBLISHED
            how = "a power of the size through the published points"
            if published:
                how = "its published point"
            elif kib < min(PUBLISHED):
                how = "as in the smallest memory that is published"
            elif kib > max(PUBLISHED):
                how = "the same power of the size beyond the largest published memory"
            source = f"{kib:g} KiB ({memory}): {how}"
            found[name] = Constant(
                float(read_energy(kib, values)),
                CONSTANTS[name][0],
                "published" if published else "extrapolated",
                source,
            )
        return found


def profile_names() -> list[str]:
    """The profiles that come with hqsearch."""
    folder = resources.files("hqsearch.hardware.profiles")
    return sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".toml"))


def load_profile(name_or_path: str | Path) -> Profile:
    """Read a built-in profile by name, or a user's own TOML file by path.

    Raises:
        UnknownName: no such profile, or an unknown key in it (says the closest known one).
        DefinitionError: malformed TOML; a constant that is missing, negative, not finite,
            without unit or origin, or in another unit than the model computes in.
    """
    text = str(name_or_path)
    if text in profile_names():
        folder = resources.files("hqsearch.hardware.profiles")
        return parse_profile(text, (folder / f"{text}.toml").read_bytes(), text)
    path = Path(text)
    if path.suffix == ".toml":
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DefinitionError(f"the hardware profile {text} cannot be read: {error}") from error
        return parse_profile(path.stem, content, text)
    raise UnknownName("hardware profile", text, profile_names())


def parse_profile(name: str, content: bytes, where: str) -> Profile:
    """Check and read the TOML of a profile; ``where`` names it in messages."""
    data = parse_toml(content, f"hardware profile {where}")
    _only(data, ("title", "rules", "constants"), "key", where)
    title = data.get("title")
    if not isinstance(title, str):
        raise DefinitionError(f"hardware profile {where}: 'title' is missing or no text.")
    rules = _rules(data.get("rules"), where)
    return Profile(name, title, rules, _constants(data.get("constants"), rules, where))


def _rules(data: Any, where: str) -> dict[str, str]:
    table = _table(data, "rules", where)
    _only(table, RULES, "rule", where)
    rules = {}
    for name, values in RULES.items():
        if name not in table and name in EARLIER:
            continue
        if name not in table:
            raise DefinitionError(
                f"hardware profile {where}: rule {name!r} is missing; one of {', '.join(values)}."
            )
        if table[name] not in values:
            raise UnknownName(f"value of rule {name!r}", str(table[name]), values, where)
        rules[name] = str(table[name])
    return rules


def _constants(data: Any, rules: Mapping[str, str], where: str) -> dict[str, Constant]:
    table = _table(data, "constants", where)
    sized = by_size(rules)
    needed = CONSTANTS
    if sized:
        needed = {n: c for n, c in CONSTANTS.items() if n not in DERIVED} | SIZED
    for name in table:
        if sized and name in DERIVED:
            raise DefinitionError(
                f"hardware profile {where}: constant {name!r} follows from {DERIVED[name]!r} by "
                "the rule memory = 'by-size'; leave it out, or state every read energy with "
                "memory = 'stated'."
            )
        if not sized and name in SIZED:
            raise DefinitionError(
                f"hardware profile {where}: constant {name!r} has no effect without the rule "
                "memory = 'by-size'; add that rule, or leave it out."
            )
    _only(table, needed, "constant", where)
    constants = {}
    for name, (unit, meaning) in needed.items():
        if name not in table:
            raise DefinitionError(
                f"hardware profile {where}: constant {name!r} is missing ({meaning}, in {unit})."
            )
        constants[name] = _constant(name, unit, table[name], f"{where}, constant {name!r}")
    return constants


def _constant(name: str, unit: str, data: Any, where: str) -> Constant:
    table = _table(data, name, where)
    _only(table, ("value", "unit", "origin", "source"), "key", where)
    for key in ("value", "unit", "origin", "source"):
        if key not in table:
            raise DefinitionError(f"hardware profile {where}: {key!r} is missing.")
    value = table["value"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DefinitionError(f"hardware profile {where}: {value!r} is no finite number.")
    least = 1.0 if name.startswith("reuse_") or name.endswith("_bits") else 0.0
    if value < least:
        raise DefinitionError(f"hardware profile {where}: {value} is less than {least:g}.")
    if name in PUBLISHED.values() and not value > 0:
        raise DefinitionError(
            f"hardware profile {where}: the energies of other sizes are powers through this one, "
            "so it must be above 0."
        )
    if table["unit"] != unit:
        raise DefinitionError(
            f"hardware profile {where}: the unit is {table['unit']!r}; give it in {unit!r}."
        )
    if table["origin"] not in ORIGINS:
        raise UnknownName("origin", str(table["origin"]), ORIGINS, where)
    if not isinstance(table["source"], str) or not table["source"].strip():
        raise DefinitionError(
            f"hardware profile {where}: 'source' must say where it is published, "
            "or by which rule or for which reason it was chosen."
        )
    return Constant(float(value), unit, table["origin"], table["source"])


def _table(data: Any, name: str, where: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise DefinitionError(f"hardware profile {where}: {name!r} is missing or no table.")
    return data


def _only(table: Mapping[str, Any], allowed: Any, what: str, where: str) -> None:
    for key in table:
        if key not in allowed:
            raise UnknownName(what, key, allowed, f"hardware profile {where}")
