"""Compiled loops of batch normalization followed by LIF neurons, on float32.

An elementwise pass over memory costs more than its arithmetic, and torch makes a dozen of them
for each neuron. Here all timesteps of a tile stay in cache: a forward pass reads the values and
writes the spikes, and the backward pass computes the membrane potentials again instead of reading
them. Values are ``[T, K]``, one row per timestep, channels-last, so that the channel of an
element is its place modulo C; inside, constants ``[C]`` are repeated to ``[L]``, a multiple of C
that fills vectors. A neuron alone has scale 1 and offset 0, which changes no number. Equations:
:mod:`hqsearch.models.neurons`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

f32 = np.float32
ONE, ZERO = f32(1.0), f32(0.0)
#: Numbers that constants are repeated to, at least.
_LANES = 1024
#: Rows that are summed in single precision before they are added up in double precision.
_ROWS = 16


@intrinsic
def _float_of_bits(context: Any, bits: Any) -> Any:
    """The float32 whose bits are those of an int32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def surrogate_slope(z: Any) -> Any:
    """sigmoid'(z) = e / (1 + e)² with e = exp(-|z|), within 4e-7 of its largest value.

    The exponential of Cephes (Moshier), whose steps all have vector instructions; NaN stays NaN.
    """
    x = -abs(z)
    if x < f32(-87.0):
        x = f32(-87.0)
    n = np.floor(x * f32(1.44269504) + f32(0.5))
    r = x - n * f32(0.693359375)
    r = r - n * f32(-2.12194440e-4)
    p = f32(1.9875691500e-4)
    p = p * r + f32(1.3981999507e-3)
    p = p * r + f32(8.3334519073e-3)
    p = p * r + f32(4.1665795894e-2)
    p = p * r + f32(1.6666665459e-1)
    p = p * r + f32(5.0000001201e-1)
    p = p * r * r + r + ONE
    e = p * _float_of_bits((np.int32(n) + np.int32(127)) << np.int32(23))
    d = ONE + e
    return e / (d * d)


@njit(cache=True, nogil=True, error_model="numpy")
def _charged(v: Any, x: Any, keep: Any) -> Any:
    """v + (x - v) · keep, as ``torch.lerp`` rounds it; keep is 1 / tau."""
    if keep < f32(0.5):
        return v + keep * (x - v)
    return x - (x - v) * (ONE - keep)


@njit(cache=True, nogil=True, error_model="numpy")
def _lanes(values: Doubles) -> Floats:
    """Constants ``[C]``, repeated, ``[L]``."""
    count = max(1, _LANES // values.size)
    repeated = np.empty(count * values.size, np.float32)
    for i in range(repeated.size):
        repeated[i] = f32(values[i % values.size])
    return repeated


@njit(cache=True, nogil=True, error_model="numpy")
def _add_lanes(lanes: Floats, into: Doubles) -> None:
    """Add ``[L]`` to ``[C]``."""
    for start in range(0, lanes.size, into.size):
        for i in range(into.size):
            into[i] += lanes[start + i]


@njit(cache=True, nogil=True, error_model="numpy")
def statistics(x: Floats, mean: Doubles, variance: Doubles) -> None:
    """Mean and biased variance ``[C]`` of flat ``x``, shifted by a first value to keep digits."""
    channels, size = mean.size, x.size
    first = x[:channels].astype(np.float64)
    shift = _lanes(first)
    lanes = shift.size
    a, b = np.empty(lanes, np.float32), np.empty(lanes, np.float32)
    mean[:] = 0.0
    variance[:] = 0.0
    for start in range(0, size, _ROWS * lanes):
        a[:] = ZERO
        b[:] = ZERO
        for row in range(start, min(size, start + _ROWS * lanes), lanes):
            n = min(lanes, size - row)
            values = x[row : row + n]
            for i in range(n):
                d = values[i] - shift[i]
                a[i] += d
                b[i] += d * d
        _add_lanes(a, mean)
        _add_lanes(b, variance)
    count = size // channels
    for c in range(channels):
        moved = mean[c] / count
        spread = variance[c] / count - moved * moved
        mean[c] = first[c] + moved
        variance[c] = 0.0 if spread < 0.0 else spread


@njit(cache=True, nogil=True, error_model="numpy")
def fire_forward(
    x: Floats, scale: Doubles, offset: Doubles, spikes: Floats, tau: float, threshold: float
) -> None:
    """Spikes ``[T, K]`` of the currents x · scale + offset, ``[T, K]`` and ``[C]``."""
    keep, level = f32(1.0 / tau), f32(threshold)
    steps, size = x.shape
    slopes, offsets = _lanes(scale), _lanes(offset)
    lanes = slopes.size
    v = np.empty(lanes, np.float32)
    for start in range(0, size, lanes):
        n = min(lanes, size - start)
        v[:] = ZERO
        for t in range(steps):
            values, fired = x[t, start : start + n], spikes[t, start : start + n]
            for i in range(n):
                current = values[i] * slopes[i] + offsets[i]
                h = _charged(v[i], current, keep) if t else current * keep
                fired[i] = ONE if h >= level else ZERO
                v[i] = ZERO if h >= level else h


@njit(cache=True, nogil=True, error_model="numpy")
def fire_backward(
    x: Floats,
    scale: Doubles,
    offset: Doubles,
    mean: Doubles,
    grad: Floats,
    into: Floats,
    plain: Doubles,
    crossed: Doubles,
    tau: float,
    threshold: float,
    alpha: float,
) -> None:
    """Gradient of the currents x · scale + offset, with its sums over every channel.

    Args:
        x: what was normalized, ``[T, K]``.
        scale: ``[C]``, as :func:`fire_forward` had it, as ``offset``.
        offset: ``[C]``.
        mean: ``[C]``, of ``x``.
        grad: of the spikes, ``[T, K]``.
        into: gets the gradient, ``[T, K]``.
        plain: gets its sums, ``[C]``.
        crossed: gets the sums of it times x - mean, ``[C]``.
        tau: of the neuron, as ``threshold`` and ``alpha``.
        threshold: where it fires.
        alpha: slope of the surrogate.
    """
    keep, level, slope = f32(1.0 / tau), f32(threshold), f32(alpha)
    leak, factor = f32(1.0 - 1.0 / tau), f32(alpha / tau)
    steps, size = x.shape
    slopes, offsets, means = _lanes(scale), _lanes(offset), _lanes(mean)
    lanes = slopes.size
    h = np.empty((steps, lanes), np.float32)
    v, carried = np.empty(lanes, np.float32), np.empty(lanes, np.float32)
    a, b = np.empty(lanes, np.float32), np.empty(lanes, np.float32)
    plain[:] = 0.0
    crossed[:] = 0.0
    for start in range(0, size, lanes):
        n = min(lanes, size - start)
        v[:] = ZERO
        for t in range(steps):
            values, potential = x[t, start : start + n], h[t]
            for i in range(n):
                current = values[i] * slopes[i] + offsets[i]
                charged = _charged(v[i], current, keep) if t else current * keep
                potential[i] = charged
                v[i] = ZERO if charged >= level else charged
        a[:] = ZERO
        b[:] = ZERO
        carried[:] = ZERO
        for t in range(steps - 1, -1, -1):
            values, potential = x[t, start : start + n], h[t]
            wanted, found = grad[t, start : start + n], into[t, start : start + n]
            for i in range(n):
                passed = ZERO if potential[i] >= level else leak * carried[i]
                carried[i] = passed + wanted[i] * surrogate_slope(slope * (potential[i] - level))
                g = factor * carried[i]
                found[i] = g
                a[i] += g
                b[i] += g * (values[i] - means[i])
        _add_lanes(a, plain)
        _add_lanes(b, crossed)


@njit(cache=True, nogil=True, error_model="numpy")
def normalization_backward(
    x: Floats, scale: Doubles, mean: Doubles, share: Doubles, tilt: Doubles, grad: Floats
) -> None:
    """``grad`` becomes scale · (grad - share - (x - mean) · tilt); flat, and ``[C]``; in place."""
    slopes, means, shares, tilts = _lanes(scale), _lanes(mean), _lanes(share), _lanes(tilt)
    lanes, size = slopes.size, x.size
    for start in range(0, size, lanes):
        n = min(lanes, size - start)
        values, found = x[start : start + n], grad[start : start + n]
        for i in range(n):
            found[i] = slopes[i] * (found[i] - shares[i] - (values[i] - means[i]) * tilts[i])
