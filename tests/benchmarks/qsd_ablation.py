"""What the neuron and the distillation of QSD-Transformer are worth here, at all-4u weights.

    nice -n 19 python tests/benchmarks/qsd_ablation.py --out FOLDER --data ../shared/data
    python tests/benchmarks/qsd_ablation.py --out FOLDER --table

Arms, each from an fp32 parent of its own seed, quantized to 4u everywhere and trained on: ``lif``
(T 4), ``integer`` (T 1, D 4: as many virtual steps), ``integer-logits`` and
``integer-fine-grained``, which learn of the parent as well. Sets: ``cifar10`` (10,000 pictures to
train, 5,000 others of the training split to measure) and ``nmnist`` (what is there, a fifth of it
to measure). Networks have one size; trainings have one time (``--minutes`` of this processor for a
parent, a quarter of it for 4u): how many epochs that is, is measured on a few steps when a training
starts, and kept.

Every finished arm is a line of ``FOLDER/ablation.jsonl``, forced to disk; a training that is cut
off goes on from its last epoch. The order is seeds first, so that an unfinished file is of use.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import platform
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from record_trainings import commit
from torch import nn

from hqsearch.data import DataSpec, prepare_data
from hqsearch.hardware import CostModel, load_profile
from hqsearch.hardware.trace import trace_workload
from hqsearch.models import build_model, weight_layers
from hqsearch.qat.entropy import FiringEntropy
from hqsearch.qat.rates import measure_rates, rate_batches
from hqsearch.quant import quantize_model
from hqsearch.training import (
    Samples,
    Schedule,
    Segment,
    Teacher,
    evaluate,
    load_state,
    make_optimizer,
    save_state,
    train,
)

CHOICE = "4u"
#: Name -> (neuron, timesteps, what is learned of the parent).
ARMS: dict[str, tuple[str, int, str]] = {
    "lif": ("lif", 4, "none"),
    "integer": ("integer", 1, "none"),
    "integer-logits": ("integer", 1, "logits"),
    "integer-fine-grained": ("integer", 1, "fine-grained"),
}
SIZE = {"embed_dims": [16, 16, 32, 64], "depth": 2, "heads": 4, "conv_ratio": 2}
STRIDES = {"cifar10": [1, 2, 2, 1], "nmnist": [2, 2, 2, 1]}
SHIFT = {"cifar10": 4, "nmnist": 1}
PROFILES = ("sop-45nm", "horowitz-45nm-memory")
TRAIN, MEASURE, TIMED_STEPS = 10_000, 5_000, 4
PARENT_RATE, QUANTIZED_RATE, BATCH = 5e-3, 1e-3, 64


@dataclass(frozen=True)
class Data:
    """A set as a network of some timesteps sees it."""

    train: Samples
    measure: Samples
    channels: int
    bits: int


def cifar10(place: Path) -> Data:
    """Pictures as one frame each, 8-bit integers; the first of each class train."""
    import PIL.Image

    frames: dict[str, list[np.ndarray]] = {"train": [], "measure": []}
    labels: dict[str, list[int]] = {"train": [], "measure": []}
    with zipfile.ZipFile(place / "cifar-10" / "cifar-10.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.startswith("train/") and n[-1] != "/")
        classes = sorted({name.split("/")[1] for name in names})
        for label, kind in enumerate(classes):
            of_class = [name for name in names if name.split("/")[1] == kind]
            for index, name in enumerate(of_class[: (TRAIN + MEASURE) // len(classes)]):
                picture = PIL.Image.open(io.BytesIO(archive.read(name))).convert("RGB")
                part = "train" if index < TRAIN // len(classes) else "measure"
                frames[part].append(np.asarray(picture, np.uint8).transpose(2, 0, 1)[None])
                labels[part].append(label)
    parts = {
        part: Samples(np.stack(frames[part]), np.array(labels[part]), torch.Tensor.float)
        for part in frames
    }
    return Data(parts["train"], parts["measure"], 3, 8)


def nmnist(place: Path, timesteps: int, cache: Path) -> Data:
    """Recordings in ``timesteps`` frames of 4-bit integers."""
    spec = DataSpec("nmnist", timesteps, 32, path=place / "nmnist", test=10)
    made = prepare_data(spec, cache, lambda *_: None, 1, None)
    parts = [
        Samples(part.frames, part.labels, made.encoding.to_float)
        for part in (made.train, made.validation)
    ]
    return Data(*parts, 2, 4)


def build(data: str, arm: str, channels: int, seed: int) -> nn.Module:
    neuron, timesteps, _ = ARMS[arm]
    options = {**SIZE, "strides": STRIDES[data], "neuron": neuron}
    given = {"timesteps": timesteps, "size": 32, "classes": 10, "in_channels": channels}
    return build_model("qsd", options, **given, seed=seed)


def schedule(name: str, epochs: int, learning_rate: float, seed: int) -> Schedule:
    return Schedule(epochs, learning_rate, BATCH, weight_decay=0.05, shift=SHIFT[name], seed=seed)


def epochs_in(seconds: float, model: nn.Module, data: Data, teacher: Teacher | None) -> int:
    """Epochs that fit into so much of this processor's time, from a few steps of a copy."""
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = make_optimizer(model, Schedule(1, 1e-6))
    frames = np.asarray(data.train.frames[:BATCH]).swapaxes(0, 1).copy()
    inputs = data.train.to_float(torch.from_numpy(frames))
    target = torch.from_numpy(np.asarray(data.train.labels[:BATCH], np.int64))
    model.train()
    times = []
    for _ in range(TIMED_STEPS):
        start = time.process_time()
        if teacher is None:
            loss = F.cross_entropy(model(inputs), target)
        else:
            with teacher:
                logits = model(inputs)
                loss = teacher.loss(F.cross_entropy(logits, target), inputs, logits)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        times.append(time.process_time() - start)
    model.load_state_dict(kept)
    return max(1, round(seconds / (min(times) * math.ceil(len(data.train) / BATCH))))


def trained(
    folder: Path, model: nn.Module, plan: dict[str, Any], data: Data, teacher: Teacher | None
) -> int:
    """Train ``model`` in place for the planned time, resumably; returns its epochs."""
    folder.mkdir(parents=True, exist_ok=True)
    decided, weights = folder / "epochs.json", folder / "weights.safetensors"
    if not decided.exists():
        decided.write_text(json.dumps(epochs_in(plan["seconds"], model, data, teacher)))
    epochs = int(json.loads(decided.read_text()))
    if weights.exists():
        load_state(model, weights)
        return epochs
    wanted = schedule(plan["data"], epochs, plan["learning_rate"], plan["seed"])
    segment = Segment(checkpoint=folder, resume_from=folder)
    train(model, data.train, wanted, segment, teacher=teacher)
    save_state(model, weights)
    return epochs


def measured(model: nn.Module, data: Data) -> dict[str, Any]:
    """Accuracy, energies, storage and entropy of a quantized network."""
    result = evaluate(model, data.measure)
    work = trace_workload(model.cpu().eval(), next(rate_batches(data.measure)), data.bits)
    with FiringEntropy(model) as firing:
        rates = measure_rates(model, work, data.measure)
    found: dict[str, Any] = {"accuracy": result.accuracy, "se": result.standard_error}
    for name in PROFILES:
        costs = CostModel(work, load_profile(name), dict.fromkeys(work.layers, (CHOICE, "fp32")))
        found[f"energy {name}"] = costs.energy(costs.uniform(CHOICE), rates).total
        found[f"fp32 energy {name}"] = costs.energy(costs.uniform("fp32"), rates).total
        found["storage"] = costs.storage(costs.uniform(CHOICE)).kib
        found["compression"] = costs.compression(costs.uniform(CHOICE))
    bits = firing.bits()
    found["entropy"] = {
        name: float(np.mean([v for path, v in bits.items() if path.endswith(f".{name}")]))
        for name in "qkv"
    }
    return found


def run_arm(
    name: str, arm: str, seed: int, out: Path, data: Data, seconds: float
) -> dict[str, Any]:
    """One line of the table."""
    start = time.process_time()
    neuron, timesteps, distillation = ARMS[arm]
    plan = {"data": name, "seed": seed, "seconds": seconds, "learning_rate": PARENT_RATE}
    parent = build(name, arm, data.channels, seed)
    place = out / f"parent-{name}-{neuron}-{seed}"
    parent_epochs = trained(place, parent, plan, data, None)
    parent_accuracy = evaluate(parent, data.measure).accuracy
    model = build(name, arm, data.channels, seed)
    load_state(model, place / "weights.safetensors")
    quantize_model(model, {layer.path: CHOICE for layer in weight_layers(model)})
    teacher = None
    if distillation in ("logits", "fine-grained"):
        teacher = Teacher(parent, model, distillation)  # type: ignore[arg-type]
    plan |= {"seconds": seconds / 4, "learning_rate": QUANTIZED_RATE}
    epochs = trained(out / f"{name}-{arm}-{seed}", model, plan, data, teacher)
    return {
        "data": name, "arm": arm, "seed": seed, "timesteps": timesteps,
        "parent": parent_accuracy, "parent_epochs": parent_epochs, "epochs": epochs,
        "weights": sum(layer.weights for layer in weight_layers(model)),
        **measured(model, data), "cpu_seconds": time.process_time() - start,
        "when": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit(),
        "machine": platform.machine(), "torch": torch.__version__,
    }  # fmt: skip


def todo(out: Path, sets: list[str], seeds: int) -> Iterator[tuple[int, str, str]]:
    done = {(r["seed"], r["data"], r["arm"]) for r in lines(out)}
    for seed in range(seeds):
        for name in sets:
            yield from ((seed, name, a) for a in ARMS if (seed, name, a) not in done)


def lines(out: Path) -> list[dict[str, Any]]:
    file = out / "ablation.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def table(out: Path) -> str:
    """Means over seeds with their standard errors, as Markdown."""
    found = lines(out)
    rows = [
        "| set | arm | seeds | parent % | 4u % | µJ (papers' counting) | µJ (with memory) "
        "| entropy q / k / v, bit |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(r["data"] for r in found):
        for arm in ARMS:
            of = [r for r in found if (r["data"], r["arm"]) == (name, arm)]
            if of:
                energies = [_mean([r[f"energy {p}"] for r in of]) for p in PROFILES]
                entropy = " / ".join(f"{np.mean([r['entropy'][x] for r in of]):.2f}" for x in "qkv")
                cells = [name, arm, str(len(of)), _mean([100 * r["parent"] for r in of])]
                cells += [_mean([100 * r["accuracy"] for r in of]), *energies, entropy]
                rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _mean(values: list[float]) -> str:
    error = np.std(values, ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{np.mean(values):.3g} ± {error:.2g}" if len(values) > 1 else f"{values[0]:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder with cifar-10/ and nmnist/")
    parser.add_argument("--sets", nargs="+", default=["cifar10", "nmnist"], choices=sorted(STRIDES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--table", action="store_true", help="print what there is")
    given = parser.parse_args()
    if given.table:
        print(table(given.out))
        return
    if given.data is None:
        parser.error("--data is needed")
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    made: dict[tuple[str, int], Data] = {}
    for seed, name, arm in todo(given.out, given.sets, given.seeds):
        timesteps = ARMS[arm][1]
        key = (name, timesteps if name == "nmnist" else 1)
        if key not in made:
            cache = given.out / "frames"
            made[key] = (
                cifar10(given.data) if name == "cifar10" else nmnist(given.data, timesteps, cache)
            )
        found = run_arm(name, arm, seed, given.out, made[key], 60 * given.minutes)
        with (given.out / "ablation.jsonl").open("a") as file:
            file.write(json.dumps(found) + "\n")
            file.flush()
            os.fsync(file.fileno())
        print(f"{name} {arm} seed {seed}: {100 * found['accuracy']:.1f} %", flush=True)


if __name__ == "__main__":
    main()
