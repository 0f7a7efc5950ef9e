"""Studies and their progress: what there is, what ran, what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hqsearch.analysis.confirmed_verdict import study_verdict
from hqsearch.definition import embedded, read_toml, study_name
from hqsearch.errors import (
    DefinitionError,
    HqsearchError,
    StorageError,
    StudyMissing,
    UnknownName,
)
from hqsearch.store.disk import disk_use
from hqsearch.store.fronts import own_front_of
from hqsearch.store.log import LogReader, storage_url
from hqsearch.store.records import FINISHED, TrialRow
from hqsearch.store.results import Results
from hqsearch.wording import command, option


def require_study(name: str, studies_dir: Path, storage: str | None) -> Path:
    """The folder of a study that has state; otherwise an error that says what there is."""
    folder = studies_dir.resolve() / name
    if storage is not None:
        return folder
    if not (folder / "study.db").exists():
        if any((folder / made).is_dir() for made in ("data", "parents")):
            again = command("clean", name, studies_dir=studies_dir)
            raise StudyMissing(
                f"study {name!r} has no log in {folder}: a run of it was refused or cut off before "
                f"it had one. Run it again, or let {again} list what it left; where its log is on "
                f"a server, give {option('storage')}"
            )
        with_state = sorted(p.parent.name for p in studies_dir.glob("*/study.db"))
        defined = {*embedded("studies"), *(p.stem for p in studies_dir.glob("*.toml"))}
        if name in defined:
            run = command("run", name, "--strategy", "nsga2", studies_dir=studies_dir)
            raise StorageError(f"study {name!r} has not been run in {studies_dir}: {run}")
        raise UnknownName("study", name, [*with_state, *defined], str(studies_dir))
    return folder


@contextmanager
def opened_results(study: str, studies_dir: Path, storage: str | None) -> Iterator[Results]:
    """A study's tables, caught up from its log.

    Raises:
        InputError: the study does not exist, has not been run, or was cut off while it was made.
    """
    name = study_name(study)
    folder = require_study(name, studies_dir, storage)
    reader = LogReader(storage_url(storage, folder), name)
    try:
        require_whole(reader.attributes(), name)
        if storage is not None:
            with suppress(OSError):  # else its tables are made in memory
                folder.mkdir(parents=True, exist_ok=True)
        results = Results(folder, reader)
    finally:
        reader.close()
    try:
        yield results
    finally:
        results.close()


def require_whole(attributes: Mapping[str, Any], name: str) -> None:
    """Refuse a study that has no definition in its log.

    Raises:
        StudyMissing: it was cut off while it was made, or somebody else made it.
    """
    if not {"study", "definition", "prepared", "fingerprint"} <= attributes.keys():
        raise StudyMissing(
            f"study {name!r} was cut off while it was made, or made by something else than "
            f"hqsearch; run it again, in another {option('studies_dir')} if this is refused"
        )


def studies_overview(studies_dir: Path) -> list[dict[str, Any]]:
    """Every definition that can be named, and what was run of it."""
    definitions = embedded("studies")
    definitions.update({p.stem: p for p in sorted(studies_dir.glob("*.toml"))})
    rows: list[dict[str, Any]] = []
    for name, path in definitions.items():
        try:
            title = str(read_toml(path).get("title", ""))
        except DefinitionError as error:
            title = f"cannot be read: {error}"
        rows.append({"name": name, "title": title, "definition": str(path), "runs": []})
    known = {row["name"]: row for row in rows}
    for database in sorted(studies_dir.glob("*/study.db")):
        name = database.parent.name
        row = known.get(name)
        if row is None:
            row = {"name": name, "title": "", "definition": "", "runs": []}
            rows.append(row)
        try:
            reader = LogReader(storage_url(None, database.parent.resolve()), name)
            try:
                require_whole(reader.attributes(), name)
                results = Results(database.parent.resolve(), reader)
            finally:
                reader.close()
        except HqsearchError as error:
            row["runs"] = [{"error": str(error)}]
            continue
        row["runs"] = _runs(results)
        row["title"] = row["title"] or str(results.study.get("title") or "")
        results.close()
    return rows


def status_of(results: Results) -> dict[str, Any]:
    """Progress, failures by kind, time left and bytes on disk (by kind) of a study."""
    every = results.trials()
    runs = _runs(results, every)
    front = results.front()
    own = own_front_of(front, every, results.objectives, results.budgets)
    # Replicates and what was imported belong to no search: neither its progress nor its time left.
    trials = [t for t in every if t.searched]
    replicates = Counter(t.state for t in every if t.kind == "replicate")
    costs = [t.seconds for t in trials if t.seconds and t.copy_of is None]
    searches = [r for r in runs if r["searches"]]
    waiting = sum(max(r["evaluations"] - r["finished"], 0) for r in searches if not r["ended"])
    driver = results.driver
    per_trial = sum(costs) / len(costs) if costs else None
    return {
        "study": results.study.get("name"),
        "title": results.study.get("title"),
        "driver": driver,
        "runs": runs,
        "trials": dict(Counter(t.state for t in trials)),
        "copies": sum(t.copy_of is not None for t in trials),
        "stopped": dict(sorted(Counter(t.stopped_at for t in trials if t.stopped_at).items())),
        "failures": dict(Counter(t.failure for t in every if t.failure)),
        "front": len(front),
        "replicates": dict(replicates),
        "imported": sum(t.imported for t in every),
        "models": [model.as_json() for model in results.models.values()],
        "seconds_per_evaluation": per_trial,
        "evaluations_left": waiting,
        "worker_seconds_left": per_trial * waiting if per_trial else None,
        "disk": disk_use(results.path.parent),
        "budgets": [f"{b.metric} {b.text}" for b in results.budgets],
        "notes": [*results.study.get("notes", []), *(n for r in results.runs for n in r.notes)],
        "verdict": study_verdict(own, every, results.objectives, results.study).splitlines(),
    }


def _runs(results: Results, trials: Sequence[TrialRow] | None = None) -> list[dict[str, Any]]:
    if trials is None:
        finished = results.finished()
    else:
        finished = Counter(t.run for t in trials if t.state in FINISHED)
    return [
        {
            "ordinal": run.ordinal,
            "strategy": run.strategy,
            "searches": run.searches,
            "seed": run.seed,
            "evaluations": run.evaluations,
            "finished": finished[run.ordinal],
            "ended": run.exhausted or bool(run.stalled),
            # Of the few runs that have them.
            **({"stalled": run.stalled} if run.stalled else {}),
            **({"between": run.options["between"]} if "between" in run.options else {}),
            "early_stopping": run.options.get("search"),
        }
        for run in results.runs
    ]
