"""``[evaluation]`` of what trains candidates from a parent."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from hqsearch.definition import EvaluationOptions


class QatOptions(EvaluationOptions):
    """``[evaluation]`` of what trains candidates from a parent."""

    parent_epochs: Annotated[int, Field(ge=1, le=10_000)] = 25
    parent_learning_rate: Annotated[float, Field(gt=0.0)] = 3e-3
    parent_threads: Annotated[int, Field(ge=1, le=256)] = 1
    """CPU threads of the parent's training. More are faster on an idle machine, change its last
    digits, and are much slower on a busy one (threads that wait for each other)."""
    epochs: Annotated[int, Field(ge=0, le=10_000)] = 2
    learning_rate: Annotated[float, Field(gt=0.0)] = 1e-3
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 32
    shift: Annotated[int, Field(ge=0, le=64)] = 2
    """Augmentation by shifts of up to this many pixels. Never mirrored: left is not right."""
    # Left out where it says nothing, so that fingerprints of earlier studies stay as they are.
    distillation: Annotated[
        Literal["none", "logits", "fine-grained"], Field(exclude_if=lambda kind: kind == "none")
    ] = "none"
    """What candidates and supernets learn of their parent, besides the labels: nothing, its
    logits, or the similarity patterns of its q, k and v (:mod:`hqsearch.training.distillation`)."""
    final_epochs: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Of a final training (``hqsearch train``), which no search and no confirmation does."""

    FREE: ClassVar[frozenset[str]] = EvaluationOptions.FREE | {"final_epochs"}
