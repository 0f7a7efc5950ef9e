"""Networks of the zoo in other libraries' idioms: snnTorch, SpikingJelly, norse, sinabs."""

from __future__ import annotations

from typing import Any

import torch
from networks import CHANNELS, CLASSES, SIZE, StepByStep, entry, steps
from torch import Tensor, nn

# snnTorch


def leaky(**keys: Any) -> nn.Module:
    import snntorch as snn

    return snn.Leaky(beta=0.9, **keys)


@entry("snnTorch, init_hidden", "snntorch")
def snntorch_hidden(**_: Any) -> nn.Module:
    return StepByStep(leaky(init_hidden=True))


class Passing(nn.Module):
    """The tutorial's loop: state is passed along, spikes and potentials are returned."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(CHANNELS * SIZE * SIZE, 6), first
        self.fc2, self.lif2 = nn.Linear(6, CLASSES), second

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        state1, state2 = self.start(self.lif1), self.start(self.lif2)
        spikes, potentials = [], []
        for frame in x.flatten(2):
            out, *state1 = self.lif1(self.fc1(frame), *state1)
            out, *state2 = self.lif2(self.fc2(out), *state2)
            spikes.append(out)
            potentials.append(state2[-1])
        return torch.stack(spikes), torch.stack(potentials)

    def start(self, neuron: Any) -> list[Tensor]:
        for name in ("init_rleaky", "init_synaptic", "init_leaky"):
            if hasattr(neuron, name):
                made = getattr(neuron, name)()
                return list(made) if isinstance(made, tuple) else [made]
        return []


@entry("snnTorch, tutorial", "snntorch", readout="sum")
def snntorch_tutorial(**_: Any) -> nn.Module:
    return Passing(leaky(), leaky(reset_mechanism="zero"))


@entry("snnTorch, synaptic", "snntorch", readout="mean")
def snntorch_synaptic(**_: Any) -> nn.Module:
    import snntorch as snn

    return Passing(snn.Synaptic(alpha=0.8, beta=0.9), leaky())


@entry("snnTorch, recurrent", "snntorch", readout="sum")
def snntorch_recurrent(**_: Any) -> nn.Module:
    import snntorch as snn

    return Passing(snn.RLeaky(beta=0.9, linear_features=6), leaky())


@entry("snnTorch, tutorial as it is", "snntorch", refused="readout")
def snntorch_refused(**_: Any) -> nn.Module:
    return Passing(leaky(), leaky())


# SpikingJelly


def jelly(**keys: Any) -> nn.Module:
    from spikingjelly.activation_based import neuron

    return neuron.LIFNode(tau=2.0, detach_reset=True, **keys)


@entry("SpikingJelly, multi-step", "spikingjelly")
def jelly_multi(**_: Any) -> nn.Module:
    return steps(neuron=jelly(step_mode="m"))


@entry("SpikingJelly, single-step", "spikingjelly")
def jelly_single(**_: Any) -> nn.Module:
    return StepByStep(jelly(step_mode="s"))


@entry("SpikingJelly, its layers, soft reset", "spikingjelly")
class JellyLayers(nn.Module):
    def __init__(self, **_: Any) -> None:
        super().__init__()
        from spikingjelly.activation_based import functional, layer, neuron

        self.body = nn.Sequential(
            layer.Conv2d(2, 4, 3, padding=1, bias=False),
            layer.BatchNorm2d(4),
            neuron.ParametricLIFNode(v_reset=None, detach_reset=True),
            layer.MaxPool2d(2),
            layer.Flatten(),
            layer.Linear(64, CLASSES),
        )
        functional.set_step_mode(self, "m")

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).mean(0)


# norse


@entry("norse, sequential", "norse")
class Norse(nn.Module):
    def __init__(self, **_: Any) -> None:
        super().__init__()
        import norse.torch as norse

        self.body = norse.SequentialState(
            nn.Conv2d(2, 4, 3, padding=1), norse.LIFCell(), nn.Flatten(1), nn.Linear(256, CLASSES)
        )

    def forward(self, x: Tensor) -> Tensor:
        state, out = None, []
        for frame in x:
            logits, state = self.body(frame, state)
            out.append(logits)
        return torch.stack(out).mean(0)


@entry("norse, over time", "norse")
class NorseLift(nn.Module):
    def __init__(self, **_: Any) -> None:
        super().__init__()
        import norse.torch as norse

        self.fc, self.lif = nn.Linear(128, 6), norse.LIF()
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        spikes, _ = self.lif(self.fc(x.flatten(2)))
        return self.head(spikes).mean(0)


# sinabs


class Sinabs(nn.Module):
    """Batch first, as sinabs has it."""

    def __init__(self, neuron: nn.Module) -> None:
        super().__init__()
        self.conv, self.neuron, self.head = nn.Conv2d(2, 4, 3, padding=1), neuron, nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(0, 1)
        current = self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        return self.head(self.neuron(current).mean((3, 4))).mean(1)


@entry("sinabs, several spikes a step", "sinabs")
def sinabs_multi(**_: Any) -> nn.Module:
    import sinabs.layers as sl

    return Sinabs(sl.LIF(tau_mem=5.0))


@entry("sinabs, single spike, hard reset", "sinabs")
def sinabs_single(**_: Any) -> nn.Module:
    import sinabs.activation as sa
    import sinabs.layers as sl

    return Sinabs(sl.IAF(spike_fn=sa.SingleSpike, reset_fn=sa.MembraneReset()))
