"""``hqsearch doctor``: what is wrong with the files of a study, and what to do.

The log is read whole and never changed. What can be made again is made again at once and told:
the tables in ``results.db``, and half-written files of processes that died.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from hqsearch.analysis.overview import require_study, require_whole
from hqsearch.data.frames import DESCRIPTION, open_frames
from hqsearch.definition import study_name
from hqsearch.errors import DataError, InputError, StorageError, StudyMissing
from hqsearch.evaluator.tasks import SupernetResult
from hqsearch.store.database import shown
from hqsearch.store.leftovers import leftovers, remove_leftovers
from hqsearch.store.lock import DriverLock
from hqsearch.store.log import LogReader, storage_url
from hqsearch.store.model_record import ModelRecord
from hqsearch.store.records import TaskRecord, TrialRecord
from hqsearch.store.results import Results
from hqsearch.store.soundness import log_faults, require_own_file
from hqsearch.study.models import read_kept

State = Literal["sound", "note", "mended", "damaged"]


@dataclass(frozen=True)
class Finding:
    """What was found of one part of a study.

    Attributes:
        part: ``log``, ``tables``, ``artifacts`` or ``files``.
        state: ``note`` is worth knowing and harms nothing; ``mended`` was wrong and is not now.
        what: in words.
        advice: what to do; empty where there is nothing to do.
    """

    part: str
    state: State
    what: str
    advice: str = ""


@dataclass(frozen=True)
class Examination:
    """Everything that was found of a study."""

    study: str
    folder: Path
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing is damaged; what was mended is not."""
        return all(f.state != "damaged" for f in self.findings)

    def as_json(self) -> dict[str, Any]:
        return {
            "study": self.study,
            "folder": str(self.folder),
            "healthy": self.healthy,
            "findings": [asdict(f) for f in self.findings],
        }


def examine(study: str, studies_dir: Path, storage: str | None = None) -> Examination:
    """Look at a study's log, tables, artifacts and files; mend what is made of the log alone.

    Raises:
        InputError: there is no such study.
    """
    name = study_name(study)
    folder = require_study(name, studies_dir, storage)
    url = storage_url(storage, folder)
    try:
        reader = LogReader(url, name)
    except StudyMissing:
        require_own_file(url, name)
        raise
    except StorageError as error:
        what = str(error).partition("; hqsearch doctor")[0]
        return Examination(name, folder, (_damaged_log(what, folder),))
    try:
        faults = [_damaged_log(fault, folder) for fault in log_faults(reader)]
        if faults:
            return Examination(name, folder, tuple(faults))
        attributes = reader.attributes()
        require_whole(attributes, name)
        trials, tasks, models = reader.trials(), reader.tasks(), reader.models()
        driver = DriverLock.holder(folder, url, name)
        what = f"{len(trials)} trials of {len(reader.runs())} runs in {shown(url)}"
        findings = [Finding("log", "sound", what)]
        if driver:
            findings.append(Finding("log", "note", f"the study is being run by {driver}"))
        findings += _tables(folder, reader, trials)
    finally:
        reader.close()
    artifacts = [*_parents(folder, attributes), *_frames(folder, attributes)]
    artifacts += [*_histories(folder, tasks), *_models(name, folder, models)]
    findings += artifacts or [Finding("artifacts", "sound", "what the log names is as it was")]
    files = list(_files(folder, trials, bool(driver)))
    findings += files or [Finding("files", "sound", "nothing is left over")]
    return Examination(name, folder, tuple(findings))


def _damaged_log(what: str, folder: Path) -> Finding:
    advice = (
        "put a copy of study.db from before the damage in its place (without its -wal and -shm "
        f"files), or start anew: --fresh keeps what is there beside {folder.name}"
    )
    return Finding("log", "damaged", what, advice)


def _tables(folder: Path, reader: LogReader, trials: Sequence[TrialRecord]) -> Iterator[Finding]:
    """``results.db``, compared with the log row by row."""
    there = (folder / "results.db").exists()
    results = Results(folder, reader)
    try:
        fresh = Results(folder, reader, in_memory=True)
        try:
            # A driver may have gone on since.
            changed = results.disagreements(fresh, {t.number for t in trials if t.finished})
        finally:
            fresh.close()
        if changed:
            results.rebuild()
        if results.in_memory:
            yield Finding("tables", "note", "results.db cannot be written; tables are in memory")
        elif results.rebuilt:
            what = f" ({'; '.join(changed)})" if changed else ""
            told = f"results.db was damaged or outdated{what}; it is made anew"
            yield Finding("tables", "mended", told)
        else:
            told = "results.db agrees with the log" if there else "results.db was made"
            yield Finding("tables", "sound", told)
    finally:
        results.close()


def _parents(folder: Path, attributes: Mapping[str, Any]) -> Iterator[Finding]:
    """Weights of trained parents: those that the log names, by their hash."""
    wanted = {v: k for k, v in attributes["prepared"].items() if k.partition(" ")[0] == "parent"}
    hashes = set()
    for about in sorted(folder.glob("parents/*/parent.json")):
        weights, place = about.with_name("parent.safetensors"), about.parent.relative_to(folder)
        try:
            recorded = json.loads(about.read_text())["weights"]
            actual = _sha256(weights)
        except (OSError, ValueError, LookupError, TypeError) as error:
            yield _again("damaged", f"{place} cannot be read: {error}", about.parent)
            continue
        if recorded != actual:
            yield _again("damaged", f"{place}/{weights.name} was changed", about.parent)
        hashes.add(recorded)
    for digest in sorted(wanted.keys() - hashes):
        what = f"the {wanted[digest]} that the log names ({digest[:12]}…) is not there"
        yield Finding("artifacts", "note", what, "the next run trains it again")


def _frames(folder: Path, attributes: Mapping[str, Any]) -> Iterator[Finding]:
    """Prepared frames: those that the log names, whole."""
    prepared = attributes["prepared"]
    wanted = {v for k, v in prepared.items() if k.partition(" ")[0] == "data_fingerprint"}
    there = set()
    for told in sorted(folder.glob(f"data/*/{DESCRIPTION}")):
        place = told.parent.relative_to(folder)
        try:
            there.add(open_frames(told.parent).fingerprint)
        except (DataError, OSError, AttributeError) as error:
            yield _again("damaged", f"{place}: {error}", told.parent)
            there.add("")
    if wanted - there and "" not in there:
        what = "the frames that the log names are not there"
        yield Finding("artifacts", "note", what, "the next run makes them again")


def _histories(folder: Path, tasks: Sequence[TaskRecord]) -> Iterator[Finding]:
    """What supernets left in their folders, by SHA-256."""
    for task in tasks:
        answer = task.answer
        about = answer.history if isinstance(answer, SupernetResult) else None
        if not about or not {"file", "sha256"} <= about.keys():
            continue
        path = folder / task.folder / about["file"]
        advice = "its candidates are in the log; only show --strategy --plot needs this file"
        try:
            if _sha256(path) != about["sha256"]:
                what = f"{path.relative_to(folder)} is not the file that the log names"
                yield Finding("artifacts", "damaged", what, advice)
        except OSError as error:
            what = f"{path.relative_to(folder)} cannot be read: {error.strerror}"
            yield Finding("artifacts", "note", what, advice)


def _models(study: str, folder: Path, models: Mapping[int, ModelRecord]) -> Iterator[Finding]:
    """Models that were trained to be kept: those that the log names, by their hash."""
    for record in models.values():
        try:
            read_kept(study, folder, record)
        except InputError as error:
            what, _, advice = str(error).partition("; ")
            yield Finding("artifacts", "damaged", what, advice)


def _files(folder: Path, trials: Sequence[TrialRecord], driven: bool) -> Iterator[Finding]:
    """Half-written files, which go unless a driver is at work, and results not yet in the log."""
    half = list(leftovers(folder))
    removed = [] if driven else remove_leftovers(folder)
    if removed:
        what = f"{len(removed)} half-written files of processes that died are removed"
        yield Finding("files", "mended", what)
    elif half:
        yield Finding("files", "note", f"{len(half)} half-written files; the next run removes them")
    finished = {t.number for t in trials if t.finished}
    kept = [int(p.stem) for p in folder.glob("results/*.json") if p.stem.isdecimal()]
    waiting = sorted(set(kept) - finished)
    if waiting and not driven:
        what = f"results of trials {waiting[:8]} are not in the log yet"
        yield Finding("files", "note", what, "hqsearch resume takes them over")
    stale = sorted(finished.intersection(kept))
    if stale and not driven:
        yield Finding("files", "note", f"results of trials {stale[:8]} are in the log as well")


def _again(state: State, what: str, place: Path) -> Finding:
    return Finding("artifacts", state, what, f"delete {place}; the next run makes it again")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
