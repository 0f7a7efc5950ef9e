"""The final training of a candidate: a longer schedule from the parent, whose weights are kept.

Two tasks in one folder: ``train`` leaves ``model.safetensors`` there (and a checkpoint, so that a
training that was cut off goes on bit for bit) and measures on validation, by which one of several
seeds is taken; ``measure`` measures that one on test, once.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hqsearch.atomic import write_atomically
from hqsearch.data.known import licence_of
from hqsearch.definition.study import NeuronDefinition
from hqsearch.errors import RunFailed
from hqsearch.evaluator import FinalResult, FinalTask, LayerRow
from hqsearch.evaluator.per_sample import pack_correct
from hqsearch.hardware import Workload
from hqsearch.problem.candidate import Candidate
from hqsearch.problem.space import Space
from hqsearch.qat.costs import layer_rows
from hqsearch.qat.held_out import joined
from hqsearch.qat.network import trace_untrained
from hqsearch.qat.rates import measure_rates
from hqsearch.qat.structural_part import Part
from hqsearch.quant import quantize_model
from hqsearch.training import (
    EpochRecord,
    Segment,
    evaluate,
    load_state,
    save_state,
    train,
)

WEIGHTS = "model.safetensors"
PROGRESS = "progress.json"


def final_task(part: Part, space: Space, task: FinalTask, seed: int, folder: Path) -> FinalResult:
    """Do one stage of a final training, on a worker; deterministic for its arguments.

    Args:
        part: structural part of the candidate.
        folder: the task's own, kept until the model is.

    Raises:
        FloatingPointError: a weight, scale, statistic, neuron's input, loss or output is NaN or
            infinite; named.
        RunFailed: the parent, the checkpoint or the weights are missing or damaged.
    """
    torch.set_num_threads(part.study.options.threads)
    candidate = Candidate.from_key(task.key)
    if task.stage == "train":
        return _train(part, space.assignment(candidate), task, seed, folder)
    return _measure(part, space, candidate, folder)


def trained(part: Part, space: Space, candidate: Candidate, weights: Path) -> nn.Module:
    """The network that a final training left in the file ``weights``.

    Raises:
        RunFailed: the file is missing, damaged, or of another network.
    """
    model = part.build(filled=False)
    quantize_model(model, space.assignment(candidate))
    load_state(model, weights)
    return model.eval()


def workload_of(part: Part) -> Workload:
    """What the network of a part does: of its parent, or where that is gone, traced."""
    workload = part.workload()
    return trace_untrained(part) if workload is None else workload


def _train(
    part: Part, choices: dict[str, str], task: FinalTask, seed: int, folder: Path
) -> FinalResult:
    options, device, checkpoint = part.study.options, part.study.device, folder / "checkpoint"
    model = part.parent()
    quantize_model(model, choices)
    schedule = options.schedule(task.epochs, options.learning_rate, seed)

    def tell(epoch: EpochRecord) -> None:
        done = {"done": epoch.epoch, "total": task.epochs}
        write_atomically(folder / PROGRESS, json.dumps(done))

    samples, validation = part.samples("train"), part.samples("validation")
    learned = joined(samples, validation) if task.merge else samples
    resumed = Segment(checkpoint=checkpoint, resume_from=checkpoint)
    train(
        model,
        learned,
        schedule,
        resumed,
        device=device,
        on_epoch=tell,
        teacher=part.teacher(model),
        task=part.study.task,
    )
    save_state(model, folder / WEIGHTS)
    weights = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    if task.merge:
        return FinalResult(weights=weights, file=WEIGHTS)
    result = evaluate(model, validation, device=device, task=part.study.task)
    return FinalResult(
        weights=weights,
        file=WEIGHTS,
        accuracy=result.accuracy,
        loss=result.loss,
        samples=len(result.correct),
    )


def _measure(part: Part, space: Space, candidate: Candidate, folder: Path) -> FinalResult:
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise RunFailed(f"{weights} is gone; hqsearch train makes it again.")
    model = trained(part, space, candidate, weights)
    study = part.study
    result = evaluate(model, part.samples("test"), device=study.device, task=study.task)
    costs, choices = part.costs(space), space.assignment(candidate)
    rates = measure_rates(
        model.cpu().eval(), costs.workload, part.samples("validation"), study.task
    )
    storage = costs.storage(choices)
    rows = layer_rows(costs, {layer.path: choices[layer.path] for layer in part.layers}, rates)
    return FinalResult(
        weights=hashlib.sha256(weights.read_bytes()).hexdigest(),
        file=WEIGHTS,
        accuracy=result.accuracy,
        loss=result.loss,
        samples=len(result.correct),
        correct=pack_correct(result.correct) if result.is_binary else None,
        accuracy_se=result.standard_error,
        values={
            "accuracy": result.accuracy,
            "energy": costs.energy(choices, rates).total,
            "storage": storage.kib,
        },
        layers=tuple(LayerRow.from_json(row) for row in rows),
        average_bits=storage.average_bits,
        about=_about(part),
    )


def _about(part: Part) -> dict[str, Any]:
    """What a person and a program must know to use the network again, as JSON values."""
    frames, encoding, model = part.frames, part.frames.encoding, part.model
    built: dict[str, Any] = {
        "options": model.options,
        "given": {
            "timesteps": part.data.timesteps,
            "size": part.data.size,
            "classes": part.classes,
            "in_channels": part.data.channels,
        },
    }
    if model.object is not None:
        built |= {"name": None, "object": model.object["name"]}
    else:
        built["name"] = part.network
        if model.path is not None:
            built["identity"] = part.study.model_identity(model)["path"]
    if not part.built_in:
        built["adopted"] = {
            "frames": list(part.batch_shape(1)),
            "neurons": [n.model_dump() for n in model.neurons if isinstance(n, NeuronDefinition)],
            "seed": part.study.options.seed,
            "readout": model.readout,
        }
    return {
        "model": built,
        "input": {
            "timesteps": part.data.timesteps,
            "channels": part.data.channels,
            "size": part.data.size,
            "encoding": encoding.name,
            "bits": encoding.bits,
            "step": encoding.step,
            "signed": encoding.signed,
        },
        "classes": list(frames.classes),
        "data": {
            "dataset": part.data.dataset,
            "fingerprint": frames.fingerprint,
            "simulated": frames.simulated,
            "licence": licence_of(part.data.dataset),
        },
    }
