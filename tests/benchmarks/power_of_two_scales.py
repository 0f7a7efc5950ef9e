"""When to choose power-of-two scales: once, again while weights move, or by loss at the end.

Run: ``python tests/benchmarks/power_of_two_scales.py FOLDER [--choices 2l 4l] [--seeds 0 1 2]``
The gesture study's data and parent are made in FOLDER if they are not there (minutes); then every
uniform network is trained as the study trains its candidates (12 s each on an idle core) and
measured on validation. A line of JSON per training goes to FOLDER/scales.jsonl; those that are
there are not trained again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hqsearch.definition import embedded, load_study
from hqsearch.evaluator import PrepareContext, Resources
from hqsearch.models import weight_layers
from hqsearch.qat.options import QatOptions
from hqsearch.qat.parent import prepare_parts, train_parent
from hqsearch.qat.structural_part import Part
from hqsearch.qat.study import QatStudy
from hqsearch.quant import FakeQuantizer, quantize_model
from hqsearch.quant.modules import quantizer_of
from hqsearch.training import Samples, Schedule, evaluate, train

#: Training samples that the loss is measured on where scales follow it.
LOSS_SAMPLES = 256
Quantized = Mapping[str, tuple[FakeQuantizer, nn.Parameter]]


def prepared_part(folder: Path) -> Part:
    """The gesture study's only part, with its parent."""
    definition = load_study(embedded("studies")["gesture"], {})
    options = QatOptions.model_validate(definition.evaluation)
    part = Part(QatStudy(definition, folder, "cpu", options))

    def run_task(*_: Any) -> dict[str, Any]:
        train_parent(part)
        return {}

    prepare_parts([part], PrepareContext(lambda *_: None, print, 1, run_task), Resources())
    return part


def quantized(model: nn.Module) -> Quantized:
    """The quantizer and the full-precision weight of every quantized layer, by path."""
    layers = dict(model.named_modules())
    return {
        layer.path: (quantizer, layers[layer.path].parametrizations["weight"].original)
        for layer in weight_layers(model)
        if (quantizer := quantizer_of(layers[layer.path])) is not None
    }


def choose_again_every(model: nn.Module, steps: int) -> None:
    """From now on, all scales are chosen anew by least error before every ``steps``-th batch."""
    layers, batches = quantized(model), 0

    def before(module: nn.Module, _: Any) -> None:
        nonlocal batches
        if module.training:
            if batches and batches % steps == 0:
                for quantizer, weight in layers.values():
                    quantizer.initialize(weight.detach())
            batches += 1

    model.register_forward_pre_hook(before)


def choose_by_loss(model: nn.Module, samples: Samples) -> None:
    """Halve or double scales where the loss's gradient says so, layer by layer if it then falls."""
    count = min(LOSS_SAMPLES, len(samples))
    rows = np.linspace(0, len(samples) - 1, count).round().astype(int)
    frames = torch.from_numpy(np.stack([samples.frames[int(row)] for row in rows], 1))
    inputs, target = samples.to_float(frames), torch.from_numpy(samples.labels[rows].copy())
    model.eval()
    modules = dict(model.named_modules())
    with parametrize.cached():
        weights: dict[str, Tensor] = {path: modules[path].weight for path in quantized(model)}
        for weight in weights.values():
            weight.retain_grad()
        loss = F.cross_entropy(model(inputs), target)
        loss.backward()
    best = loss.item()
    for path, (quantizer, original) in quantized(model).items():
        parameter, slope = quantizer.log2_scale, weights[path].grad
        before = parameter.detach().clone()
        with torch.no_grad():
            changes = []
            for move in (-1.0, 0.0, 1.0):
                parameter.copy_(before.round() + move)
                changed = (quantizer(original) - weights[path]) * slope
                changes.append(changed.flatten(1).sum(1))
            parameter.copy_(before.round() + torch.stack(changes).argmin(0) - 1.0)
            found = F.cross_entropy(model(inputs), target).item()
            if found < best:
                best = found
            else:
                parameter.copy_(before)
    model.zero_grad(set_to_none=True)


def exponents(model: nn.Module) -> Tensor:
    """Of all power-of-two scales of the network, ``[channels]``."""
    return torch.cat([q.log2_scale.detach().round() for q, _ in quantized(model).values()])


def measure(part: Part, choice: str, variant: str, seed: int) -> list[dict[str, Any]]:
    """One uniform network trained as a candidate of the study; ``once`` also by loss at its end."""
    options = part.study.options
    model, samples = part.parent(), part.samples("train")
    quantize_model(model, {layer.path: choice for layer in part.layers})
    per_epoch = -(-len(samples) // options.batch_size)
    every = {"every epoch": per_epoch, "every 10 steps": 10}.get(variant)
    if every:
        choose_again_every(model, every)
    before = exponents(model)
    schedule = Schedule(
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        batch_size=options.batch_size,
        shift=options.shift,
        seed=seed,
    )
    train(model, samples, schedule)

    def row(name: str) -> dict[str, Any]:
        result = evaluate(model, part.samples("validation"))
        moved = float((exponents(model) != before).float().mean())
        about = {"choice": choice, "variant": name, "seed": seed}
        return {**about, "accuracy": result.accuracy, "loss": result.loss, "moved": moved}

    rows = [row(variant)]
    if variant == "once":
        choose_by_loss(model, samples)
        rows.append(row(BY_LOSS))
    return rows


BY_LOSS = "by loss at the end"
TRAINED = ("once", "every epoch", "every 10 steps")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--choices", nargs="+", default=["2l", "4l"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", default=TRAINED, choices=TRAINED)
    options = parser.parse_args()
    torch.set_num_threads(1)
    part, file = prepared_part(options.folder), options.folder / "scales.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    done = {(row["choice"], row["variant"], row["seed"]): row for row in rows}
    for seed in options.seeds:
        for choice in options.choices:
            for variant in options.variants:
                if (choice, variant, seed) in done:
                    continue
                for row in measure(part, choice, variant, seed):
                    done[choice, row["variant"], seed] = row
                    with file.open("a") as lines:
                        print(json.dumps(row), file=lines)
    print("| choice | scales chosen | accuracy, seed by seed | mean | loss | exponents moved |")
    print("|---|---|---|---:|---:|---:|")
    for choice in options.choices:
        for variant in [*options.variants, BY_LOSS]:
            print(_line([done[choice, variant, seed] for seed in options.seeds]))


def _line(rows: list[dict[str, Any]]) -> str:
    def mean(key: str) -> float:
        return statistics.mean(row[key] for row in rows)

    each = ", ".join(f"{100 * row['accuracy']:.1f}" for row in rows)
    return (
        f"| {rows[0]['choice']} | {rows[0]['variant']} | {each} | {100 * mean('accuracy'):.1f} % "
        f"| {mean('loss'):.3f} | {100 * mean('moved'):.1f} % |"
    )


if __name__ == "__main__":
    main()
