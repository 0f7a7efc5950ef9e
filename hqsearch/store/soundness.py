"""Whether a log may be gone on with: its file, its tables, every record, and their sums.

``hqsearch doctor`` tells all that is wrong; a driver refuses at the first of it, before it
writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy

from hqsearch.errors import HqsearchError, StudyDamaged
from hqsearch.store.database import is_server, shown
from hqsearch.store.log_reader import DAMAGE, LogReader, damaged, said
from hqsearch.store.records import RunRecord, TaskRecord, TrialRecord
from hqsearch.wording import option

#: Attributes that a study has before its fingerprint is written, which is the last one.
_FIRST = frozenset({"study", "definition", "prepared"})
#: Those that logs have had among them since 0.3.
_SINCE = frozenset({"space", "shipped"})


def require_sound(url: str, name: str) -> dict[str, Any]:
    """The attributes of a study that may be gone on with; none where it is new.

    Raises:
        StudyMissing: there is no such study in the log, or no log.
        StudyDamaged: it cannot be read, does not fit together, or is none of hqsearch's.
    """
    reader = LogReader(url, name)
    try:
        for fault in log_faults(reader):
            raise damaged(url, name, fault)
        attributes = reader.attributes()
    finally:
        reader.close()
    return attributes if "fingerprint" in attributes else {}


def require_own_file(url: str, name: str) -> None:
    """Refuse an SQLite file that holds something else than studies of hqsearch.

    Raises:
        StudyDamaged: it holds other studies, or other tables.
    """
    if is_server(url):
        return  # its database may hold what it likes
    for others in other_contents(url):
        raise StudyDamaged(
            f"{shown(url)} holds {others} and no study {name!r} of hqsearch; move it away, or name "
            f"another {option('studies_dir')}"
        )


def other_contents(url: str) -> Iterator[str]:
    """What an SQLite file holds besides the tables that every log has."""
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            tables = set(sqlalchemy.inspect(connection).get_table_names())
            if tables and "studies" not in tables and "version_info" not in tables:
                yield f"the tables {', '.join(sorted(tables)[:3])}"
            elif "studies" in tables:
                text = sqlalchemy.text("SELECT study_name FROM studies LIMIT 3")
                names = connection.execute(text).scalars().all()
                if names:
                    yield f"other studies ({', '.join(map(repr, names))})"
                elif "study_directions" in tables:
                    left = sqlalchemy.text("SELECT count(*) FROM study_directions")
                    if connection.execute(left).scalar_one():
                        yield "what is left of a study"
    except (sqlalchemy.exc.SQLAlchemyError, UnicodeDecodeError) as error:
        yield f"what cannot be read ({str(error).splitlines()[0]})"
    finally:
        engine.dispose()


def log_faults(reader: LogReader) -> Iterator[str]:
    """What is wrong with a log, in words; nothing where it is sound."""
    try:
        broken = reader.integrity()
        if broken:
            yield f"the database is damaged: {broken}"
        yield from _missing_columns(reader)
        attributes = reader.attributes()
        trials, runs, tasks = reader.trials(), reader.runs(), reader.tasks()
    except StudyDamaged as error:
        yield str(error).partition("; hqsearch doctor")[0]
        return
    if "fingerprint" not in attributes:
        if trials or reader.foreign_trials() or attributes.keys() - _FIRST - _SINCE:
            yield "it is a study that hqsearch did not make"
        elif not reader.directions():
            yield "the study's objectives and attributes are missing"
        return
    for needed in sorted(_FIRST - attributes.keys()):
        yield f"attribute {needed!r} of the study is missing"
        return
    objectives = attributes["study"]["objectives"]
    if reader.directions() != [o["direction"] for o in objectives]:
        yield "the objectives are not those that the study was made with"
    if attributes["study"]["name"] != reader.name:
        yield f"the log says that it is of study {attributes['study']['name']!r}"
    yield from _run_faults(runs, tasks)
    names = attributes["study"]["dimensions"]
    yield from _trial_faults(trials, runs, names)
    for run in runs:
        ranked = {n for d in reader.decisions(run.ordinal) for n in d.ranked}
        if ranked - {t.number for t in trials if t.proposal.run == run.ordinal}:
            yield f"run {run.ordinal} was decided on trials that it does not have"


def _missing_columns(reader: LogReader) -> Iterator[str]:
    from optuna.storages._rdb.models import BaseModel

    there = reader.columns()
    for name, table in BaseModel.metadata.tables.items():
        if name not in there:
            yield f"table {name} is missing"
        else:
            for column in sorted({c.name for c in table.columns} - there[name]):
                yield f"column {column} of table {name} is missing"


def _run_faults(runs: Sequence[RunRecord], tasks: Sequence[TaskRecord]) -> Iterator[str]:
    if [r.ordinal for r in runs] != list(range(len(runs))):
        yield f"its runs are numbered {[r.ordinal for r in runs][:8]}"
    for run in runs:
        if run.searches and not all(
            isinstance(run.options.get(key), dict) for key in ("strategy", "constraints")
        ):
            yield f"run {run.ordinal} has no options of its strategy"
        texts = run.options.get("constraints") or {}
        if not isinstance(texts, dict) or not all(isinstance(t, str) for t in texts.values()):
            yield f"run {run.ordinal} has constraints {texts!r}"
        of_run = [t.index for t in tasks if t.run == run.ordinal]
        if of_run != list(range(len(of_run))):
            yield f"the tasks of run {run.ordinal} are numbered {of_run[:8]}"
    for task in tasks:
        if not 0 <= task.run < len(runs):
            yield f"task {task.index} is of run {task.run}, which is not there"


def _trial_faults(
    trials: Sequence[TrialRecord], runs: Sequence[RunRecord], names: list[str]
) -> Iterator[str]:
    slots: dict[int, list[int]] = {}
    numbers = {t.number for t in trials}
    if len(numbers) < len(trials):
        yield "two trials have the same number"
    for trial in trials:
        proposal, where = trial.proposal, f"trial {trial.number}"
        slots.setdefault(proposal.run, []).append(proposal.slot)
        try:
            if list(proposal.candidate) != names:
                yield f"{where} is of other dimensions than the study: {proposal.key!r}"
        except (HqsearchError, *DAMAGE) as error:
            yield f"{where}: {said(error)}"
        if not 0 <= proposal.run < len(runs):
            yield f"{where} is of run {proposal.run}, which is not there"
        if proposal.copy_of is not None and proposal.copy_of not in numbers:
            yield f"{where} is a copy of trial {proposal.copy_of}, which is not there"
        if trial.state == "COMPLETE" and (trial.outcome is None or trial.values is None):
            yield f"{where} is complete and has no result"
    for run, given in slots.items():
        if sorted(given) != list(range(len(given))):
            yield f"proposals of run {run} are missing, or there twice"
