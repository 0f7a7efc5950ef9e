"""Train on simulated gestures only, classify the ten recorded clips: a smoke test of the simulator.

Prints, for each seed, how many of the ten clips of ``$HQSEARCH_DATA/dvs-gesture-clips`` a small
Spikformer gets right, and the same for a linear model on the same frames. Ten clips carry no
accuracy claim. Takes a few minutes::

    HQSEARCH_DATA=... python tests/benchmarks/simulated_to_recorded.py [--epochs 25] [--seeds 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hqsearch.data import DataSpec, FrameData, prepare_data
from hqsearch.data.files import read_events
from hqsearch.data.framing import count_frames
from hqsearch.data.simulated import SENSOR
from hqsearch.models.spikformer import Spikformer, SpikformerConfig

TIMESTEPS, SIZE, BATCH = 8, 32, 32


def recorded_clips(root: Path, data: FrameData) -> tuple[Tensor, Tensor]:
    """Frames ``[n, T, 2, size, size]`` and labels of the clips, by the number in their folder."""
    frames, labels = [], []
    for path in sorted(root.glob("*/clip.bin")):
        counts = count_frames(read_events(path, SENSOR), SENSOR, TIMESTEPS, SIZE)
        frames.append(data.encoding.store(counts))
        labels.append(int(path.parent.name[:2]))
    return data.encoding.to_float(torch.from_numpy(np.stack(frames))), torch.tensor(labels)


def shift(x: Tensor, generator: torch.Generator, most: int = 2) -> Tensor:
    """Move the images of ``x`` ``[N, T, 2, H, W]`` by up to ``most`` pixels, each its own way."""
    padded = functional.pad(x.flatten(1, 2), (most, most, most, most))
    moves = torch.randint(0, 2 * most + 1, (len(x), 2), generator=generator).tolist()
    size = x.shape[-1]
    moved = [p[:, r : r + size, c : c + size] for p, (r, c) in zip(padded, moves, strict=True)]
    return torch.stack(moved).view_as(x)


def train(model: nn.Module, x: Tensor, y: Tensor, epochs: int, lr: float, seed: int) -> None:
    """AdamW with one cycle on ``x`` ``[n, T, 2, H, W]``; the model takes ``[T, N, 2, H, W]``."""
    generator = torch.Generator().manual_seed(seed)
    steps = epochs * (len(x) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=lr, total_steps=steps)
    model.train()
    for _ in range(epochs):
        order = torch.randperm(len(x), generator=generator)
        for batch in order[: len(x) // BATCH * BATCH].split(BATCH):
            optimizer.zero_grad()
            out = model(shift(x[batch], generator).transpose(0, 1))
            functional.cross_entropy(out, y[batch]).backward()
            optimizer.step()
            schedule.step()


class Linear(nn.Module):
    """Logits straight from the frames."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(TIMESTEPS * 2 * SIZE * SIZE, classes)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x.transpose(0, 1).flatten(1) / 15)
        return out


@torch.no_grad()
def predict(model: nn.Module, x: Tensor) -> Tensor:
    """Class numbers ``[n]``."""
    model.eval()
    return torch.cat([model(part.transpose(0, 1)).argmax(1) for part in x.split(100)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, help="keep the simulated frames here")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    root = os.environ.get("HQSEARCH_DATA")
    if root is None:
        parser.error("set HQSEARCH_DATA to the folder that holds dvs-gesture-clips")
    spec = DataSpec("simulated-gestures", TIMESTEPS, SIZE, train=1100, validation=1000, test=11)
    data = prepare_data(spec, arguments.cache or Path(tempfile.mkdtemp()))
    x, y = (torch.from_numpy(np.array(part)) for part in (data.train.frames, data.train.labels))
    x = data.encoding.to_float(x)
    held = data.encoding.to_float(torch.from_numpy(np.array(data.validation.frames)))
    held_y = torch.from_numpy(np.array(data.validation.labels))
    clips, clips_y = recorded_clips(Path(root) / "dvs-gesture-clips", data)

    scores: dict[str, list[int]] = {"spikformer": [], "linear": []}
    print("model       seed  simulated validation  recorded clips right  seconds  predicted")
    for seed in range(arguments.seeds):
        for name, lr in (("spikformer", 3e-3), ("linear", 1e-3)):
            torch.manual_seed(seed)
            config = SpikformerConfig(
                embed_dim=64, depth=2, heads=4, timesteps=TIMESTEPS, pooled_stages=3,
                size=SIZE, classes=len(data.classes),
            )  # fmt: skip
            model = Spikformer(config) if name == "spikformer" else Linear(len(data.classes))
            start = time.perf_counter()
            train(model, x, y, arguments.epochs, lr, seed)
            accuracy = (predict(model, held) == held_y).float().mean().item()
            told = predict(model, clips)
            scores[name].append(int((told == clips_y).sum()))
            print(
                f"{name:<10}  {seed:>4}  {100 * accuracy:>20.1f}  {scores[name][-1]:>20}"
                f"  {time.perf_counter() - start:>7.0f}  {told.tolist()}",
                flush=True,
            )
    for name, values in scores.items():
        print(f"{name}: median {statistics.median(values):g} of {len(clips)} recorded clips")


if __name__ == "__main__":
    main()
