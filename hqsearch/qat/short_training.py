"""A candidate measured: the parent with fake quantizers, trained a few epochs more.

Its accuracy is measured on one split, and the firing rates of the *quantized* network feed its
recorded energy, for quantization shifts rates even at equal accuracy (arXiv 2604.14487).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch

from hqsearch.evaluator import Evaluation
from hqsearch.evaluator.per_sample import pack_correct
from hqsearch.hardware import rates_to_json
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.space import Space
from hqsearch.qat.costs import cheap_metrics, layer_rows
from hqsearch.qat.rates import RATE_SAMPLES, evaluate_with_rates, measure_rates
from hqsearch.qat.structural_part import Part
from hqsearch.quant import quantize_model
from hqsearch.training import Schedule, Segment, evaluate, train


@dataclass(frozen=True)
class ShortTraining:
    """How a candidate is trained and what it is measured on.

    Attributes:
        seed: of order and augmentation.
        epochs: length of the whole schedule.
        split: that accuracy is measured on; rates are those of the validation split.
        segment: which part of the schedule to run; all of it by default.
    """

    seed: int
    epochs: int
    split: Literal["validation", "test"] = "validation"
    segment: Segment = field(default_factory=Segment)


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
    quantize_model(model, choices)
    schedule = Schedule(
        epochs=training.epochs,
        learning_rate=options.learning_rate,
        batch_size=options.batch_size,
        shift=options.shift,
        seed=training.seed,
    )
    trained = train(model, part.samples("train"), schedule, training.segment, device=device)
    costs, validation = part.costs(space), part.samples("validation")
    if training.split == "validation" and torch.device(device).type == "cpu":
        result, rates = evaluate_with_rates(model, costs.workload, validation)
    else:
        result = evaluate(model, part.samples(training.split), device=device)
        rates = measure_rates(model.cpu().eval(), costs.workload, validation)
    energy, storage = costs.energy(choices, rates), costs.storage(choices)
    details = {
        "average_bits": storage.average_bits,
        "accuracy_se": result.standard_error,
        f"{training.split}_samples": len(result.correct),
        "correct": pack_correct(result.correct),
        f"{training.split}_loss": result.loss,
        "training_loss": [round(epoch.loss, 5) for epoch in trained.history],
        "rate_samples": min(RATE_SAMPLES, len(validation)),
        "energy_estimate": float(cheap_metrics({part.key: part}, space, [candidate])[0, 0]),
        "layers": layer_rows(costs, {p.path: choices[p.path] for p in part.layers}, rates),
        "rates": rates_to_json(rates),
    }
    values = {"accuracy": result.accuracy, "energy": energy.total, "storage": storage.kib}
    return Evaluation(values, details)
