"""Train assignments of ``gesture`` and ``nmnist`` for different times: what should a search train?

    nice -n 19 python tests/benchmarks/schedule_trainings.py --out FOLDER [--nmnist FOLDER]
    python tests/benchmarks/schedule_trainings.py --out FOLDER --table FILE.csv.gz

40 assignments are spread over the choices 2u 3u 4u 2l 3l 4l fp32, the uniform ones among them.
Each is trained for several lengths with seed A and for two with seed B, and by other recipes
(learning rate, warm-up, batch size, distillation from the parent) for 2 epochs with seed A. Every
finished training is a line of ``FOLDER/trainings.jsonl``, forced to disk before the next one
starts: after a kill, the same command goes on and repeats only what was being trained. The queue
is ordered so that an unfinished file is of use: one assignment after the other, in an order of
kinds of which every beginning is a fair sample.
``FOLDER/starts.jsonl`` says on which machine, with which versions and commit; ``start`` of a line
points there. ``schedule_table.py`` reads either file.

Two things are measured in the same training: the accuracy as it is, and after re-estimating
batch normalization on 192 training samples (lengths up to 3). Length 0 is the parent with fake
quantizers, not trained at all.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import platform
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from record_trainings import LIBRARIES, append, commit, prepare, processor, read
from torch import Tensor, nn

from hqsearch.definition import embedded, load_study
from hqsearch.evaluator import Evaluator, Setup
from hqsearch.evaluator.per_sample import pack_correct
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.qat.rates import rate_batches
from hqsearch.qat.structural_part import Part
from hqsearch.quant import quantize_model
from hqsearch.training import Samples, Schedule, evaluate, make_optimizer, train
from hqsearch.training.batches import training_batches
from hqsearch.training.loop import learning_rate

LOW = ("2u", "3u", "4u", "2l", "3l", "4l")
CHOICES = (*LOW, "fp32")
UNIFORM = ("2u", "4u", "2l", "fp32", "3u", "4l", "3l")
#: Kinds in order: [m]ix without fp32, mix with [f]p32, [u]niform. A part of it is a fair sample.
ORDER = "mummfmmummfmmumf" + "mumfmmumfmmumfmmumfmmfmm"
SEED_A, SEED_B = 1, 2
#: Seed and epochs of each assignment: those that the question cannot do without, and the others.
FIRST = ((SEED_B, 20), (SEED_A, 20), (SEED_A, 2), (SEED_A, 1), (SEED_A, 0))
REST = ((SEED_A, 4), (SEED_A, 3), (SEED_A, 8), (SEED_B, 2))
#: What differs from the study's ``[evaluation]``, at 2 epochs and seed A.
VARIANTS: dict[str, dict[str, float]] = {
    "rate x2": {"learning_rate": 2.0},
    "rate x0.5": {"learning_rate": 0.5},
    "warmup 0.05": {"warmup": 0.05},
    "batch 16": {"batch_size": 16},
    "batch 64": {"batch_size": 64},
    "distilled": {"distillation": 0.7},
    "rate x4": {"learning_rate": 4.0},
    "warmup 0.5": {"warmup": 0.5},
}
TEMPERATURE = 2.0
NORM_SAMPLES = 192
SPLITS = 5
COLUMNS = (
    "set", "split", "assignment", "kind", "seed", "epochs", "variant", "right", "samples", "loss",
    "right_renormed", "loss_renormed", "training_loss", "train_seconds", "validate_seconds",
    "ended", "start", "choices",
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One training. ``assignment`` is its number, ``split`` the seed of the data's split."""

    set: str
    split: int
    assignment: int
    seed: int
    epochs: int
    variant: str = "plain"


def queue() -> Iterator[Job]:
    """Every training, the most wanted first."""
    yield from lengths("gesture", range(16), FIRST)
    yield from variants(range(12))
    yield from lengths("gesture", range(16), REST)
    yield from lengths("gesture", range(16, 24), FIRST + REST)
    for number in range(20):
        for split in range(SPLITS):
            yield from lengths("nmnist", [number], FIRST + REST, split)
        if number == 7:
            yield from variants(range(12, 20))
    yield from lengths("gesture", range(24, len(ORDER)), FIRST + REST)


def lengths(
    name: str, numbers: Iterable[int], wanted: tuple[tuple[int, int], ...], split: int = 0
) -> Iterator[Job]:
    for number in numbers:
        for seed, epochs in wanted:
            yield Job(name, split, number, seed, epochs)


def variants(numbers: Iterable[int]) -> Iterator[Job]:
    for number in numbers:
        for variant in VARIANTS:
            yield Job("gesture", 0, number, SEED_A, 2, variant)


def assignments(layers: int) -> list[tuple[str, tuple[str, ...]]]:
    """Kind and choices ``[layers]`` of each, the same every time.

    A mixture draws the share of each choice first (Dirichlet, 0.5), then the layers: so they are
    spread over few and many bits, where layers drawn alike would all have about the same.
    """
    made: list[tuple[str, tuple[str, ...]]] = []
    uniform = iter(UNIFORM)
    for number, kind in enumerate(ORDER):
        generator = np.random.default_rng([2026, number])
        if kind == "u":
            made.append(("uniform", (next(uniform),) * layers))
            continue
        pool = LOW if kind == "m" else CHOICES
        while True:
            shares = generator.dirichlet(np.full(len(pool), 0.5))
            drawn = tuple(str(c) for c in generator.choice(pool, layers, p=shares))
            if kind == "m" or 0 < drawn.count("fp32") < layers:
                break
        made.append(("mix" if kind == "m" else "fp32 mix", drawn))
    return made


class Trainer:
    """What all trainings of one set and split share."""

    def __init__(
        self, folder: Path, name: str, split: int, path: Path | None, parent_seed: int
    ) -> None:
        overrides: dict[str, Any] = {"evaluation.seed": parent_seed}
        if path is not None:
            overrides |= {"data.path": str(path), "data.seed": split}
        definition = load_study(embedded("studies")[name], overrides)
        self.evaluator: Evaluator = make_evaluator(Setup(definition, folder / f"{name}-{split}"))
        prepare(self.evaluator, 1)
        torch.set_num_threads(1)
        (part,) = self.evaluator.parts.values()  # type: ignore[attr-defined]
        self.part: Part = part
        self.samples: Samples = part.samples("train")
        self.validation: Samples = part.samples("validation")
        self._taught: dict[tuple[Any, ...], list[Tensor]] = {}

    def run(self, job: Job, choices: tuple[str, ...]) -> dict[str, Any]:
        """One training, as a line of ``trainings.jsonl`` without what identifies it."""
        options, change = self.part.study.options, VARIANTS.get(job.variant, {})
        schedule = Schedule(
            epochs=job.epochs,
            learning_rate=options.learning_rate * change.get("learning_rate", 1.0),
            batch_size=int(change.get("batch_size", options.batch_size)),
            warmup=change.get("warmup", 0.2),
            shift=options.shift,
            seed=job.seed,
        )
        model = self.part.parent()
        quantize_model(model, dict(zip((p.path for p in self.part.layers), choices, strict=True)))
        taught = self.taught(schedule) if "distillation" in change else []
        began = time.process_time()
        if taught:
            losses = distil(model, self.samples, schedule, taught, change["distillation"])
        else:
            losses = [e.loss for e in train(model, self.samples, schedule).history]
        trained = time.process_time()
        found = evaluate(model, self.validation)
        row = {
            "right": int(found.correct.sum()),
            "samples": len(found.correct),
            "loss": round(found.loss, 6),
            "correct": pack_correct(found.correct),
            "training_loss": [round(loss, 5) for loss in losses],
            "train_seconds": round(trained - began, 3),
            "validate_seconds": round(time.process_time() - trained, 3),
            "schedule": asdict(schedule),
        }
        if job.epochs <= 3 and job.variant == "plain":
            renorm(model, self.samples)
            found = evaluate(model, self.validation)
            row["right_renormed"] = int(found.correct.sum())
            row["loss_renormed"] = round(found.loss, 6)
        return row

    def taught(self, schedule: Schedule) -> list[Tensor]:
        """The parent's logits on every batch of a schedule, which is the same for all."""
        key = (schedule.seed, schedule.epochs, schedule.batch_size)
        if key not in self._taught:
            parent = self.part.parent().eval()
            with torch.no_grad():
                self._taught[key] = [
                    parent(inputs) for _, inputs, _ in batches(self.samples, schedule)
                ]
        return self._taught[key]


def batches(samples: Samples, schedule: Schedule) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Epoch, input and labels of every step of a schedule."""
    for epoch in range(schedule.epochs):
        for stored, target in training_batches(
            samples.frames,
            samples.labels,
            schedule.batch_size,
            schedule.shift,
            (schedule.seed, epoch),
        ):
            yield epoch, samples.to_float(stored), target


def distil(
    model: nn.Module, samples: Samples, schedule: Schedule, taught: list[Tensor], weight: float
) -> list[float]:
    """Train as ``hqsearch.training.train`` does, towards labels and the parent's logits.

    Loss: (1 - weight) · cross-entropy + weight · T² · KL(parent ‖ model) at temperature T
    (Hinton et al. 2015, arXiv 1503.02531). Returns the mean loss of each epoch.
    """
    optimizer, totals = make_optimizer(model, schedule), [0.0] * schedule.epochs
    model.train()
    for step, (epoch, inputs, target) in enumerate(batches(samples, schedule)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, len(taught), schedule)
        logits = model(inputs)
        soft = F.kl_div(
            F.log_softmax(logits / TEMPERATURE, 1),
            F.log_softmax(taught[step] / TEMPERATURE, 1),
            reduction="batchmean",
            log_target=True,
        )
        loss = (1 - weight) * F.cross_entropy(logits, target) + weight * TEMPERATURE**2 * soft
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        totals[epoch] += float(loss) * len(target) / len(samples)
    return totals


def renorm(model: nn.Module, samples: Samples) -> None:
    """Running statistics of every batch norm anew, as the mean over a few training batches."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    model.train()
    with torch.no_grad():
        for batch in rate_batches(samples, NORM_SAMPLES):
            model(batch)


def record(folder: Path, nmnist: Path | None, most: int | None, parent_seed: int) -> None:
    """Train what is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "trainings.jsonl"
    start = len(read(folder / "starts.jsonl"))
    append(folder / "starts.jsonl", {**about(), "parent_seed": parent_seed})

    @cache
    def trainer(name: str, split: int) -> Trainer:
        return Trainer(folder, name, split, nmnist if name == "nmnist" else None, parent_seed)

    known = {Job(*(row[f] for f in Job.__dataclass_fields__)) for row in read(path)}
    missing = [j for j in queue() if j not in known and (nmnist or j.set != "nmnist")][:most]
    print(f"{len(known)} trainings are there, {len(missing)} to do", flush=True)
    for job in missing:
        shared = trainer(job.set, job.split)
        kind, choices = assignments(len(shared.part.layers))[job.assignment]
        row = {**asdict(job), "kind": kind, "choices": choices, **shared.run(job, choices)}
        ended = datetime.now(UTC).isoformat(timespec="seconds")
        append(path, {**row, "ended": ended, "start": start})
        print(f"{ended} {job} {row['right'] / row['samples']:.3f}", flush=True)


def about() -> dict[str, Any]:
    """Where the trainings of this start come from."""
    return {
        "commit": commit(),
        "versions": {"python": platform.python_version(), **{n: version(n) for n in LIBRARIES}},
        "machine": f"{platform.system()} {platform.machine()}, {processor()}",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def write_table(folder: Path, to: Path) -> None:
    """``trainings.jsonl`` as a small table, and ``starts.jsonl`` with the parents next to it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    rows = read(folder / "trainings.jsonl")
    for row in rows:
        shown = {**row, "choices": " ".join(row["choices"])}
        shown["training_loss"] = " ".join(map(str, row["training_loss"][-1:]))
        writer.writerow([shown.get(name, "") for name in COLUMNS])
    to.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))
    origin = {
        "trainings": len(rows),
        "starts": read(folder / "starts.jsonl"),
        "parents": {
            file.parents[2].name: json.loads(file.read_text()) | {"correct": None}
            for file in sorted(folder.glob("*/parents/*/parent.json"))
        },
    }
    to.with_suffix("").with_suffix(".json").write_text(json.dumps(origin, indent=1) + "\n")
    print(f"{len(rows)} trainings, {to.stat().st_size / 1024:.0f} KiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of studies and table")
    parser.add_argument("--nmnist", type=Path, help="folder of N-MNIST; left out without it")
    parser.add_argument("--most", type=int, help="stop after so many trainings")
    parser.add_argument("--parent-seed", type=int, default=0, help="one folder has one")
    parser.add_argument("--table", type=Path, help="write what is there into this file instead")
    asked = parser.parse_args()
    if asked.table:
        write_table(asked.out, asked.table)
    else:
        record(asked.out, asked.nmnist, asked.most, asked.parent_seed)


if __name__ == "__main__":
    main()
