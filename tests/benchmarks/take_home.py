"""Members of a front, from the search to C: the table of ``hqsearch guide take-home``.

    python tests/benchmarks/take_home.py STUDY --studies-dir studies --out FOLDER
        [--trials 3 12 40] [--confirm 2] [--epochs 20] [--reference 200]

Members are, unless they are named, the cheapest (the first of the front), the knee and the most
accurate. A model that the study has kept is not trained again, a member that was measured
(``FOLDER/TRIAL.json``) not again; so the same command goes on. Test samples run through torch, the
integer reference (the first ``--reference`` of them) and C; predictions are compared on the other
splits, too; operations are counted on 32 samples of validation. ``--confirm K`` trains the members
with K fresh seeds where the log has no confirmation.
Needs gcc and arm-none-eabi-gcc.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import hqsearch as hq
from hqsearch.api.trials import Trial
from hqsearch.export.integer import run_integers
from hqsearch.export.trained import TrainedModel
from hqsearch.problem.candidate import Candidate
from hqsearch.study.asked import recorded_definition
from hqsearch.study.confirming import fresh_seeds
from hqsearch.study.opening import Request, make_evaluator_for
from hqsearch.study.running import read_study

COUNTED_SAMPLES = 32
TARGET = ("-O2", "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=soft")


@dataclass(frozen=True)
class Split:
    """Samples of a split: frames as stored, uint8 [N, T, C, H, W], labels [N], and as floats."""

    frames: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    floats: Tensor


def evaluator_of(name: str, studies_dir: Path) -> Any:
    """The study's ``short-qat``."""
    request = Request(study=name, strategy="", device="cpu", studies_dir=studies_dir)
    attributes, _, _ = read_study(request)
    definition = recorded_definition(attributes, request)
    return make_evaluator_for(definition, studies_dir.resolve() / definition.name, request)


def split_of(evaluator: Any, candidate: Candidate, name: str) -> Split:
    part = evaluator.parts[evaluator.space.structural_key(candidate)]
    samples = part.samples(name)
    frames = np.array(samples.frames, np.uint8)
    floats = samples.to_float(torch.from_numpy(frames)).transpose(0, 1)
    return Split(frames, np.array(samples.labels, np.int64), floats)


def members(study: hq.Study) -> list[int]:
    """The cheapest of the front, its knee and its most accurate; fewer where two are one."""
    front = list(study.front())
    best = max(front, key=lambda trial: (trial.values or {})["accuracy"])
    return list(dict.fromkeys([front[0].number, study.choose().trial.number, best.number]))


def confirmed(study: hq.Study, trial: Trial, evaluator: Any, seeds: int) -> dict[str, Any]:
    """Mean test accuracy over fresh seeds of the search's training, from the log where it is."""
    found = study.front().confirmation
    logged = None if found is None else found.of(trial.row.key)
    if logged is not None:
        return {"accuracy": logged.quality.mean, "seeds": len(logged.seeds)}
    candidate = evaluator.space.candidate(trial.choices)
    reached = [
        evaluator.confirm(candidate, seed).values["accuracy"]
        for seed in fresh_seeds(int(evaluator.options.seed), seeds)
    ]
    return {"accuracy": float(np.mean(reached)) if reached else None, "seeds": seeds}


def torch_predictions(model: TrainedModel, floats: Tensor) -> npt.NDArray[np.int64]:
    with torch.no_grad():
        found = [model(part).argmax(1) for part in floats.split(50, dim=1)]
    return torch.cat(found).numpy()


def run_c(program: Path, frames: npt.NDArray[np.uint8]) -> tuple[list[list[str]], float]:
    """Lines of a program that reads samples, and its processor seconds a sample."""
    (program.parent / "samples.bin").write_bytes(np.ascontiguousarray(frames).tobytes())
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    command = [program, program.parent / "samples.bin"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    return [line.split() for line in told.splitlines()], seconds / len(frames)


def built(folder: Path, name: str, *options: str) -> Path:
    program, sources = folder / name, sorted(map(str, folder.glob("*.c")))
    subprocess.run(["gcc", "-O3", *options, "-o", str(program), *sources], check=True)
    return program


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of ``.rodata`` of the model on this machine, and of flash on a Cortex-M4."""
    model = folder / "hq_model.o"
    subprocess.run(["gcc", "-O2", "-c", folder / "hq_model.c", "-o", model], check=True)
    told = subprocess.run(["nm", "-S", model], check=True, capture_output=True, text=True).stdout
    constants = re.findall(r"^\w+ (\w+) [rR] ", told, re.MULTILINE)
    flash = 0
    for name in ("hq_model", "hq_runtime"):
        target = folder / f"{name}.m4.o"
        source = folder / f"{name}.c"
        subprocess.run(["arm-none-eabi-gcc", *TARGET, "-c", source, "-o", target], check=True)
        told = subprocess.run(
            ["arm-none-eabi-size", target], check=True, capture_output=True, text=True
        ).stdout
        code, data = told.splitlines()[1].split()[:2]
        flash += int(code) + int(data)
    return {"rodata": sum(int(size, 16) for size in constants), "flash": flash}


def accumulations(study: hq.Study, number: int, folder: Path, evaluator: Any) -> dict[str, Any]:
    """Per inference: by the reference, by C, and by the cost model."""
    found = study.count(number, COUNTED_SAMPLES)
    candidate = evaluator.space.candidate(study.trial(number).choices)
    frames = evaluator.stored_frames(candidate, COUNTED_SAMPLES)
    lines, _ = run_c(built(folder, "count", "-DHQ_COUNT"), frames)
    recorded = [row.exact if row.recorded is None else row.recorded for row in found.rows]
    return {
        "counted": found.total("accumulations"),
        "counted_c": sum(int(line[1]) for line in lines[len(frames) :]) / len(frames),
        "exact": math.fsum(row.exact for row in found.rows),
        "recorded": math.fsum(recorded),
        "profile": found.total("accumulations", "estimated"),
    }


def measured(
    study: hq.Study, number: int, evaluator: Any, out: Path, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Everything of one member."""
    trial = study.trial(number)
    candidate = evaluator.space.candidate(trial.choices)
    split = split_of(evaluator, candidate, "test")
    model = study.train(number, epochs=arguments.epochs, executor="in-process")
    about = model.about["accuracy"]
    packed = study.export(number, out / f"{number}.hq", "hq")
    folder = out / f"{number}-c"
    source = study.export(number, folder, "c")
    program = built(folder, "classify")
    lines, c_seconds = run_c(program, split.frames)
    of_c = np.array([int(line[0]) for line in lines])
    few = min(arguments.reference, len(split.labels))
    start = time.process_time()
    reference = run_integers(model.integers(), split.frames[:few])
    seconds = (time.process_time() - start) / few
    of_torch = torch_predictions(model, split.floats)
    unlike, every = int((of_torch != of_c).sum()), len(of_c)
    for other in (split_of(evaluator, candidate, name) for name in ("train", "validation")):
        found = np.array([int(line[0]) for line in run_c(program, other.frames)[0]])
        unlike += int((found != torch_predictions(model, other.floats)).sum())
        every += len(found)
    logits_c = np.array([[int(word) for word in line[1:]] for line in lines[:few]])
    return {
        "trial": number,
        "bits": trial.row.average_bits,
        "searched": about["searched"],
        "confirmed": confirmed(study, trial, evaluator, arguments.confirm),
        "final": about["test"],
        "interval": about["interval"],
        "epochs": model.about["training"]["epochs"],
        "samples": len(split.labels),
        "torch": float((of_torch == split.labels).mean()),
        "c": float((of_c == split.labels).mean()),
        "reference_samples": few,
        "reference": float((reference.predictions == split.labels[:few]).mean()),
        "c_on_the_same": float((of_c[:few] == split.labels[:few]).mean()),
        "logits_that_differ": int((reference.logits != logits_c).sum()),
        "differ": int((of_torch != of_c).sum()),
        "differ_anywhere": [unlike, every],
        "reference_ms": 1e3 * seconds,
        "c_ms": 1e3 * c_seconds,
        "storage": round(1024 * (trial.values or {})["storage"]),
        "tensors": packed.bytes["tensors"],
        "file": packed.bytes["file"],
        "ram": source.bytes["ram"],
        **sizes(folder),
        "accumulations": accumulations(study, number, folder, evaluator),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown, a column a member."""

    def percent(value: float | None) -> str:
        return "–" if value is None else f"{100 * value:.1f} %"

    samples, few = rows[0]["samples"], rows[0]["reference_samples"]
    lines = {
        "": [f"trial {row['trial']}, {row['bits']:.2f} bits" for row in rows],
        "searched (validation)": [percent(row["searched"]) for row in rows],
        "confirmed (test, mean of seeds)": [
            f"{percent(row['confirmed']['accuracy'])} ({row['confirmed']['seeds']})" for row in rows
        ],
        f"final ({rows[0]['epochs']} epochs, test, {samples} samples; 95 % interval)": [
            f"{percent(row['final'])} ({100 * row['interval'][0]:.1f} to "
            f"{100 * row['interval'][1]:.1f})"
            for row in rows
        ],
        f"integer reference, first {few}; C on the same": [
            f"{percent(row['reference'])}; {percent(row['c_on_the_same'])}" for row in rows
        ],
        "C, all": [percent(row["c"]) for row in rows],
        "torch, all": [percent(row["torch"]) for row in rows],
        "predictions that differ, torch and C: test; all splits": [
            f"{row['differ']}; {unlike} of {every:,} ({100 * unlike / every:.2f} %)"
            for row in rows
            for unlike, every in [row["differ_anywhere"]]
        ],
        "logits that differ, reference and C": [str(row["logits_that_differ"]) for row in rows],
        "storage reported, bytes": [f"{row['storage']:,}" for row in rows],
        "tensors in the file, bytes": [f"{row['tensors']:,}" for row in rows],
        "`.rodata` of the model, `nm -S`": [f"{row['rodata']:,}" for row in rows],
        "flash, Cortex-M4 `-O2`, model and runtime": [f"{row['flash']:,}" for row in rows],
        "RAM": [f"{row['ram']:,}" for row in rows],
        "accumulations counted by C": [f"{row['accumulations']['counted_c']:,.1f}" for row in rows],
        "by the cost model at the same rates": [
            f"{row['accumulations']['exact']:,.1f}" for row in rows
        ],
        "at the rates that torch recorded": [
            f"{row['accumulations']['recorded']:,.1f}" for row in rows
        ],
        "as the profile counts": [f"{row['accumulations']['profile']:,.1f}" for row in rows],
        "reference, C: ms a sample": [
            f"{row['reference_ms']:.0f}, {row['c_ms']:.1f}" for row in rows
        ],
    }
    text = [f"| {head} | {' | '.join(cells)} |" for head, cells in lines.items()]
    return "\n".join([text[0], f"|{'---|' * (1 + len(rows))}", *text[1:]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    parser.add_argument("--studies-dir", type=Path, default=Path("studies"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trials", type=int, nargs="*")
    parser.add_argument("--confirm", type=int, default=0, metavar="SEEDS")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--reference", type=int, default=200, metavar="SAMPLES")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    study = hq.Study(arguments.study, studies_dir=arguments.studies_dir)
    evaluator = evaluator_of(arguments.study, arguments.studies_dir)
    rows = []
    for number in arguments.trials or members(study):
        kept = arguments.out / f"{number}.json"
        if not kept.exists():
            row = measured(study, number, evaluator, arguments.out, arguments)
            kept.write_text(json.dumps(row, indent=1))
        rows.append(json.loads(kept.read_text()))
    print(table(rows))


if __name__ == "__main__":
    main()
