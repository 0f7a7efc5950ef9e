"""Energy of one operation, in pJ per inference, as separate columns.

Pure arithmetic on the constants of a profile; every constant may be a number or an array of
draws, and the result has that shape. For a weight layer with weights of b bits, M multiply-
accumulates that read an input (those on zero padding are not among them), and its firing rate r
and activity a (mean unit spikes of an input), each input weighted by the multiply-accumulates
that read it, so that r·M and a·M are exact counts:

compute
    binary inputs: r·M accumulates. Integer inputs: a·M accumulates (rule ``unit-spikes``) or
    r·M multiply-accumulates (rule ``multiply``). Frames and real inputs: M
    multiply-accumulates. What either costs is said by the adder of the weight's scheme
    (:mod:`hqsearch.schemes.adders`).
weights
    b bits for each fetch. One fetch serves R = positions × timesteps uses and is skipped if all
    of them are zero: fetches = uses / R · (1 − (1 − p)^R), zeros being independent. p is the
    mean over a layer's weights of the share of uses that are not zero, padding counted as zero.
    Loads from off-chip are added by layer, or (rule ``residency = "network"``) for the network as
    a whole (:class:`hqsearch.hardware.memory.WeightMemory`).
membrane
    neuron updates, and a read and a write of every membrane potential in every step; a neuron
    without a state has none.
traffic
    reading inputs and writing spikes.
rest
    biases, and normalisation or scales that no neuron absorbs.

Constants after Horowitz (ISSCC 2014); weight fetches, membranes and zero spikes are counted
because counting additions alone misleads (arXiv 2409.08290, arXiv 2309.03388).
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from hqsearch.errors import DefinitionError
from hqsearch.hardware.memory import BITS_PER_KIB as BITS_PER_KIB
from hqsearch.hardware.memory import resident
from hqsearch.hardware.workload import Operation
from hqsearch.schemes.adders import Number as Number
from hqsearch.schemes.adders import Rules as Rules
from hqsearch.schemes.adders import Values as Values
from hqsearch.schemes.adders import addition
from hqsearch.schemes.choice import Choice

COLUMNS: Final = ("compute", "weights", "membrane", "traffic", "rest")


def _needs(value: float | None, op: Operation) -> float:
    if value is None:
        raise DefinitionError(
            f"the firing rate at {op.path!r} is not known: measure it, or state one (--rate R)."
        )
    return value


def _compute(op: Operation, choice: Choice, c: Values, rules: Rules) -> Number:
    adder = choice.scheme.adder(choice.bits)
    if _per_spike(op, rules) is not None:
        return operations(op, rules) * adder.accumulate(c, rules)
    width = None if op.input_kind == "real" else op.input_bits
    return operations(op, rules) * adder.multiply_accumulate(width, c, rules)


def operations(op: Operation, rules: Rules) -> float:
    """Accumulations, or multiply-accumulates where inputs are multiplied, per inference; exact.

    Raises:
        DefinitionError: its firing rate is needed and not known.
    """
    return _share(op, rules, per_use=True) * op.valid_macs


def padded_operations(op: Operation, rules: Rules) -> float:
    """The same as papers count: r·M, with M and the mean rate taken over padding, too."""
    return _share(op, rules, per_use=False) * op.macs


def _share(op: Operation, rules: Rules, *, per_use: bool) -> float:
    """Operations for each multiply-accumulate."""
    rate = op.rate if not per_use or op.rate_per_use is None else op.rate_per_use
    activity = op.activity if not per_use or op.activity_per_use is None else op.activity_per_use
    if op.kind == "attention" and op.spike_driven:
        return _needs(rate if _multiplies_integers(op, rules) else activity, op)
    if op.kind == "weight":
        counted = _per_spike(op, rules)
        if counted is not None:
            return _needs(rate if counted == "rate" else activity, op)
        if op.spike_driven:
            return _needs(rate, op)
    skipping = {
        "weight": op.input_source == "activations",
        "attention": op.input_kind != "real",
    }.get(op.kind, False)
    return rate if skipping and rate is not None else 1.0


def _per_spike(op: Operation, rules: Rules) -> Literal["rate", "activity"] | None:
    """What counts the accumulates of a weight layer; None: its inputs are multiplied."""
    if op.input_source == "frames" and op.input_kind != "real":
        return None if rules["frame_inputs"] == "multiply" else "activity"
    if op.spike_driven and op.input_kind == "binary":
        return "rate"
    return "activity" if op.spike_driven and rules["integer_inputs"] == "unit-spikes" else None


def weight_reads(op: Operation, choice: Choice, c: Values, rules: Rules) -> tuple[Number, Number]:
    """Reading a layer's weights from the chip's memory and, layer by layer, from off-chip, pJ.

    Raises:
        DefinitionError: its firing rate is needed and not known.
    """
    bits = op.weights * choice.bits
    positions, steps = max(op.positions, 1), max(op.timesteps, 1)
    groups = np.ceil(positions / np.clip(c["reuse_positions"], 1, positions)) * np.ceil(
        steps / np.clip(c["reuse_timesteps"], 1, steps)
    )
    share: Number = 1.0
    if op.spike_driven:
        uses = positions * steps / groups
        rate = _needs(op.rate if op.rate_per_use is None else op.rate_per_use, op)
        needed = rate * (op.valid_macs / max(op.macs, 1))
        share = 1.0 - (1.0 - min(needed, 1.0)) ** uses
    fetched = bits * groups * share
    if resident(rules):
        return fetched * c["weight_memory"], 0.0
    loads = bits * c["weight_loads"]
    # Without room in the buffer a weight comes from off-chip whenever it is used, and at least
    # as often as a buffered one would be loaded.
    fits = bits <= c["weight_buffer"] * BITS_PER_KIB
    streamed = np.where(fits, loads, np.maximum(fetched, loads))
    return fetched * c["weight_memory"], streamed * c["offchip"]


def _reading(op: Operation, c: Values) -> Number:
    """Moving an operation's inputs to it, pJ."""
    bits = op.inputs * op.timesteps * op.input_bits * c["traffic_per_bit"]
    if op.activity is None:
        if op.spike_driven and np.any(c["traffic_per_spike"]):
            _needs(None, op)
        return bits
    if op.input_kind == "real":
        return bits
    return bits + op.inputs * op.timesteps * op.activity * c["traffic_per_spike"]


def _norm(count: int, c: Values) -> Number:
    return count * (c["float_multiply"] + c["float_add"])


def weight_layer(op: Operation, choice: Choice, c: Values, rules: Rules) -> dict[str, Number]:
    """Columns of one weight layer under ``choice``, pJ per inference.

    Raises:
        DefinitionError: its firing rate is needed and not known.
    """
    outputs = op.outputs * op.timesteps
    rest: Number = 0.0
    if rules["rest"] == "counted" and op.neuron is None:
        if op.norm is not None or choice.scheme.has_codes:
            rest = _norm(outputs, c)
        elif op.bias:
            rest = outputs * c["float_add"]
    return {
        "compute": _compute(op, choice, c, rules),
        "weights": sum(weight_reads(op, choice, c, rules)),
        "membrane": 0.0,
        "traffic": _reading(op, c),
        "rest": rest,
    }


def other(op: Operation, c: Values, rules: Rules) -> dict[str, Number]:
    """Columns of an operation without weights, pJ per inference."""
    columns: dict[str, Number] = dict.fromkeys(COLUMNS, 0.0)
    outputs = op.outputs * op.timesteps
    counted = rules["rest"] == "counted"
    if op.kind == "neuron":
        update = c["neuron_base"] + c["neuron_per_bit"] * c["membrane_bits"]
        kept = 2 * c["membrane_bits"] * c["membrane_memory"] if op.stateful else 0.0
        columns["membrane"] = outputs * (update + kept)
        columns["traffic"] = outputs * op.input_bits * c["traffic_per_bit"]
    elif op.kind == "activation":
        requantize = c["multiply_per_bit2"] * c["accumulator_bits"] * op.input_bits
        columns["compute"] = outputs * (requantize + addition(c, c["accumulator_bits"]))
        columns["traffic"] = outputs * op.input_bits * c["traffic_per_bit"]
    elif op.kind == "attention":
        columns["compute"] = _attention(op, c, rules)
        columns["traffic"] = _reading(op, c)
    elif op.kind in ("unknown", "elementwise"):
        columns["compute"] = op.macs * (c["float_multiply"] + c["float_add"])
    elif counted and op.kind == "norm":
        columns["rest"] = _norm(outputs, c)
    elif counted:  # additions of residuals, comparisons or additions of pooling
        real = op.input_kind == "real"
        each = c["float_add"] if real else addition(c, op.input_bits)
        columns["rest"] = operations(op, rules) * each
    return columns


def _multiplies_integers(op: Operation, rules: Rules) -> bool:
    """Whether integer spikes that gate a product of attention are multiplied, not repeated."""
    wanted = rules["integer_inputs"] == "multiply" and rules["attention"] == "integer"
    return op.input_kind == "integer" and wanted


def _attention(op: Operation, c: Values, rules: Rules) -> Number:
    if op.spike_driven and not _multiplies_integers(op, rules):
        each = c["float_add"] if rules["attention"] == "float" else addition(c, op.output_bits)
    elif op.input_kind == "real":
        each = c["float_multiply"] + c["float_add"]
    else:
        product = c["multiply_per_bit2"] * op.input_bits * op.operand_bits
        each = product + addition(c, op.output_bits)
    return operations(op, rules) * each
