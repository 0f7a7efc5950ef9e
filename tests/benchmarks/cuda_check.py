"""CPU against CUDA, Ray with shares of a GPU, and the training step against SpikingJelly's.

One prepared script of at most ten minutes for a machine with a GPU; it prints a table for the
results page. Everything is small: the built-in Spikformer on made-up frames.

    python tests/benchmarks/cuda_check.py [--size 32] [--batch 32] [--steps 20] [--skip-ray]

1. *Equal codes*: the same weights quantized on either device give equal codes for every choice.
2. *Equal answers*: logits in float64 on either device, and accuracy within its standard error.
3. *Ray*: ten evaluations of a study, four at a time on a quarter of the GPU each.
4. *Speed*: milliseconds of a training step, ours against SpikingJelly's torch backend.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import hqsearch as hq
from hqsearch.models import build_model
from hqsearch.models.neurons import LIF
from hqsearch.quant import quantize_model, read_codes
from hqsearch.training import Samples, evaluate

OPTIONS = {"embed_dim": 64, "depth": 2, "heads": 4, "pooled_stages": 3}
CHOICES = ("2u", "4u", "2l", "4l")
CLASSES, TIMESTEPS = 11, 4


def network(size: int) -> nn.Module:
    return build_model("spikformer", OPTIONS, timesteps=TIMESTEPS, size=size, classes=CLASSES)


def frames(n: int, size: int) -> tuple[Any, Any]:
    """Made-up frames uint8 ``[n, T, 2, size, size]`` whose mean tells the class, and labels."""
    generator = np.random.default_rng(0)
    labels = np.arange(n) % CLASSES
    mean = 0.1 + 0.1 * labels[:, None, None, None, None]
    made = generator.poisson(mean, (n, TIMESTEPS, 2, size, size))
    return np.minimum(made, 15).astype(np.uint8), labels


def equal_codes(size: int) -> None:
    for choice in CHOICES:
        here, there = network(size), network(size).cuda()
        paths = [p for p, m in here.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        for model in (here, there):
            quantize_model(model, dict.fromkeys(paths, choice))
        mine, theirs = read_codes(here), read_codes(there)
        different = sum(
            int((a.codes != b.codes.cpu()).sum())
            for a, b in zip(mine.values(), theirs.values(), strict=True)
            if a.codes is not None and b.codes is not None
        )
        print(f"| codes of {choice} that differ | {different} |")


def equal_answers(size: int) -> None:
    values, labels = frames(220, size)
    model = network(size).eval()
    x = torch.from_numpy(values[:16].swapaxes(0, 1).copy()).double()
    with torch.no_grad():
        here = copy.deepcopy(model).double()(x)
        there = copy.deepcopy(model).double().cuda()(x.cuda()).cpu()
    print(f"| largest difference of a logit in float64 | {float((here - there).abs().max()):.3g} |")
    samples = Samples(values, labels, lambda stored: stored.float())
    found = {d: evaluate(copy.deepcopy(model), samples, device=d) for d in ("cpu", "cuda")}
    gap = abs(found["cpu"].accuracy - found["cuda"].accuracy)
    error = found["cpu"].standard_error
    print(f"| accuracy, CPU − CUDA (standard error) | {gap:.4f} ({error:.4f}) |")


def ray_shares(size: int) -> None:
    split = frames(220, size)
    with tempfile.TemporaryDirectory() as folder:
        study = hq.Study(
            "cuda",
            studies_dir=Path(folder),
            model="spikformer",
            options=OPTIONS,
            data=hq.Frames(split, split, split),
            settings={
                "evaluation.parent_epochs": 2,
                "evaluation.epochs": 1,
                "evaluation.gpus": 0.25,
            },
        )
        start = time.perf_counter()
        study.run("random", evaluations=10, workers=4, executor="ray", device="cuda")
        seconds = time.perf_counter() - start
        done = sum(trial.state == "COMPLETE" for trial in study.trials())
    print(f"| Ray, a quarter of a GPU each: complete of 10, seconds | {done}, {seconds:.0f} |")


def with_jelly(model: nn.Module) -> nn.Module:
    """The same network with SpikingJelly's multi-step LIF in place of ours."""
    from spikingjelly.activation_based import functional, neuron, surrogate

    for path, module in list(model.named_modules()):
        if isinstance(module, LIF):
            parent, _, name = path.rpartition(".")
            made = neuron.LIFNode(
                tau=module.tau,
                v_threshold=module.threshold,
                surrogate_function=surrogate.Sigmoid(alpha=module.alpha),
                detach_reset=True,
                step_mode="m",
                backend="torch",
            )
            setattr(model.get_submodule(parent), name, made)
    model.register_forward_pre_hook(lambda m, args: functional.reset_net(m))
    return model


def milliseconds(model: nn.Module, x: Tensor, labels: Tensor, steps: int) -> float:
    model.cuda().train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(x), labels).backward()
        optimizer.step()

    for _ in range(5):
        step()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start) / steps


def speed(size: int, batch: int, steps: int) -> None:
    values, labels = frames(batch, size)
    x = torch.from_numpy(values.swapaxes(0, 1).copy()).float().cuda()
    target = torch.from_numpy(labels).cuda()
    made: dict[str, Callable[[], nn.Module]] = {
        "hqsearch": lambda: network(size),
        "SpikingJelly, torch backend": lambda: with_jelly(network(size)),
    }
    for name, build in made.items():
        print(f"| training step, ms, {name} | {milliseconds(build(), x, target, steps):.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--skip-ray", action="store_true")
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("no CUDA device here: nothing was checked")
    print(f"| on {torch.cuda.get_device_name()}, torch {torch.__version__} | |\n|---|---|")
    equal_codes(asked.size)
    equal_answers(asked.size)
    speed(asked.size, asked.batch, asked.steps)
    if not asked.skip_ray:
        ray_shares(asked.size)


if __name__ == "__main__":
    main()
