"""What training a supernet costs: its steps against one of quantization-aware training.

Run: ``python tests/benchmarks/supernet_step.py [--threads 1] [--repeats 15]``
The product's limit is 1.60 for the ratio of a supernet step with 5 choices on every layer; one
convolution per choice would come to about 5. A hard sample trains one choice at a time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import torch
from timing import (
    BATCH,
    CLASSES,
    SIZE,
    TIMESTEPS,
    gesture_network,
    interleaved,
    table,
    training_step,
)
from torch import Tensor
from torch.nn.functional import one_hot

from hqsearch.data.encoding import get_encoding
from hqsearch.definition import SpaceDefinition
from hqsearch.hardware import CostModel, load_profile
from hqsearch.hardware.trace import trace_workload
from hqsearch.models import weight_layers
from hqsearch.problem.space import derive_space
from hqsearch.qat.relaxation import Batching, QatRelaxation
from hqsearch.quant import quantize_model
from hqsearch.training import Samples

CHOICES = ("2u", "4u", "2l", "4l", "fp32")
#: The gesture network's 4-bit frames.
BITS = 4


def relaxation() -> QatRelaxation:
    """The gesture network, untrained, with 5 choices on each of its 18 layers."""
    model = gesture_network()
    space = derive_space(SpaceDefinition(choices=CHOICES), weight_layers(model))
    frames = torch.zeros(TIMESTEPS, 1, 2, SIZE, SIZE)
    workload = trace_workload(model.eval(), frames, BITS).with_rate(0.1)
    layers = {path: d.values for d in space.dimensions for path in d.layers}
    costs = CostModel(workload, load_profile("horowitz-45nm-memory"), layers)
    generator = np.random.default_rng(0)
    samples = Samples(
        frames=generator.integers(0, 4, (4 * BATCH, TIMESTEPS, 2, SIZE, SIZE), dtype=np.uint8),
        labels=np.arange(4 * BATCH) % CLASSES,
        to_float=get_encoding("log2").to_float,
    )
    return QatRelaxation(model, space, costs, samples, Batching(0.5, BATCH, 2, 0))


def weight_step(supernet: QatRelaxation, hard: bool) -> Callable[[], None]:
    """Sample, forward, backward and optimizer of the weights."""
    logits = torch.zeros(len(supernet.choices), len(CHOICES))
    batch = next(supernet.weight_batches(0))
    spared = supernet.no_decay()
    parameters = supernet.named_parameters()
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for n, p in parameters.items() if n not in spared]},
            {"params": [p for n, p in parameters.items() if n in spared], "weight_decay": 0.0},
        ],
        lr=5e-4,
        fused=True,
    )

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        supernet.loss(_sample(logits, hard), batch, "weights").backward()
        optimizer.step()

    return step


def logit_step(supernet: QatRelaxation) -> Callable[[], None]:
    """Sample, forward, backward and optimizer of the logits, expected costs included."""
    logits = torch.zeros(len(supernet.choices), len(CHOICES), requires_grad=True)
    batch = next(supernet.logit_batches(0))
    optimizer = torch.optim.Adam([logits], lr=0.1)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        mixture = _sample(logits, hard=False)
        loss = supernet.loss(mixture, batch, "logits") + supernet.costs(mixture).sum()
        loss.backward()
        optimizer.step()

    return step


def _sample(logits: Tensor, hard: bool) -> list[Tensor]:
    soft = torch.nn.functional.gumbel_softmax(logits)
    return list(one_hot(soft.argmax(1), len(CHOICES)).float() if hard else soft)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    uniform = gesture_network()
    quantize_model(uniform, {layer.path: "4u" for layer in weight_layers(uniform)})
    supernet = relaxation()
    steps = {
        "QAT, 4u": training_step(uniform),
        "supernet weights, soft": weight_step(supernet, hard=False),
        "supernet weights, hard": weight_step(supernet, hard=True),
        "supernet logits": logit_step(supernet),
    }
    title = f"training step, batch {BATCH}, 18 layers, 5 choices, {options.threads} thread(s)"
    print(table(title, interleaved(steps, options.repeats), "QAT, 4u"))


if __name__ == "__main__":
    main()
