"""What a weight layer stores, tensor by tensor: between a network and its file or its C code.

The tensors of a layer take exactly the bytes that :mod:`hqsearch.hardware.storage` counts for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hqsearch.export.bits import Constants
from hqsearch.schemes.choice import Choice, parse_choice

Array = npt.NDArray[Any]
#: Tensors that layers with one weight in common hold once.
SHARED: Final = ("codes", "weight", "scale", "exponent")


@dataclass(frozen=True)
class StoredLayer:
    """One weight layer with C output channels, as it is stored.

    Where a neuron alone reads the (normalised) output and resets hard to 0, it takes in the
    layer's scale, bias and normalisation: ``threshold`` is there, ``scale``, ``exponent`` and
    ``multiplier`` are not, and with ``z`` the sums of ``integers`` times inputs *in unit spikes*::

        charge   u += (z + bias - u) / tau       (bias 0 where there is none)
        fire     u >= threshold, or u <= threshold where the threshold is negative
        reset    u = 0 where it fired

    Elsewhere the output is ``multiplier * scale * sum + bias`` (each 1 or 0 where it is None),
    with sums of levels times inputs as they are.

    Attributes:
        path: of the module.
        choice: how its weights are stored, ``fp32`` included.
        shape: of the weight, output channels first.
        codes: ``int8`` of that shape; None for fp32. All zero in a channel that a normalisation
            multiplies by (next to) nothing.
        weight: ``float32`` of that shape; None for codes.
        scale: ``float32`` ``[C]``, or None.
        exponent: ``int8`` ``[C]`` of scales that are powers of two, or None.
        multiplier: ``float32`` ``[C]`` of a normalisation that no neuron takes in, or None.
        bias: ``[C]`` or None: fixed-point where a neuron reads codes, float32 elsewhere.
        threshold: ``[C]`` or None; likewise.
        unit: size of one unit spike in the layer's input.
        norm: path of the normalisation behind it (several in a row: joined by ``+``), or None.
        neuron: path of the neuron that took it in, or None.
        weights_of: path of the layer that holds its codes (or weight) and scales, where they are
            one tensor in the network; None for its own.
    """

    path: str
    choice: str
    shape: tuple[int, ...]
    codes: Array | None
    weight: Array | None
    scale: Array | None
    exponent: Array | None
    multiplier: Array | None
    bias: Constants | None
    threshold: Constants | None
    unit: float
    norm: str | None
    neuron: str | None
    weights_of: str | None = None

    @property
    def parsed(self) -> Choice:
        """Its choice, with bits and scheme."""
        return parse_choice(self.choice)

    def tensors(self) -> dict[str, Array]:
        """Its tensors as a file holds them, by name; codes packed, ``uint8``.

        Without those that another layer holds for it.
        """
        found: dict[str, Array | None] = {}
        if self.weights_of is None:
            found = {"weight": self.weight, "scale": self.scale, "exponent": self.exponent}
        if self.weights_of is None and self.codes is not None:
            packed = self.parsed.scheme.pack(self.codes, self.parsed.bits)
            found["codes"] = np.frombuffer(packed, np.uint8)
        found |= {
            "multiplier": self.multiplier,
            "threshold": self.threshold.values if self.threshold else None,
            "bias": self.bias.values if self.bias else None,
        }  # fmt: skip
        shifts = [c.shift for c in (self.threshold, self.bias) if c and c.shift is not None]
        found["shift"] = np.array(shifts, np.int8) if shifts else None
        return {name: value for name, value in found.items() if value is not None}

    def about(self) -> dict[str, Any]:
        """What its tensors do not say, as JSON values."""
        told = {
            "choice": self.choice, "shape": list(self.shape), "unit": self.unit,
            "norm": self.norm, "neuron": self.neuron,
        }  # fmt: skip
        return told if self.weights_of is None else {**told, "weights_of": self.weights_of}

    @classmethod
    def of_tensors(
        cls, path: str, about: Mapping[str, Any], tensors: Mapping[str, Array]
    ) -> StoredLayer:
        """A layer of what :meth:`tensors` and :meth:`about` gave.

        Args:
            path: of the module.
            about: of :meth:`about`.
            tensors: its own, and those of :data:`SHARED` that another layer holds for it.

        Raises:
            ValueError: tensors of another shape, or codes that are none.
            KeyError: something is missing.
        """
        choice, shape = parse_choice(about["choice"]), tuple(int(n) for n in about["shape"])
        codes = weight = None
        if choice.scheme.has_codes:
            packed, count = tensors["codes"].tobytes(), int(np.prod(shape, dtype=np.int64))
            codes = choice.scheme.unpack(packed, choice.bits, count).reshape(shape)
        else:
            weight = tensors["weight"].reshape(shape)
        shifts = [int(s) for s in tensors.get("shift", ())]
        constants: dict[str, Constants | None] = {}
        for name in ("threshold", "bias"):
            values = tensors.get(name)
            whole = values is not None and values.dtype == np.int32
            shift = shifts.pop(0) if whole and shifts else None
            constants[name] = None if values is None else Constants(values, shift)
        for name in ("scale", "exponent", "multiplier", "threshold", "bias"):
            if name in tensors and tensors[name].shape != shape[:1]:
                raise ValueError(f"{name} of {path!r} has another shape than its channels.")
        return cls(
            path=path, choice=choice.text, shape=shape, codes=codes, weight=weight,
            scale=tensors.get("scale"), exponent=tensors.get("exponent"),
            multiplier=tensors.get("multiplier"), **constants, unit=float(about["unit"]),
            norm=about["norm"], neuron=about["neuron"], weights_of=about.get("weights_of"),
        )  # fmt: skip
