"""What a scheme is: one object that knows everything about one way to store weights.

A scheme turns the ratio *weight / scale* of a b-bit weight into a *code* (the integer that is
stored), a code into a *level* (the value at scale 1), and says what both cost. The rest of
hqsearch asks the scheme and never which one it is. Scales are one per output channel, ``[C]``.

A new scheme is a subclass of :class:`Scheme` in a file of this package, behind an entry point
``hqsearch.schemes`` of an installed package, or in a user's file that a space names
(``schemes = ["mine.py:Ternary"]``); :class:`hqsearch.testing.SchemeContract` checks it. Four
methods and three names are all that it must have::

    class Ternary(Scheme):
        name, letter, widths = "ternary", "t", range(2, 3)     # the choice 2t
        def code_range(self, bits): return -1, 1
        def ratio_to_code(self, ratio, bits): return ratio.round().clamp_(-1, 1)
        def code_to_level(self, codes, bits): return codes
        def adder(self, bits): return IntegerAdder(bits)

Nothing here imports torch: the arithmetic is written in methods of the tensors it is given, so
that commands that only read need not load it.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from hqsearch.schemes.adders import Adder
from hqsearch.schemes.packing import pack_codes, unpack_codes

if TYPE_CHECKING:
    from torch import Tensor

#: Scales below are kept from reaching zero, which no weight could be divided by.
SMALLEST_SCALE = 2.0**-60
#: Weights above are refused: the squared error of a layer of them may not fit a float32.
LARGEST_WEIGHT = 2.0**48
#: How many times a nominal quantization error halves per bit.
HALVINGS_PER_BIT = 1.2
#: Stored widths of a scale: a 32-bit float, or the exponent of a power of two.
FLOAT_SCALE_BITS, EXPONENT_SCALE_BITS = 32, 8


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to store a layer: ``bits`` per weight (codes only) and the scheme."""

    text: str
    bits: int
    scheme: Scheme

    def __str__(self) -> str:
        return self.text


class Scheme(ABC):
    """One way to store weights, for every width it has.

    Tensors are ``[C, ...]`` weights, ratios and codes, or ``[C]`` scales; ``bits`` is always one
    of :attr:`widths`. Codes are computed as floats and kept as ``int8``.
    """

    #: In logs and messages: ``uniform``.
    name: ClassVar[str]
    #: Ends the text of a choice: ``u`` in ``4u``.
    letter: ClassVar[str]
    #: Bits per weight that it exists with, within 1 to 8.
    widths: ClassVar[range]
    #: Whether weights become codes at all (fp32's do not).
    has_codes: ClassVar[bool] = True
    #: Whether every level is an integer times one unit per channel (:meth:`integers`).
    has_integers: ClassVar[bool] = True
    #: Stored bits of the scale of an output channel.
    scale_bits: ClassVar[int] = FLOAT_SCALE_BITS
    #: Whether every scale is a power of two, of which the exponent is stored.
    exponent_scale: ClassVar[bool] = False
    #: Sign of the surrogate's ``scheme`` feature: +1 like uniform, -1 like power-of-two, 0 neither.
    feature: ClassVar[float] = 0.0
    #: Name of the learned parameter ``[C]`` behind the scales, and its value before any weight.
    parameter: ClassVar[str] = "step"
    unset: ClassVar[float] = 1.0
    #: Beyond, the scale no longer follows the learned parameter.
    parameter_range: ClassVar[tuple[float, float]] = (-math.inf, math.inf)

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def __eq__(self, other: object) -> bool:
        """One object per scheme; a text is compared with its name, as evaluators of 0.1 do."""
        if not isinstance(other, str):
            return self is other
        warnings.warn(
            f"a choice's scheme is an object since 0.2: compare scheme.name with {other!r}",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.name == other

    def __hash__(self) -> int:
        return hash(self.name)

    # Vocabulary.

    def text(self, bits: int) -> str:
        """How a width is written: ``4u``."""
        return f"{bits}{self.letter}"

    def choices(self) -> tuple[Choice, ...]:
        """Every choice of the scheme, fewest bits first."""
        return tuple(Choice(self.text(bits), bits, self) for bits in self.widths)

    def parse(self, text: str) -> Choice | None:
        """The choice written as ``text``, or None where the scheme has no such."""
        return next((choice for choice in self.choices() if choice.text == text), None)

    def describe(self) -> str:
        """For messages: ``<bits>u (uniform, 2 to 8 bits)``, ``1b (binary)``."""
        first, last = self.widths[0], self.widths[-1]
        if first == last:
            return f"{self.text(first)} ({self.name})"
        return f"<bits>{self.letter} ({self.name}, {first} to {last} bits)"

    def needless(self, bits: int) -> str:
        """Why a new study has no use for this width, as a sentence; empty where it has."""
        return ""

    # Codebook.

    @abstractmethod
    def code_range(self, bits: int) -> tuple[int, int]:
        """Lowest and highest code; at most ``2^bits`` codes, within ``int8``.

        Raises:
            ValueError: a scheme without codes.
        """

    @abstractmethod
    def ratio_to_code(self, ratio: Tensor, bits: int) -> Tensor:
        """Codes, still as floats, of the levels nearest to ``ratio`` = weight / scale.

        A new tensor. NaN stays NaN; whatever lies outside takes the outermost code.
        """

    @abstractmethod
    def code_to_level(self, codes: Tensor, bits: int) -> Tensor:
        """Values at scale 1 of float ``codes``, growing with the code; NaN stays NaN."""

    def level_range(self, bits: int) -> tuple[float, float]:
        """Lowest and highest level: between them gradients pass to the weight (LSQ's Qn, Qp)."""
        low, high = self.code_range(bits)
        return float(low), float(high)

    def gradient_divisor(self, bits: int) -> float:
        """Qp in the divisor sqrt(n · Qp) of the scale's gradient (LSQ), at least 1."""
        return max(1.0, self.level_range(bits)[1])

    def integers(self, codes: Tensor, bits: int) -> Tensor:
        """What an adder sums for ``int8`` codes, ``int32``: the codes themselves."""
        return codes.int()

    def integer_unit(self, scale: Tensor, bits: int) -> Tensor:
        """Weight ``[C]`` that the integer 1 stands for: the scale itself."""
        return scale

    # Storage: codes modulo 2^bits, as they are in two's complement, from the lowest bit on.

    def pack(self, codes: npt.ArrayLike, bits: int) -> bytes:
        """Codes of any shape in C order as bytes; see :mod:`hqsearch.schemes.packing`.

        Raises:
            ValueError: a code outside :meth:`code_range`.
        """
        return pack_codes(codes, bits, *self.code_range(bits))

    def unpack(self, packed: bytes, bits: int, count: int) -> npt.NDArray[np.int8]:
        """The ``count`` codes that :meth:`pack` has written, ``[count]``.

        Raises:
            ValueError: too few or too many bytes, or bits that stand for no code.
        """
        return unpack_codes(packed, bits, *self.code_range(bits), count)

    # Scales: a learned step, unless a scheme says otherwise.

    def scale(self, parameter: Tensor) -> Tensor:
        """Positive scales ``[C]`` of the learned parameter, differentiable."""
        return parameter.abs().clamp_min(SMALLEST_SCALE)

    def parameter_of(self, scale: Tensor) -> Tensor:
        """The parameter ``[C]`` of given scales; inverse of :meth:`scale`."""
        return scale

    def initial_scales(self, weight: Tensor, bits: int) -> list[Tensor]:
        """Scales ``[C]`` to start from; per channel, the one of least error is taken.

        LSQ's ``2 mean|w| / sqrt(Qp)``, and parts of the scale that clips nothing.
        """
        top = self.level_range(bits)[1]
        flat = weight.abs().flatten(1)
        lsq = 2.0 * flat.mean(1).clamp_min(SMALLEST_SCALE) / math.sqrt(top)
        whole = flat.amax(1).clamp_min(SMALLEST_SCALE) / top
        return [lsq, *(whole * (k / 40) for k in range(6, 43))]

    # What it costs, and what is expected of it before anything is measured.

    @abstractmethod
    def adder(self, bits: int) -> Adder:
        """The arithmetic that sums its weights; see :mod:`hqsearch.schemes.adders`."""

    def nominal_error(self, bits: int) -> float:
        """Relative error by bits alone: 1 at 2 bits."""
        return float(2.0 ** (-HALVINGS_PER_BIT * (bits - 2)))
