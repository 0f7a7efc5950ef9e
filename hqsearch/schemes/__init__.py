"""How a weight is stored: one file a scheme, found by walking this package.

What a scheme is, and how to add one, says :mod:`hqsearch.schemes.base`. Imports no torch.
"""

from hqsearch.schemes.adders import Adder, FloatAdder, IntegerAdder, ShiftAdder, addition
from hqsearch.schemes.base import Choice, Scheme
from hqsearch.schemes.choice import FP32, all_choices, parse_choice
from hqsearch.schemes.registry import load_scheme, register, schemes

__all__ = [
    "FP32",
    "Adder",
    "Choice",
    "FloatAdder",
    "IntegerAdder",
    "Scheme",
    "ShiftAdder",
    "addition",
    "all_choices",
    "load_scheme",
    "parse_choice",
    "register",
    "schemes",
]
