"""What spikes and quantization save: the same network at fp32, and without spikes.

The non-spiking counterpart carries in one pass what T binary steps carry: activations of
⌈log2(T + 1)⌉ bits, multiplied instead of accumulated (arXiv 2409.08290). Its weights take the
same choices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hqsearch.hardware.cost import CostModel
from hqsearch.hardware.workload import LayerRate, Operation, Workload
from hqsearch.schemes.choice import Choice


def non_spiking(workload: Workload, *, skip_zeros: bool = False) -> Workload:
    """The bit-matched quantized network without spikes, run once.

    Args:
        workload: a spiking network.
        skip_zeros: the hardware skips zero activations, of which there is a share of
            (1 − rate)^T if a neuron's spikes are independent; else every input costs.

    Event frames become one frame of summed counts. Real inputs stay real. Averages over time
    are gone, the head's real input stays.
    """
    operations = tuple(_converted(op, workload.timesteps, skip_zeros) for op in workload.operations)
    return replace(workload, operations=operations, timesteps=1)


def _converted(op: Operation, steps: int, skip_zeros: bool) -> Operation:
    runs = max(op.timesteps // steps, 1) if op.timesteps >= steps else op.timesteps
    if op.input_kind == "real":
        kind = "activation" if op.kind == "neuron" else op.kind
        return replace(op, kind=kind, timesteps=runs)
    levels = op.input_levels * steps
    wider = steps.bit_length() - 1
    skipped = skip_zeros and op.spike_driven
    frames = op.input_source == "frames"
    return replace(
        op,
        kind="activation" if op.kind == "neuron" else op.kind,
        timesteps=runs,
        input_kind="integer",
        input_levels=levels,
        input_bits=levels.bit_length(),
        input_source="frames" if frames else "activations",
        operand_bits=op.operand_bits + wider * (1 if op.operand_bits == 1 else 2),
        output_bits=op.output_bits + 2 * wider if op.output_bits else 0,
        rate=op.rate if frames else _ever(op.rate, steps) if skipped else None,
        activity=_times(op.activity, steps) if frames else None,
        rate_se=None,
        rate_per_use=(
            op.rate_per_use if frames else _ever(op.rate_per_use, steps) if skipped else None
        ),
        activity_per_use=_times(op.activity_per_use, steps) if frames else None,
    )


def _ever(rate: float | None, steps: int) -> float | None:
    """Share of inputs that are not zero in all ``steps``."""
    return None if rate is None else 1.0 - (1.0 - min(rate, 1.0)) ** steps


def _times(activity: float | None, steps: int) -> float | None:
    return None if activity is None else activity * steps


def comparison(
    model: CostModel,
    choices: Mapping[str, str | Choice],
    rates: Mapping[str, LayerRate] | None = None,
) -> dict[str, float]:
    """Energy µJ of one assignment, and of what it should be compared with.

    ``quantized`` is the assignment at ``rates``; ``fp32`` the same network unquantized at the
    model's own rates; ``non-spiking`` and ``non-spiking, zeros skipped`` the bit-matched
    networks with the assignment's choices.
    """
    workload = model.workload.with_rates(rates) if rates else model.workload
    energies = {
        "quantized": model.energy(choices, rates).total,
        "fp32": model.energy(model.uniform("fp32")).total,
    }
    for name, skip in (("non-spiking", False), ("non-spiking, zeros skipped", True)):
        dense = CostModel(non_spiking(workload, skip_zeros=skip), model.profile, model.layers)
        energies[name] = dense.energy(model.complete(choices)).total
    return energies
