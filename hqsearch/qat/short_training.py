"""A candidate measured: the parent with fake quantizers, trained a few epochs more.

Its accuracy is measured on one split, and the firing rates of the *quantized* network feed its
recorded energy, for quantization shifts rates even at equal accuracy (arXiv 2604.14487).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save
from torch import nn

from hqsearch.atomic import write_atomically
from hqsearch.evaluator import Evaluation
from hqsearch.evaluator.per_sample import pack_correct
from hqsearch.hardware import rates_to_json
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.objective import ACCURACY
from hqsearch.problem.space import Space
from hqsearch.qat.costs import cheap_metrics, layer_rows
from hqsearch.qat.entropy import FiringEntropy
from hqsearch.qat.rates import RATE_SAMPLES, evaluate_with_rates, measure_rates
from hqsearch.qat.structural_part import Part
from hqsearch.quant import quantize_model, read_codes
from hqsearch.training import Segment, evaluate, train


@dataclass(frozen=True)
class ShortTraining:
    """How a candidate is trained and what it is measured on.

    Attributes:
        seed: of order and augmentation.
        epochs: length of the whole schedule.
        split: that accuracy is measured on; rates are those of the validation split.
        segment: which part of the schedule to run; all of it by default.
        keep: file that the weights of every layer are written to, before and after.
    """

    seed: int
    epochs: int
    split: Literal["validation", "test"] = "validation"
    segment: Segment = field(default_factory=Segment)
    keep: Path | None = None


def measure(part: Part, space: Space, candidate: Candidate, training: ShortTraining) -> Evaluation:
    """Train a candidate from the parent of its part and measure it, on a worker.

    Deterministic for its arguments on one machine with one thread count.

    Raises:
        FloatingPointError: a weight, scale, statistic, neuron's input, loss or output is NaN or
            infinite; named.
        RunFailed: the parent or the checkpoint is missing, damaged, or of another network.
    """
    options, device = part.study.options, part.study.device
    torch.set_num_threads(options.threads)
    model, choices = part.parent(), space.assignment(candidate)
    paths = [layer.path for layer in part.layers] if training.keep is not None else []
    before = {path: model.get_parameter(f"{path}.weight").detach().clone() for path in paths}
    quantize_model(model, choices)
    schedule, task = (
        options.schedule(training.epochs, options.learning_rate, training.seed),
        part.study.task,
    )
    learned = part.samples("train")
    trained = train(
        model,
        learned,
        schedule,
        training.segment,
        device=device,
        teacher=part.teacher(model),
        task=task,
    )
    costs, validation = part.costs(space), part.samples("validation")
    firing = FiringEntropy(model)
    if training.split == "validation" and torch.device(device).type == "cpu":
        result, rates = evaluate_with_rates(
            model, costs.workload, validation, task=task, counting=firing
        )
    else:
        result = evaluate(model, part.samples(training.split), device=device, task=task)
        with firing:
            rates = measure_rates(model.cpu().eval(), costs.workload, validation, task)
    energy, storage = costs.energy(choices, rates), costs.storage(choices)
    details = {
        "average_bits": storage.average_bits,
        **error_details(part.study.measured.name, result.standard_error),
        f"{training.split}_samples": len(result.correct),
        **({"training_samples": len(learned)} if training.split == "test" else {}),
        **({"correct": pack_correct(result.correct)} if result.is_binary else {}),
        f"{training.split}_loss": result.loss,
        "training_loss": [round(epoch.loss, 5) for epoch in trained.history],
        "rate_samples": min(RATE_SAMPLES, len(validation)),
        "energy_estimate": float(cheap_metrics({part.key: part}, space, [candidate])[0, 0]),
        "layers": layer_rows(costs, {p.path: choices[p.path] for p in part.layers}, rates),
        "rates": rates_to_json(rates),
        "entropy": firing.bits(),
    }
    if training.keep is not None:
        _keep(before, model, training.keep)
    values = {
        part.study.measured.name: result.accuracy,
        "energy": energy.total,
        "storage": storage.kib,
    }
    return Evaluation(values, details)


def error_details(objective: str, error: float) -> dict[str, Any]:
    """The standard error of what was measured, as details hold it."""
    if objective == ACCURACY.name:
        return {"accuracy_se": error}
    return {"standard_errors": {objective: error}}


def _keep(before: Mapping[str, torch.Tensor], model: nn.Module, file: Path) -> None:
    """Write ``before/<layer>``, the parent's weights, and ``after/<layer>``, those of the codes."""
    kept = {f"before/{path}": weight.contiguous() for path, weight in before.items()}
    for path, layer in read_codes(model).items():
        if path in before:
            kept[f"after/{path}"] = layer.weight.contiguous()
    write_atomically(file, save(kept))
