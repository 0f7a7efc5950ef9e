"""Processor seconds of one candidate of ``gesture``: today's way against that of release 0.2.

    python tests/benchmarks/candidate_seconds.py --study FOLDER [--pairs 5]

FOLDER is the folder of a prepared study ``gesture`` (``studies/gesture`` after a run). A pair is
one evaluation each way, in this process, one after the other, in turn first; the median over
pairs of their ratio is what a busy machine leaves comparable. The way of 0.2: batch norm and
neuron by torch, layers on tokens as convolutions, rates in a pass of their own, weights quantized
again for every batch of an evaluation.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from torch import nn

from hqsearch.definition import embedded, load_study
from hqsearch.evaluator import Setup
from hqsearch.evaluator.registry import make_evaluator
from hqsearch.hardware import LayerRate, Workload
from hqsearch.models import compiled
from hqsearch.models.spikformer import Pointwise
from hqsearch.problem.candidate import Candidate
from hqsearch.qat import short_training
from hqsearch.qat.rates import measure_rates
from hqsearch.training import EvalResult, Samples, evaluate


@contextlib.contextmanager
def way_of_0_2() -> Iterator[None]:
    """What has changed since is as it was."""
    with (
        mock.patch.object(compiled, "MOST_THREADS", 0),
        mock.patch.object(Pointwise, "forward", nn.Conv2d.forward),
        mock.patch("torch.nn.utils.parametrize.cached", contextlib.nullcontext),
        mock.patch.object(short_training, "evaluate_with_rates", apart),
    ):
        yield


def apart(
    model: nn.Module, workload: Workload, samples: Samples, *, task: Any, counting: Any
) -> tuple[EvalResult, dict[str, LayerRate]]:
    """``evaluate_with_rates`` in two passes."""
    result = evaluate(model, samples, task=task)
    with counting:
        return result, measure_rates(model.eval(), workload, samples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", type=Path, required=True, help="folder of a prepared study")
    parser.add_argument("--pairs", type=int, default=5)
    asked = parser.parse_args()
    evaluator = make_evaluator(Setup(load_study(embedded("studies")["gesture"]), asked.study))
    choices = ("2u", "4u", "2l", "4l")
    names = evaluator.space.names
    candidate = Candidate(tuple((name, choices[i % 4]) for i, name in enumerate(names)))

    def seconds(old: bool) -> float:
        with way_of_0_2() if old else contextlib.nullcontext():
            began = time.process_time()
            evaluator.evaluate(candidate, 0)
            return time.process_time() - began

    evaluator.evaluate(candidate, 0, budget=1)  # compiles, and reads the frames
    before, after = [], []
    for pair in range(asked.pairs):
        for old in (pair % 2 == 0, pair % 2 == 1):
            (before if old else after).append(seconds(old))
        print(f"0.2: {before[-1]:.1f} s   today: {after[-1]:.1f} s", flush=True)
    ratio = statistics.median(b / a for a, b in zip(before, after, strict=True))
    print(
        f"median of {asked.pairs}: {statistics.median(before):.1f} s, "
        f"{statistics.median(after):.1f} s, ratio {ratio:.2f}"
    )


if __name__ == "__main__":
    main()
