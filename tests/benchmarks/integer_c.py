"""Integer C at batch 1 against torch's forward pass on one thread, processor time.

    python tests/benchmarks/integer_c.py [--samples 100] [--options=-O3]

A Spikformer of the size of the study ``gesture`` with random weights, normalisations that have
seen frames, and frames as sparse as the simulated ones; every layer takes one choice. ``ratio`` is
torch over C: above 1, C is faster. Needs gcc.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hqsearch.export.c_source import c_source
from hqsearch.export.integer import run_integers
from hqsearch.export.network import integer_network
from hqsearch.export.packed_layers import quantized_layers
from hqsearch.hardware.trace import trace_workload
from hqsearch.models import build_model, weight_layers
from hqsearch.quant import quantize_model

CHOICES = ("2u", "4u", "8u", "2l", "4l", "fp32")
SHAPE = (8, 2, 32, 32)
BITS = 4


def network(choice: str, frames: Tensor) -> nn.Module:
    """Quantized by one choice; neurons fire in 5 to 20 % of all steps."""
    options = {"embed_dim": 64, "depth": 2, "heads": 4, "pooled_stages": 3}
    model = build_model("spikformer", options, timesteps=8, size=32, classes=11)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(10):
            model(frames)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(torch.rand(module.weight.shape, generator=generator) + 0.8)
                module.bias.copy_(torch.rand(module.bias.shape, generator=generator) + 0.2)
    quantize_model(model, {layer.path: choice for layer in weight_layers(model)})
    return model.eval()


def seconds_of_torch(model: nn.Module, frames: Tensor, repeats: int) -> float:
    """Of one sample, the median of several batches of 1."""
    taken = []
    with torch.no_grad():
        for index in range(repeats):
            sample = frames[:, index % frames.shape[1]].unsqueeze(1).contiguous()
            start = time.process_time()
            model(sample)
            taken.append(time.process_time() - start)
    return float(np.median(taken))


def seconds_of_c(folder: Path, frames: np.ndarray, samples: int) -> float:
    """Of one sample, of a program that reads many."""
    repeated = np.repeat(frames, -(-samples // len(frames)), axis=0)[:samples]
    (folder / "samples.bin").write_bytes(np.ascontiguousarray(repeated).tobytes())
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    command = [folder / "classify", folder / "samples.bin"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before) / samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--options", default="-O3")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1)
    frames = torch.poisson(torch.full((8, 8, *SHAPE[1:]), 0.25), generator=generator).clamp_max(15)
    stored = frames.transpose(0, 1).numpy().astype(np.uint8)
    print("choice  torch ms    C ms  ratio  reference ms  accumulations  .rodata codes      RAM")
    for choice in CHOICES:
        model = network(choice, frames)
        layers = quantized_layers(model, trace_workload(model, frames, BITS))
        integers = integer_network(model, layers, SHAPE[0], SHAPE[1:], BITS)
        start = time.process_time()
        run = run_integers(integers, stored)
        reference = (time.process_time() - start) / len(stored)
        counted = sum(c.accumulations for c in run.counts.values()) / len(stored)
        with tempfile.TemporaryDirectory() as name:
            folder, source = Path(name), c_source(integers)
            source.write(folder)
            sources = sorted(map(str, folder.glob("*.c")))
            program = str(folder / "classify")
            subprocess.run(["gcc", *arguments.options.split(), "-o", program, *sources], check=True)
            c = seconds_of_c(folder, stored, arguments.samples)
        ours = seconds_of_torch(model, frames, arguments.samples)
        print(
            f"{choice:6}  {1e3 * ours:8.2f}  {1e3 * c:6.2f}  {ours / c:5.2f}  "
            f"{1e3 * reference:12.1f}  {counted:13,.0f}  {source.weights:13,}  {source.ram:7,}"
        )


if __name__ == "__main__":
    main()
