"""Training: the loop for parents and quantization-aware fine-tuning, and its state on disk."""

from __future__ import annotations

from hqsearch.training.batches import Samples
from hqsearch.training.distillation import Teacher
from hqsearch.training.loop import (
    EpochRecord,
    EvalResult,
    Schedule,
    Segment,
    TrainResult,
    evaluate,
    make_optimizer,
    train,
)
from hqsearch.training.memory import keep_freed_memory
from hqsearch.training.state import load_state, load_tensors, save_state, save_tensors
from hqsearch.training.task import CLASSIFICATION, Task

__all__ = [
    "CLASSIFICATION",
    "EpochRecord",
    "EvalResult",
    "Samples",
    "Schedule",
    "Segment",
    "Task",
    "Teacher",
    "TrainResult",
    "evaluate",
    "keep_freed_memory",
    "load_state",
    "load_tensors",
    "make_optimizer",
    "save_state",
    "save_tensors",
    "train",
]
