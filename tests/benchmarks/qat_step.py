"""What quantization-aware training costs: one step against an fp32 step of the same network.

Run: ``python tests/benchmarks/qat_step.py [--threads 1] [--repeats 15]``
The product's limit is 1.20 for the ratio of every quantized row.
"""

from __future__ import annotations

import argparse

import torch
from timing import gesture_network, interleaved, table, training_step
from torch import nn

from hqsearch.models import weight_layers
from hqsearch.quant import quantize_model


def network(*choices: str) -> nn.Module:
    """The gesture network with ``choices`` in turn on its layers."""
    model = gesture_network()
    layers = [layer.path for layer in weight_layers(model)]
    quantize_model(model, {p: choices[i % len(choices)] for i, p in enumerate(layers)})
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = {
        "fp32": network("fp32"),
        "4u": network("4u"),
        "4l": network("4l"),
        "2u": network("2u"),
        "2l": network("2l"),
        "2u 4u 2l 4l fp32 in turn": network("2u", "4u", "2l", "4l", "fp32"),
    }
    seconds = interleaved(
        {name: training_step(model) for name, model in rows.items()}, options.repeats
    )
    print(table(f"training step, {options.threads} thread(s)", seconds, "fp32"))


if __name__ == "__main__":
    main()
