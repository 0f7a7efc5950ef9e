"""Codes of a weight, and the weight of codes, as pure functions on tensors, for every scheme.

What the codes of a choice stand for is said by its scheme (:mod:`hqsearch.schemes`). Codes grow
with the weight they stand for, fit the choice's bits and are ``int8``. Scales are ``[C]``, one
per output channel, the first axis of the weight.
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
    choice = coded(choice)
    return choice.scheme.code_range(choice.bits)


def levels(choice: str | Choice) -> Tensor:
    """Every value of the codebook at scale 1, ascending, float32 ``[n_codes]``.

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
        scale: ``[C]`` positive; a power of two where the scheme has such scales.
        choice: a quantized choice.

    Returns:
        ``int8`` codes of the shape of ``weight``.

    Raises:
        ValueError: ``fp32``; or a weight or scale that is not a number, which no code stands for.

    >>> encode(torch.tensor([[0.9, -0.4, 0.1]]), torch.tensor([0.25]), "4u")
    tensor([[ 4, -2,  0]], dtype=torch.int8)
    """
    choice = coded(choice)
    codes = choice.scheme.ratio_to_code(weight / per_channel(scale, weight), choice.bits)
    if bool(codes.isnan().any()):
        raise ValueError("a weight that is not a number (NaN) has no code.")
    return codes.to(torch.int8)


def decode(codes: Tensor, scale: Tensor, choice: str | Choice) -> Tensor:
    """Weights of ``codes`` ``[C, ...]`` at ``scale`` ``[C]``, in the type of ``scale``.

    Exact inverse of :func:`encode` on its own results.

    Raises:
        ValueError: ``fp32``.
    """
    choice = coded(choice)
    level = choice.scheme.code_to_level(codes.to(scale.dtype), choice.bits)
    return level * per_channel(scale, codes)


def integers(codes: Tensor, choice: str | Choice) -> Tensor:
    """What an adder sums for ``codes``, ``int32``: the code itself, or a power of two, say.

    ``integers(codes) * integer_unit(scale)`` is ``decode(codes, scale)``, channel by channel.

    >>> integers(torch.tensor([-3, 0, 1], dtype=torch.int8), "3l")
    tensor([-4,  0,  1], dtype=torch.int32)

    Raises:
        ValueError: ``fp32``, or a scheme without an integer form.
    """
    choice = _with_integers(choice)
    return choice.scheme.integers(codes, choice.bits)


def integer_unit(scale: Tensor, choice: str | Choice) -> Tensor:
    """Weight that an integer of :func:`integers` stands for, ``[C]``.

    Raises:
        ValueError: ``fp32``, or a scheme without an integer form.
    """
    choice = _with_integers(choice)
    return choice.scheme.integer_unit(scale, choice.bits)


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


def per_channel(scale: Tensor, like: Tensor) -> Tensor:
    """View ``scale`` ``[C]`` so that it broadcasts over ``like`` ``[C, ...]``."""
    return scale.view(-1, *([1] * (like.ndim - 1)))


def coded(choice: str | Choice) -> Choice:
    """The choice, if it has codes.

    Raises:
        ValueError: ``fp32``.
    """
    parsed = parse_choice(choice) if isinstance(choice, str) else choice
    if not parsed.scheme.has_codes:
        raise ValueError(f"{parsed} has no codes; leave the layer alone.")
    return parsed


def _with_integers(choice: str | Choice) -> Choice:
    parsed = coded(choice)
    if not parsed.scheme.has_integers:
        raise ValueError(f"{parsed} has no integer form.")
    return parsed
