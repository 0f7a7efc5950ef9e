"""What a network does for one inference of one sample: the input of the cost model.

A :class:`Workload` lists every operation that costs: weight layers, attention products,
neuron updates, residual adds, pooling. :func:`hqsearch.hardware.trace.trace_workload` reads it
from any torch module; it is plain data, kept as JSON, and needs no torch.

Firing rates follow Zhou et al. 2023 (Spikformer, arXiv 2209.15425): the share of nonzero
inputs of a layer. ``activity`` is the mean number of unit spikes per input, which differs from
the rate where residual sums make the inputs integers. A convolution reads inputs near a border
less often than others, and reads nothing on zero padding: rates *per use* weight every input by
the multiply-accumulates that read it, so that rate per use · MACs without padding is the exact
number of accumulations.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Literal

from hqsearch.errors import DefinitionError, UnknownName

#: ``compare``: comparisons, an addition each; ``elementwise``: real-valued functions.
Kind = Literal[
    "weight",
    "attention",
    "neuron",
    "activation",
    "add",
    "pool",
    "norm",
    "compare",
    "elementwise",
    "unknown",
]
InputKind = Literal["binary", "integer", "real"]
#: ``frames``: the network's input; ``spikes``: made of unit spikes, so event-driven hardware
#: may skip zeros; ``activations``: multi-bit activations of a non-spiking network;
#: ``other``: real values made by the network, such as averages.
InputSource = Literal["frames", "spikes", "activations", "other"]

#: How operations are counted, and recorded rates meant. 1: r·M, operations on padding included,
#: and every parameter stored whether or not anything reads it. 2: exactly.
COUNTING: Final = 2


@dataclass(frozen=True, slots=True)
class LayerRate:
    """How busy the inputs of a layer (or the outputs of a neuron) are.

    rate: share of nonzero values. activity: mean magnitude in unit spikes.
    se: standard error of the rate over samples (NaN for a single sample).
    rate_per_use, activity_per_use: the same means, each input weighted by the multiply-accumulates
        that read it; None where all inputs are alike, or were taken for alike.
    """

    rate: float
    activity: float
    se: float = math.nan
    rate_per_use: float | None = None
    activity_per_use: float | None = None


@dataclass(frozen=True, slots=True)
class Following:
    """What reads the output of a weight layer.

    norm: path of the batch normalisation behind it (several in a row: joined by ``+``), or None.
    neuron: path of the neuron that alone reads the (normalised) output and can take the layer's
        scale, its bias and the normalisation into its threshold; None where there is no such one.
    """

    norm: str | None
    neuron: str | None

    @property
    def absorbed(self) -> bool:
        """Whether a normalisation is there and a neuron takes it in."""
        return self.norm is not None and self.neuron is not None


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the network, for one sample.

    Shapes and counts are for one timestep; it runs ``timesteps`` times per inference.
    ``weights``, ``bias`` and ``channels`` are counts; ``positions`` is the number of outputs
    that share one weight in a step; ``unit`` is the size of one unit spike. ``norm`` and
    ``neuron`` name what follows a weight layer (see :class:`Following`).
    ``stateful`` says of a neuron whether it keeps a membrane potential from step to step.
    ``padding_macs_per_step`` are those of the MACs that read zero padding: published counts
    include them, nothing computes them. The weights of a ``shared`` layer are stored with the
    first layer that has them.
    """

    kind: Kind
    path: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    timesteps: int
    macs_per_step: int
    inputs: int
    outputs: int
    input_kind: InputKind
    input_bits: int
    input_levels: int
    input_source: InputSource
    output_bits: int = 0
    rate: float | None = None
    rate_se: float | None = None
    activity: float | None = None
    rate_path: str = ""
    weights: int = 0
    bias: int = 0
    channels: int = 0
    positions: int = 1
    operand_bits: int = 0
    unit: float = 1.0
    norm: str | None = None
    neuron: str | None = None
    padding_macs_per_step: int = 0
    rate_per_use: float | None = None
    activity_per_use: float | None = None
    stateful: bool = True
    shared: bool = False

    @property
    def macs(self) -> int:
        """Multiply-accumulates per inference of one sample, as published: padding included."""
        return self.macs_per_step * self.timesteps

    @property
    def valid_macs(self) -> int:
        """Multiply-accumulates per inference of one sample that read an input, not padding."""
        return (self.macs_per_step - self.padding_macs_per_step) * self.timesteps

    @property
    def spike_driven(self) -> bool:
        """Whether the inputs are unit spikes, so that the cost follows the firing rate."""
        return self.input_source == "spikes"

    def at_rate(self, measured: LayerRate) -> Operation:
        """The same operation with another measured rate."""
        return replace(
            self,
            rate=measured.rate,
            activity=measured.activity,
            rate_se=measured.se,
            rate_per_use=measured.rate_per_use,
            activity_per_use=measured.activity_per_use,
        )


@dataclass(frozen=True)
class Workload:
    """Every operation of a network, per inference of one sample.

    unquantized: parameters outside the weight layers that a deployed file must hold,
        as (path, number of values).
    unread: parameters and buffers that the forward pass does not read, as (path, number of
        values); they need not be stored.
    counting: how operations were counted, see :data:`COUNTING`.
    """

    operations: tuple[Operation, ...]
    timesteps: int
    unquantized: tuple[tuple[str, int], ...] = field(default=())
    unread: tuple[tuple[str, int], ...] = field(default=())
    counting: int = COUNTING

    @cached_property
    def layers(self) -> dict[str, Operation]:
        """The weight layers, by module path, in the order of execution."""
        return {op.path: op for op in self.operations if op.kind == "weight"}

    @cached_property
    def following(self) -> dict[str, Following]:
        """What follows each weight layer, by module path."""
        return {path: Following(op.norm, op.neuron) for path, op in self.layers.items()}

    @property
    def weights(self) -> int:
        """Weights of all weight layers."""
        return sum(op.weights for op in self.layers.values() if not op.shared)

    @cached_property
    def rate_paths(self) -> dict[str, tuple[float, bool]]:
        """What a ``RateMeter`` must measure: path -> (unit spike, whether values are binary).

        Inputs of weight layers that read spikes or integer frames, and outputs of the neurons
        that gate attention products.
        """
        gates = {op.rate_path for op in self.operations if op.kind == "attention"}
        return {
            op.path: (op.unit, op.input_kind == "binary")
            for op in self.operations
            if (op.kind == "weight" and op.input_kind != "real")
            or (op.kind == "neuron" and op.path in gates)
        }

    def layer(self, path: str) -> Operation:
        """The weight layer at ``path``.

        Raises:
            UnknownName: no such layer.
        """
        if path not in self.layers:
            raise UnknownName("layer", path, self.layers, "the network")
        return self.layers[path]

    def with_rates(self, rates: Mapping[str, LayerRate]) -> Workload:
        """The same network with rates measured elsewhere, by layer or neuron path."""
        changed = tuple(
            op.at_rate(rates[op.rate_path]) if op.rate_path in rates else op
            for op in self.operations
        )
        return replace(self, operations=changed)

    def with_rate(self, rate: float) -> Workload:
        """Every neuron fires with probability ``rate`` per step, independently.

        A sum of k unit-spike inputs then has activity k·rate and is nonzero with
        probability 1 − (1 − rate)^k. Integer frames that were not measured are taken as
        nonzero with that probability and then at their largest value, an upper bound.

        Raises:
            DefinitionError: ``rate`` is not within 0 … 1.
        """
        if not 0.0 <= rate <= 1.0:
            raise DefinitionError(f"a firing rate lies within 0 and 1; {rate} was given.")
        changed = []
        for op in self.operations:
            levels = max(op.input_levels, 1)
            spikes = op.spike_driven or op.kind == "neuron"
            frames = op.input_source == "frames" and op.activity is None
            summed = op.spike_driven and op.input_kind == "integer"
            nonzero = 1.0 - (1.0 - rate) ** levels if summed else rate
            given = LayerRate(nonzero, rate * levels, 0.0)
            changed.append(op.at_rate(given) if spikes or frames else op)
        return replace(self, operations=tuple(changed))

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``json.dumps``."""
        return {
            "counting": self.counting,
            "timesteps": self.timesteps,
            "operations": [_operation_to_json(op) for op in self.operations],
            "unquantized": [list(item) for item in self.unquantized],
            "unread": [list(item) for item in self.unread],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | str, *, earlier: bool = False) -> Workload:
        """Read what :meth:`to_json` gave (or its text).

        Args:
            data: one workload.
            earlier: whether one that was counted another way may be read, to show what was
                recorded with it; its numbers do not compare with others.

        Raises:
            DefinitionError: the data is no workload, or is counted another way.
        """
        try:
            loaded = json.loads(data) if isinstance(data, str) else data
            operations = tuple(
                Operation(
                    **{
                        **item,
                        "input_shape": tuple(item["input_shape"]),
                        "output_shape": tuple(item["output_shape"]),
                    }
                )
                for item in loaded["operations"]
            )
            rest, unread = (
                tuple((str(path), int(count)) for path, count in items)
                for items in (loaded["unquantized"], loaded.get("unread", ()))
            )
            counting = int(loaded.get("counting", 1))
            workload = cls(operations, int(loaded["timesteps"]), rest, unread, counting)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DefinitionError(
                f"this is no workload of hqsearch ({error}); prepare the study again."
            ) from error
        if counting != COUNTING and not (earlier and counting < COUNTING):
            raise DefinitionError(
                f"this workload was counted in way {counting}, this version counts in way "
                f"{COUNTING}: their energies do not compare; prepare the study again."
            )
        return workload


def _operation_to_json(op: Operation) -> dict[str, Any]:
    item = asdict(op)
    if not op.shared:  # as workloads of before are written
        del item["shared"]
    return item


def rates_to_json(rates: Mapping[str, LayerRate]) -> dict[str, dict[str, float | None]]:
    """Plain data; an unknown standard error becomes null, rates per use that are not there none."""
    return {path: _rate_to_json(rate) for path, rate in rates.items()}


def _rate_to_json(rate: LayerRate) -> dict[str, float | None]:
    item: dict[str, float | None] = {
        "rate": rate.rate,
        "activity": rate.activity,
        "se": None if math.isnan(rate.se) else rate.se,
    }
    if rate.rate_per_use is not None:
        item |= {"rate_per_use": rate.rate_per_use, "activity_per_use": rate.activity_per_use}
    return item


def rates_from_json(data: Mapping[str, Mapping[str, float | None]]) -> dict[str, LayerRate]:
    """The inverse of :func:`rates_to_json`."""
    rates = {}
    for path, item in data.items():
        rate, activity, se = item["rate"], item["activity"], item["se"]
        if rate is None or activity is None:
            raise DefinitionError(f"the firing rate of {path!r} is missing.")
        per_use = item.get("rate_per_use"), item.get("activity_per_use")
        rates[path] = LayerRate(rate, activity, math.nan if se is None else se, *per_use)
    return rates
