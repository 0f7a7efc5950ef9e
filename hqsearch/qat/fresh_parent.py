"""A parent that a confirmation trains anew: another seed, and maybe another division of recordings.

It lies beside the study's own, in a folder that is named after that one, seed and division; so
whoever needs it again finds it, and a training that was cut off goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from hqsearch.atomic import write_atomically
from hqsearch.data.divisions import divided, most_divisions, why_undivided
from hqsearch.errors import InputError, RunFailed
from hqsearch.evaluator import FreshParent, ParentResult
from hqsearch.qat.held_out import joined, rows_of
from hqsearch.qat.parent import is_whole, train_parent
from hqsearch.qat.structural_part import Part, SplitName
from hqsearch.training import EpochRecord, Samples
from hqsearch.wording import option

PROGRESS = "progress.json"


class FreshPart(Part):
    """A structural part that starts from a parent of its own.

    Args:
        part: as the study has it.
        parent: its seed, and the division that it learns from.
    """

    def __init__(self, part: Part, parent: FreshParent) -> None:
        study = part.study
        options = study.options.model_copy(update={"seed": parent.seed})
        super().__init__(replace(study, options=options), part.key, part.settings)
        self._of, self._fresh = part, parent

    @property
    def parent_folder(self) -> Path:
        own = self._of.parent_folder
        text = json.dumps([own.name, self._fresh.division, self._fresh.seed])
        return own.with_name(hashlib.sha256(text.encode()).hexdigest()[:16])

    def samples(self, split: SplitName) -> Samples:
        """Validation as the study has it; the others as they are divided."""
        if self._fresh.division == 0 or split == "validation":
            return super().samples(split)
        train, test = super().samples("train"), super().samples("test")
        places = divided(
            np.asarray(train.labels).tolist(),
            np.asarray(test.labels).tolist(),
            self._fresh.division,
            self.data.seed,
        )
        return rows_of(joined(train, test), places[0 if split == "train" else 1])


def train_fresh(part: FreshPart, folder: Path) -> ParentResult:
    """Train a parent where it is not there yet, on a worker; deterministic for its arguments.

    Args:
        folder: the task's own; ``progress.json`` in it tells how far it is.

    Raises:
        FloatingPointError: it diverged; the first tensor that did is named.
        RunFailed: its checkpoint is damaged.
        DiskFull: no space left.
    """
    there, place = is_whole(part.parent_folder), part.parent_folder
    if not there:
        try:
            train_parent(part, _telling(folder / PROGRESS, part.study.options.parent_epochs))
        except RunFailed as error:
            if isinstance(error.__cause__, FloatingPointError):
                raise error.__cause__ from None  # of this parent alone; others may train
            raise
    about = json.loads((place / "parent.json").read_text())
    return ParentResult(
        file=(place / "parent.safetensors").relative_to(part.study.folder).as_posix(),
        weights=str(about["weights"]),
        accuracy=float(about["accuracy"]),
        accuracy_se=float(about["accuracy_se"]),
        samples=int(about["validation_samples"]),
        training_seconds=float(about["seconds"]) if there else None,
    )


def _telling(file: Path, total: int) -> Callable[[EpochRecord], None]:
    def tell(epoch: EpochRecord) -> None:
        write_atomically(file, json.dumps({"done": epoch.epoch, "total": total}))

    return tell


def require_fresh(part: Part, divisions: int) -> None:
    """Refuse parents of a confirmation's own, where there can be none.

    Raises:
        InputError: saying why.
    """
    name, data = part.study.definition.name, part.data
    if part.study.options.parent_epochs == 0:
        raise InputError(
            f"study {name!r} takes its parent's weights as they were brought and trains none, so "
            f"there is no other parent to confirm with: leave out {option('parents')} and "
            f"{option('splits')}"
        )
    if divisions == 1:
        return
    why = why_undivided(data)
    if why:
        raise InputError(f"study {name!r} cannot be divided in another way, for {why}")
    counts = part.data_outlook().samples
    most = most_divisions(counts["train"], counts["test"])
    if divisions > most:
        raise InputError(
            f"{option('splits', divisions)}: {counts['train']} training and {counts['test']} test "
            f"samples of study {name!r} give {most} divisions in which no sample is tested twice"
        )
