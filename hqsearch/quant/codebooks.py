"""Codebooks: which values a weight of ``b`` bits may take, as pure functions on tensors.

*Uniform* (LSQ, Esser et al., ICLR 2020, arXiv 1902.08153; per output channel and with the codes
of QSD-Transformer, arXiv 2501.13492): codes -2^(b-1) … 2^(b-1)-1, weight = code * scale.

*Power-of-two* with zero: codes -(2^(b-1)-1) … 2^(b-1)-1, weight = sign * 2^(|code| - 2^(b-1) + 1)
* scale and 0 for code 0, so 4 bits are {0, ±2^0 … ±2^-6} and 2 bits are ternary. The scale is a
power of two as well, so that a layer needs no multiplier. SpikeHQ (arXiv 2412.05505) does not
publish its equations; this codebook is a reconstruction.

Codes grow with the weight they stand for, fit ``b`` bits in two's complement and are ``int8``.
Scales are ``[C]``, one per output channel, the first axis of the weight.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hqsearch.schemes.choice import Choice, parse_choice


def code_range(choice: str | Choice) -> tuple[int, int]:
    """Lowest and highest code.

    >>> code_range("4u"), code_range("4l"), code_range("2l")
    ((-8, 7), (-7, 7), (-1, 1))

    Raises:
        ValueError: ``fp32``, which has no codes.
    """
    choice = _quantized(choice)
    high = 2 ** (choice.bits - 1) - 1
    return (-high - 1 if choice.scheme == "uniform" else -high), high


def levels(choice: str | Choice) -> Tensor:
    """Every value of the codebook at scale 1, ascending, float32 ``[2^b or 2^b - 1]``.

    >>> levels("3l").tolist()
    [-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0]
    """
    low, high = code_range(choice)
    codes = torch.arange(low, high + 1, dtype=torch.int8).unsqueeze(0)
    return decode(codes, torch.ones(1), choice).squeeze(0)


def encode(weight: Tensor, scale: Tensor, choice: str | Choice) -> Tensor:
    """Codes of the nearest values of the codebook.

    Args:
        weight: ``[C, ...]`` float.
        scale: ``[C]`` positive; a power of two for the power-of-two scheme.
        choice: a quantized choice.

    Returns:
        ``int8`` codes of the shape of ``weight``.

    Raises:
        ValueError: ``fp32``.

    >>> encode(torch.tensor([[0.9, -0.4, 0.1]]), torch.tensor([0.25]), "4u")
    tensor([[ 4, -2,  0]], dtype=torch.int8)
    """
    choice = _quantized(choice)
    ratio = weight / per_channel(scale, weight)
    return ratio_to_code(ratio, choice).to(torch.int8)


def decode(codes: Tensor, scale: Tensor, choice: str | Choice) -> Tensor:
    """Weights of ``codes`` ``[C, ...]`` at ``scale`` ``[C]``, in the type of ``scale``.

    Exact inverse of :func:`encode` on its own results.

    Raises:
        ValueError: ``fp32``.
    """
    choice = _quantized(choice)
    return code_to_level(codes.to(scale.dtype), choice) * per_channel(scale, codes)


def integers(codes: Tensor, choice: str | Choice) -> Tensor:
    """What an adder sums for ``codes``: the code itself, or ±2^(|code| - 1) and 0; ``int32``.

    ``integers(codes) * integer_unit(scale)`` is ``decode(codes, scale)``, channel by channel.

    >>> integers(torch.tensor([-3, 0, 1], dtype=torch.int8), "3l")
    tensor([-4,  0,  1], dtype=torch.int32)

    Raises:
        ValueError: ``fp32``.
    """
    choice = _quantized(choice)
    wide = codes.to(torch.int32)
    if choice.scheme == "uniform":
        return wide
    return torch.where(wide == 0, 0, wide.sign() << (wide.abs() - 1).clamp_min(0))


def integer_unit(scale: Tensor, choice: str | Choice) -> Tensor:
    """Weight that an integer of :func:`integers` stands for, ``[C]``.

    Raises:
        ValueError: ``fp32``.
    """
    choice = _quantized(choice)
    _, high = code_range(choice)
    return scale if choice.scheme == "uniform" else scale * 2.0 ** (1 - high)


def exponents(scale: Tensor) -> Tensor:
    """Integer exponents ``e`` (``int8``) of power-of-two scales ``2^e``.

    Raises:
        ValueError: a scale that is no power of two between 2^-126 and 2^127.

    >>> exponents(torch.tensor([0.25, 2.0]))
    tensor([-2,  1], dtype=torch.int8)
    """
    mantissa, exponent = torch.frexp(scale)
    found = exponent - 1
    if bool((mantissa != 0.5).any()) or bool((found < -126).any()) or bool((found > 127).any()):
        raise ValueError("every scale must be a power of two between 2^-126 and 2^127.")
    return found.to(torch.int8)


def scale_of(exponent: Tensor) -> Tensor:
    """Float32 scales ``2^e`` of integer exponents; inverse of :func:`exponents`."""
    return torch.ldexp(torch.ones(exponent.shape), exponent.to(torch.int32))


def ratio_to_code(ratio: Tensor, choice: Choice) -> Tensor:
    """Codes, still as floats, of ``ratio`` = weight / scale; ties go to even or outwards."""
    low, high = code_range(choice)
    if choice.scheme == "uniform":
        return ratio.round().clamp_(low, high)
    # Nearest level: [0.75, 1.5) * 2^-k goes to 2^-k. frexp is exact where log2 is not.
    magnitude = ratio.abs()
    exponent = torch.frexp(magnitude / 0.75).exponent.to(ratio.dtype) - 1
    code = (exponent + high).clamp_(1, high)
    code.masked_fill_(magnitude < 0.5 * 2.0 ** (1 - high), 0.0)
    return code.copysign_(ratio)


def code_to_level(codes: Tensor, choice: Choice) -> Tensor:
    """Value at scale 1 of float ``codes``."""
    if choice.scheme == "uniform":
        return codes
    _, high = code_range(choice)
    return torch.exp2(codes.abs() - high) * codes.sign()


def per_channel(scale: Tensor, like: Tensor) -> Tensor:
    """View ``scale`` ``[C]`` so that it broadcasts over ``like`` ``[C, ...]``."""
    return scale.view(-1, *([1] * (like.ndim - 1)))


def _quantized(choice: str | Choice) -> Choice:
    parsed = parse_choice(choice) if isinstance(choice, str) else choice
    if parsed.scheme == "float":
        raise ValueError("fp32 has no codes; leave the layer alone.")
    return parsed
