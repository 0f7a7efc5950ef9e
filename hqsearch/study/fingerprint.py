"""What must not differ between the runs of one study, and how a difference is told.

A study is compared as long as it lives, with versions that ask for more than the one that made
it did. What a fingerprint lacks has the value that was the only one when it was made
(:data:`OF_THEIR_TIME`); whoever adds a key with a choice of values adds its line there.

The *recipe* says what an evaluator's trainings, quantizers and costs mean. A study of another
recipe opens and shows all that it holds, and nothing is added to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hqsearch.definition import StudyDefinition
from hqsearch.definition.differences import differences, flatten
from hqsearch.errors import StudyMismatch
from hqsearch.evaluator import Evaluator
from hqsearch.plugins import same_identity
from hqsearch.wording import option

#: Key, as ``differences`` writes it, → the value that every fingerprint without it stands for.
OF_THEIR_TIME: Mapping[str, Any] = {"recipe": 1}


def fingerprint_of(evaluator: Evaluator, definition: StudyDefinition) -> dict[str, Any]:
    """The fingerprint of a study that this evaluator measures."""
    names = [o.name for o in definition.objective]
    return {"recipe": evaluator.recipe, **evaluator.fingerprint(), "objectives": names}


def at_its_time(recorded: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded fingerprint as ``key.path`` → value, with what it lacks and now is asked for."""
    wanted = flatten(asked)
    return {k: v for k, v in OF_THEIR_TIME.items() if k in wanted} | flatten(recorded)


def require_same(recorded: Mapping[str, Any], asked: Mapping[str, Any], study: str) -> None:
    """Refuse another fingerprint than the recorded one, naming what differs.

    A user's file is the same while its code is, or while its bytes are those that 0.1 recorded.

    Raises:
        StudyMismatch: with the first differences and what to do.
    """
    if "recipe" in asked:
        require_recipe(recorded, asked["recipe"], study)
    told = differences(at_its_time(recorded, asked), asked, same_identity)
    if told:
        more = f" (and {len(told) - 4} more)" if len(told) > 4 else ""
        raise StudyMismatch(
            f"study {study!r} was made with other settings: {'; '.join(told[:4])}{more}. "
            f"Use the recorded settings, another {option('studies_dir')}, or "
            f"{option('fresh', True)} to move the old study aside."
        )


def require_same_data(recorded: Mapping[str, str], known: Mapping[str, str], study: str) -> None:
    """Refuse other data than those that a study was made of, before anything is trained on them.

    Raises:
        StudyMismatch: it says what to do.
    """
    other = [name for name, value in known.items() if recorded.get(name, value) != value]
    if other:
        raise StudyMismatch(
            f"the data are not those that study {study!r} was made of: {other[0]} is "
            f"{recorded[other[0]][:12]}… in the study, {known[other[0]][:12]}… here. Use the data "
            f"of then, another {option('studies_dir')}, or {option('fresh', True)} to move the old "
            "study aside."
        )


def require_recipe(recorded: Mapping[str, Any], recipe: int, study: str) -> None:
    """Refuse to add to a study of another recipe than its evaluator now has.

    Raises:
        StudyMismatch: in one sentence, whatever else may differ.
    """
    made_by = recorded.get("recipe", OF_THEIR_TIME["recipe"])
    if made_by != recipe:
        evaluator = str(recorded["evaluator"]).partition(" sha256 ")[0]  # a user's file
        raise StudyMismatch(
            f"study {study!r} was made by recipe {made_by} of {evaluator}, this "
            f"version has recipe {recipe}: its results mean something else and must not be mixed "
            f"with new ones; start it afresh with {option('fresh', True)} or another "
            f"{option('studies_dir')}"
        )
