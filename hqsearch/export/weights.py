"""What a stored layer means to integers: its weights, and the neuron that took its scale in."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from hqsearch.errors import ExportError
from hqsearch.export.bounds import SUM_LIMIT
from hqsearch.export.layers import StoredLayer
from hqsearch.quant import codebooks
from hqsearch.schemes.adders import IntegerAdder
from hqsearch.schemes.choice import Choice, parse_choice

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: Weights of an fp32 layer become integers of at most this many bits and a sign, float32's own
#: digits, and of no fewer than the second.
FLOAT_DIGITS: Final = 24
LEAST_DIGITS: Final = 12


def integer_weights(stored: StoredLayer, levels: int) -> tuple[Integers, Floats]:
    """Integers ``[O, …]`` of a layer's weights, and what 1 of each output channel stands for.

    Where a neuron has taken the scale in, units are those of its threshold.

    Args:
        stored: the layer.
        levels: largest magnitude of its inputs.

    Raises:
        ExportError: a scheme without an integer form; an fp32 layer that is too large.
    """
    choice = stored.parsed
    if stored.codes is None:
        assert stored.weight is not None
        return _fixed_weights(stored.path, stored.weight.astype(np.float64), levels)
    if not choice.scheme.has_integers:
        raise ExportError(f"{stored.path!r} is stored as {choice}, a scheme without integers.")
    codes = torch.from_numpy(stored.codes.copy())
    weights = codebooks.integers(codes, choice).numpy().astype(np.int64)
    if stored.threshold is not None:
        return weights, np.ones(len(weights))
    scale = stored.scale
    if stored.exponent is not None:
        scale = np.ldexp(1.0, stored.exponent.astype(np.int64))
    assert scale is not None
    units = codebooks.integer_unit(torch.from_numpy(scale.astype(np.float64)), choice)
    return weights, units.numpy()


def neuron_constants(stored: StoredLayer, unit: Floats) -> tuple[Floats, Floats]:
    """Threshold and bias ``[C]`` of the neuron that took ``stored`` in, in units of its integers.

    Args:
        stored: a layer with a threshold. unit: see :func:`integer_weights`.
    """
    assert stored.threshold is not None
    bias = np.zeros(len(unit)) if stored.bias is None else stored.bias.real()
    return stored.threshold.real() / unit, bias / unit


def uses_shifts(choice: str) -> bool:
    """Whether a layer of this choice shifts its inputs in place of multiplying them."""
    parsed = parse_choice(choice)
    if not parsed.scheme.has_codes or isinstance(parsed.scheme.adder(parsed.bits), IntegerAdder):
        return False
    _, levels = table(parsed)
    return bool(((np.abs(levels) & (np.abs(levels) - 1)) == 0).all())


def table(choice: Choice) -> tuple[int, Integers]:
    """The lowest code, and the integer of every code from it on."""
    low, high = codebooks.code_range(choice)
    codes = torch.arange(low, high + 1, dtype=torch.int8)
    return low, codebooks.integers(codes, choice).numpy().astype(np.int64)


def codes_of(weights: Integers, choice: Choice) -> npt.NDArray[Any]:
    """The codes of integers: the inverse of a scheme's ``integers``."""
    low, levels = table(choice)
    order = np.argsort(levels)
    return np.asarray(order[np.searchsorted(levels[order], weights)] + low, np.int8)


def _fixed_weights(path: str, weight: Floats, levels: int) -> tuple[Integers, Floats]:
    """An fp32 layer's weights in fixed point: as fine as 32-bit sums allow."""
    levels, flat = max(levels, 1), np.abs(weight.reshape(len(weight), -1))
    total = np.maximum(flat.sum(1) * levels, 2.0**-126)
    largest = np.maximum(flat.max(1), 2.0**-126)
    # Rounding may add half a unit for each input.
    room = max(SUM_LIMIT - flat.shape[1] * levels, 1)
    digits = np.floor(np.log2(room / total))
    digits = np.minimum(digits, FLOAT_DIGITS - np.ceil(np.log2(largest)))
    if (largest * np.exp2(digits) < 2.0**LEAST_DIGITS).any():
        raise ExportError(
            f"fp32 layer {path!r} has so many or so large inputs that 32-bit sums leave fewer than "
            f"{LEAST_DIGITS} bits to its weights; quantize it."
        )
    unit = np.exp2(-digits)
    spread = unit.reshape(-1, *([1] * (weight.ndim - 1)))
    return np.rint(weight / spread).astype(np.int64), unit
