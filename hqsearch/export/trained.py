"""A trained, quantized network with what is known of it: what is exported, and what is loaded."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hqsearch.errors import ExportError, InputError
from hqsearch.export.network import IntegerNetwork, integer_network
from hqsearch.export.packed_file import PackedModel, read_packed
from hqsearch.export.packed_model import pack_network, rebuild
from hqsearch.hardware import Workload
from hqsearch.sides import sides

#: Of a manifest, what a file keeps: not the rows by layer, which its own tensors say.
_KEPT = (
    "study", "title", "trial", "choices", "values", "average_bits", "training", "recipe",
    "fingerprints", "hardware", "versions", "model", "input", "classes", "data",
)  # fmt: skip


class TrainedModel(nn.Module):
    """A torch module: frames ``[T, N, C, H, W]`` in, logits ``[N, classes]`` out.

    Frames are float, encoded as ``input`` says: ``log2`` frames, say, hold 0 to 15. It is in
    evaluation mode, on the CPU.

    Attributes:
        network: what computes the logits.
        packed: what a file holds of it: every weight layer as it is stored.
    """

    def __init__(self, network: nn.Module, packed: PackedModel) -> None:
        super().__init__()
        self.network = network
        self.packed = packed
        self.eval()

    @classmethod
    def of_training(
        cls, network: nn.Module, workload: Workload, manifest: Mapping[str, Any]
    ) -> TrainedModel:
        """A network with fake quantizers, and the manifest of its training."""
        about = {name: manifest[name] for name in _KEPT}
        about["accuracy"] = {k: v for k, v in manifest["accuracy"].items() if k != "correct"}
        packed = pack_network(network, workload, about)
        model = cls(network, packed)
        with contextlib.suppress(ExportError):  # a file may do without; C tells what is missing
            model.packed = replace(packed, graph=model.integers().described())
        return model

    def forward(self, frames: Tensor) -> Tensor:
        """Logits ``[N, classes]`` of float frames ``[T, N, C, H, W]``."""
        logits: Tensor = self.network(frames)
        return logits

    def integers(self) -> IntegerNetwork:
        """The same network in integers, as the C code runs it.

        Raises:
            ExportError: a part of it has no integer form; named.
        """
        if self.packed.graph is not None:
            return IntegerNetwork.of_packed(self.packed.graph, self.packed.layers)
        told = self.about["input"]
        frame = (told["channels"], *sides(told["size"]))
        return integer_network(
            self.network, self.packed.layers, told["timesteps"], frame, told["bits"]
        )

    @property
    def about(self) -> Mapping[str, Any]:
        """What it was trained on, how, and how good it is: JSON values."""
        return self.packed.about

    @property
    def accuracy(self) -> float:
        """On the test split, a fraction; the interval is in ``about["accuracy"]``."""
        return float(self.about["accuracy"]["test"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return tuple(self.about["classes"])

    @property
    def choices(self) -> dict[str, str]:
        """The choice of every weight layer, by path."""
        return self.packed.choices

    def extra_repr(self) -> str:
        return f"{self.about['study']}, trial {self.about['trial']}, {100 * self.accuracy:.1f} %"


def load_model(path: str | Path, model: Any = None) -> TrainedModel:
    """The network of a ``.hq`` file, as a torch module with the logits of the trained one.

    Sums of weights are exact; normalisation and thresholds are applied in another order than in
    training, so that logits agree to float32's rounding, and where a membrane comes that near to
    its threshold a spike, and what follows from it, may differ.

    Args:
        path: as ``hqsearch export --format hq`` or ``hqsearch.export`` wrote it.
        model: where the network is in no file, what the study was made from: a function that
            builds it, or a network with the same layers.

    Raises:
        InputError: no such file; it is damaged, cut off, no packed model, or of a newer version;
            or its network cannot be built here.
    """
    if not isinstance(path, str | Path):
        raise InputError(f"load_model needs the path of a .hq file, not a {type(path).__name__}.")
    packed = read_packed(Path(path))
    return TrainedModel(rebuild(packed, model), packed)
