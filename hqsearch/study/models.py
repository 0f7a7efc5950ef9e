"""Models that a study keeps: ``models/<trial>/`` holds weights and a manifest, whole or not at all.

The log says that a model is there, with the SHA-256 of its manifest, which holds that of the
weights: what lies there and is not that is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hqsearch.analysis.words import values_text
from hqsearch.atomic import write_atomically
from hqsearch.errors import InputError, StudyDamaged
from hqsearch.problem.budgets import Budget
from hqsearch.problem.objective import Objective
from hqsearch.store.database import shown
from hqsearch.store.model_record import ModelRecord
from hqsearch.store.records import RunRecord, TrialRow

if TYPE_CHECKING:
    from hqsearch.evaluator import Evaluator
    from hqsearch.export.trained import TrainedModel
    from hqsearch.study.opening import Request

MANIFEST: Final = "manifest.json"
WEIGHTS: Final = "model.safetensors"
#: Of the manifest; a newer one is refused.
MANIFEST_FORMAT: Final = 1


@dataclass(frozen=True)
class KeptModel:
    """A model as it lies in a study's folder.

    Attributes:
        study: its name.
        record: what the log says of it.
        manifest: JSON values: choices, accuracies, how it was trained, on what, and with what.
        folder: of weights and manifest.
    """

    study: str
    record: ModelRecord
    manifest: Mapping[str, Any]
    folder: Path


def model_place(trial: int) -> str:
    """Folder of a trial's model, below the study's."""
    return f"models/{trial}"


def keep(folder: Path, trial: int, weights: Path, manifest: Mapping[str, Any]) -> str:
    """Put weights and manifest in their place, the manifest last; SHA-256 of the manifest."""
    place = folder / model_place(trial)
    place.mkdir(parents=True, exist_ok=True)
    (place / MANIFEST).unlink(missing_ok=True)  # no other weights than its own, ever
    draft = place / f".{WEIGHTS}.{os.getpid()}.part"
    shutil.copyfile(weights, draft)
    draft.replace(place / WEIGHTS)
    text = json.dumps(manifest, indent=1)
    write_atomically(place / MANIFEST, text)
    return hashlib.sha256(text.encode()).hexdigest()


def read_kept(study: str, folder: Path, record: ModelRecord) -> KeptModel:
    """The model that the log names.

    Raises:
        StudyDamaged: it is gone, or is not what the log names.
    """
    place = folder / record.folder
    again = f"hqsearch train --study {study} --trial {record.trial} makes it again"
    try:
        text = (place / MANIFEST).read_bytes()
        weights = _sha256(place / WEIGHTS)
    except OSError as error:
        raise StudyDamaged(
            f"the model of trial {record.trial} cannot be read ({error.strerror}: "
            f"{error.filename}); {again}"
        ) from error
    whole = hashlib.sha256(text).hexdigest() == record.manifest and weights == record.weights
    if not whole:
        raise StudyDamaged(f"{place} is not the model that the log of {study} names; {again}")
    manifest = json.loads(text)
    if manifest["format"] > MANIFEST_FORMAT:
        raise InputError(f"{place / MANIFEST} is of a newer version of hqsearch; use that one.")
    return KeptModel(study, record, manifest, place)


def is_kept(folder: Path, record: ModelRecord) -> bool:
    """Whether the files of a model are what the log names."""
    try:
        read_kept("", folder, record)
    except InputError:
        return False
    return True


def loaded(kept: KeptModel, evaluator: Evaluator) -> TrainedModel:
    """The network of a kept model, with what is known of it."""
    from hqsearch.export.trained import TrainedModel

    candidate = evaluator.space.candidate(kept.manifest["choices"])
    network, workload = evaluator.trained(candidate, kept.folder / WEIGHTS)
    return TrainedModel.of_training(network, workload, kept.manifest)


def require_trainable(
    row: TrialRow, run: RunRecord, objectives: tuple[Objective, ...], study: str
) -> None:
    """Refuse to train what did not come to an end, or to a good one.

    Raises:
        InputError: saying why.
    """
    which = f"trial {row.number} of study {study!r}"
    if row.state == "FAIL":
        raise InputError(
            f"{which} failed ({row.failure}: {row.reason}): a final training would end the same "
            "way; hqsearch front lists trials that did not"
        )
    if row.state == "PRUNED":
        raise InputError(
            f"{which} was stopped early, after epoch {row.stopped_at}: others looked better, and "
            "its own values are not known; take a member of hqsearch front"
        )
    if row.state != "COMPLETE" or row.values is None:
        raise InputError(f"{which} has not ended; hqsearch resume --study {study} finishes it")
    if row.violation > 0:
        limits = ", ".join(_limit(b) for b in run.budgets) or "those of its run"
        raise InputError(
            f"{which} is infeasible: {values_text(row.values, objectives)} is beyond the limits of "
            f"its run ({limits}) by {row.violation:.1%}; take a member of hqsearch front"
        )


def untrained(
    trial: int, request: Request, name: str, models: Mapping[int, ModelRecord]
) -> InputError:
    """What to say where a model is needed and was not trained; with the command that does it.

    Args:
        request: what was asked for.
        name: of the study.
        models: those that are there.
    """
    there = f" (trained so far: {', '.join(map(str, models))})" if models else ""
    return InputError(
        f"trial {trial} of study {name!r} has no trained model{there}: a search keeps no weights. "
        f"Train it first: {train_command(trial, request)}"
    )


def train_command(trial: int, request: Request) -> str:
    """The command that trains a trial of the study that was asked for."""
    words = ["hqsearch", "train", "--study", request.study, "--trial", str(trial)]
    if request.studies_dir != Path("studies"):
        words += ["--studies-dir", str(request.studies_dir)]
    if request.storage is not None:
        words += ["--storage", shown(request.storage)]
    return shlex.join(words)


def _limit(budget: Budget) -> str:
    return f"{budget.metric} {budget.text}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
