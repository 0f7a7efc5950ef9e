"""What a study of short trainings will cost, before anything is trained.

The work of a training is counted in multiply-accumulates, one of a backward pass as two; how
long they take is scaled from measured trainings of the study ``gesture``, and said to be.
"""

from __future__ import annotations

from collections.abc import Mapping

from hqsearch.data import DataOutlook, open_frames
from hqsearch.definition.data import FRAMES
from hqsearch.evaluator import Outlook
from hqsearch.hardware import Workload
from hqsearch.qat.parent import is_whole, parent_digest
from hqsearch.qat.structural_part import Part

#: Forward and backward pass of a sample, in forward passes.
TRAINING_PASSES = 3
#: Of a training step besides its arithmetic, on the same core: networks of four modules took 3.7
#: to 12 ms for each of 2 to 120 steps, and next to nothing for arithmetic.
STEP_SECONDS = 0.005
#: An evaluation of ``gesture``, without its 70 steps of those: seconds on one core (7.6 minutes
#: for 48 in release 0.1, and 0.70 of that since; both guide/results.md), training samples ×
#: epochs, samples measured, and multiply-accumulates of a sample.
GESTURE_SECONDS = 9.5 * 0.70 - 2 * 35 * STEP_SECONDS
GESTURE_WORK = (2 * 1100 * TRAINING_PASSES + 1000) * 26.4e6
BASIS = (
    "a rough figure, scaled by multiply-accumulates from study gesture on one idle x86 core "
    "(hqsearch guide results)"
)
#: Bytes per weight of a parent: its weights, and a checkpoint with two moments of Adam.
BYTES_PER_WEIGHT = 16


def outlook_of(traced: Mapping[Part, Workload]) -> Outlook:
    """What is still to be prepared for structural parts, and what it and an evaluation cost.

    Args:
        traced: parts, and what the network of each does with one sample; an evaluation is taken to
            be the mean over them.

    Raises:
        DataError: the recordings are missing or not enough.
    """
    study = next(iter(traced)).study
    options, steps = study.options, dict[str, None]()
    work = disk = evaluation = steps_before = steps_each = 0
    for part, workload in traced.items():
        macs = sum(operation.macs for operation in workload.operations)
        data = part.data_outlook()
        if not data.ready:
            verb = "store" if part.data.dataset == FRAMES else "frame"
            step = f"{verb} {sum(data.samples.values()):,} samples of {part.data.dataset}"
            disk += 0 if step in steps else data.bytes
            steps[step] = None
        if not _has_parent(part, data):
            of = f" of {part.key}" if part.key else ""
            epochs = "1 epoch" if options.parent_epochs == 1 else f"{options.parent_epochs} epochs"
            given = part.model.weights is not None and not options.parent_epochs
            step = f"measure your weights{of}" if given else f"train the fp32 parent{of} ({epochs})"
            steps[step] = None
            passes = data.samples["train"] * options.parent_epochs * TRAINING_PASSES
            steps_before += options.parent_epochs * -(-data.samples["train"] // options.batch_size)
            work += (passes + data.samples["validation"]) * macs
            disk += BYTES_PER_WEIGHT * sum(layer.weights for layer in part.layers)
        trained = data.samples["train"] * options.epochs * TRAINING_PASSES
        evaluation += (trained + data.samples["validation"]) * macs
        steps_each += options.epochs * -(-data.samples["train"] // options.batch_size)
    known = study.device == "cpu"
    per_second = GESTURE_WORK / GESTURE_SECONDS
    before = work / per_second + steps_before * STEP_SECONDS
    each = (evaluation / per_second + steps_each * STEP_SECONDS) / len(traced)
    return Outlook(
        steps=tuple(steps),
        preparation_seconds=before if known else None,
        evaluation_seconds=each if known else None,
        basis=BASIS if known else "",
        disk_bytes=disk,
    )


def _has_parent(part: Part, data: DataOutlook) -> bool:
    """Whether the parent of a part is there, trained on these frames."""
    if not data.ready or part.prepared is None or part.key not in part.prepared.parents:
        return False
    place = parent_digest(part, open_frames(data.folder).fingerprint)[:16]
    return part.parent_folder.name == place and is_whole(part.parent_folder)
