"""``[evaluation]`` of what trains candidates from a parent."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hqsearch.definition import EvaluationOptions
from hqsearch.sides import Size, sides
from hqsearch.training.batches import BorderName
from hqsearch.training.loop import DecayName, OptimizerName, PrecisionName, Schedule


class QatOptions(EvaluationOptions):
    """``[evaluation]`` of what trains candidates from a parent."""

    parent_epochs: Annotated[int, Field(ge=0, le=10_000)] = 25
    """0 takes ``[model] weights`` as they are, which is what is done with them by default."""
    parent_learning_rate: Annotated[float, Field(gt=0.0)] = 3e-3
    parent_threads: Annotated[int, Field(ge=1, le=256)] = 1
    """CPU threads of the parent's training. More are faster on an idle machine, change its last
    digits, and are much slower on a busy one (threads that wait for each other)."""
    epochs: Annotated[int, Field(ge=0, le=10_000)] = 2
    learning_rate: Annotated[float, Field(gt=0.0)] = 1e-3
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 32
    shift: Annotated[int, Field(ge=0, le=64)] = 2
    """Augmentation by shifts of up to this many pixels."""
    # Left out where it says nothing, so that fingerprints of earlier studies stay as they are.
    distillation: Annotated[
        Literal["none", "logits", "fine-grained"], Field(exclude_if=lambda kind: kind == "none")
    ] = "none"
    """What candidates and supernets learn of their parent, besides the labels: nothing, its
    logits, or the similarity patterns of its q, k and v (:mod:`hqsearch.training.distillation`)."""
    final_epochs: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Of a final training (``hqsearch train``), which no search and no confirmation does."""
    flip: bool = False
    """Augmentation by mirroring half of the samples, for pictures: a mirrored gesture is
    another one."""
    border: Annotated[BorderName, Field(exclude_if=lambda border: border == "zero")] = "zero"
    """What moves in where a sample is shifted: zeros, or what is there, reflected."""
    optimizer: OptimizerName = "adamw"
    decay: DecayName = "cosine"
    """Of the learning rate, after its rise."""
    warmup: Annotated[float, Field(ge=0.0, le=1.0)] = 0.2
    """Part of all steps over which the learning rate rises."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    mixed_precision: PrecisionName = "none"
    """On CUDA alone: what the network computes in."""
    loader_workers: Annotated[int, Field(ge=0, le=64)] = 0
    """Threads that prepare batches ahead; they change no number."""
    task: str | None = None
    """``file.py:Class`` of what is trained and measured; None: classification."""

    FREE: ClassVar[frozenset[str]] = EvaluationOptions.FREE | {"final_epochs", "loader_workers"}

    def schedule(self, epochs: int, learning_rate: float, seed: int) -> Schedule:
        """How a network is trained by these options."""
        return Schedule(
            epochs=epochs,
            learning_rate=learning_rate,
            batch_size=self.batch_size,
            weight_decay=self.weight_decay,
            warmup=self.warmup,
            shift=self.shift,
            label_smoothing=self.label_smoothing,
            seed=seed,
            optimizer=self.optimizer,
            decay=self.decay,
            flip=self.flip,
            mixed_precision=self.mixed_precision,
            loader_workers=self.loader_workers,
            border=self.border,
        )

    def for_pictures(self, size: Size, said: Collection[str]) -> QatOptions:
        """These options with what is usual of pictures where a study says nothing.

        Args:
            size: of a picture in pixels; it is cropped to after padding with an eighth of its
                shorter side.
            said: keys that the study says.
        """
        usual = {
            "shift": min(sides(size)) // 8,
            "flip": True,
            "border": "reflect",
            "weight_decay": 0.05,
        }
        return self.model_copy(update={k: v for k, v in usual.items() if k not in said})
