"""The training step against the same network with SpikingJelly's LIF nodes.

SpikingJelly is a timing peer only and no dependency. Put it into a folder of its own::

    pip install --no-deps --target PEER spikingjelly==2.0.0 loguru SciencePlots tensorboard

Run: ``PYTHONPATH=PEER python tests/benchmarks/lif_step.py [--threads 1] [--repeats 15]``
The product promises that the peer takes at least 1.9 times as long.
"""

from __future__ import annotations

import argparse
import sys

import torch
from timing import gesture_network, interleaved, table, training_step
from torch import Tensor, nn

from hqsearch.models.neurons import LIF

try:
    from spikingjelly.activation_based import functional, neuron, surrogate
except ImportError as missing:
    sys.exit(f"{missing}.\n{__doc__}")


class PeerLIF(nn.Module):
    """SpikingJelly's multi-step LIF with the constants of ours; forgets between batches."""

    def __init__(self, ours: LIF) -> None:
        super().__init__()
        self.node = neuron.LIFNode(
            tau=ours.tau,
            v_threshold=ours.threshold,
            v_reset=0.0,
            decay_input=True,
            detach_reset=True,
            surrogate_function=surrogate.Sigmoid(alpha=ours.alpha),
            step_mode="m",
        )

    def forward(self, x: Tensor) -> Tensor:
        functional.reset_net(self.node)
        spikes: Tensor = self.node(x)
        return spikes


def peer_network() -> nn.Module:
    """The gesture network, every neuron replaced by its peer."""
    model = gesture_network()
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, LIF):
                setattr(module, name, PeerLIF(child))
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    ours, peer = gesture_network(), peer_network()
    frames = torch.randint(0, 4, (8, 4, 2, 32, 32)).float()
    difference = (ours(frames) - peer(frames)).abs().max().item()
    steps = {"hqsearch LIF": training_step(ours), "SpikingJelly LIF": training_step(peer)}
    seconds = interleaved(steps, options.repeats)
    print(table(f"training step, {options.threads} thread(s)", seconds, "hqsearch LIF"))
    print(f"largest difference of the initial logits: {difference:.2g}")


if __name__ == "__main__":
    main()
