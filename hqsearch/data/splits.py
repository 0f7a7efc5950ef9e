"""Which recordings train, validate and test: seeded, stratified, by subject where known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hqsearch.data.spec import DataSpec
from hqsearch.errors import DataError

#: Shares of all samples, and of what is not test, where nothing is asked for.
TEST_SHARE = 0.1
VALIDATION_SHARE = 0.2


@dataclass(frozen=True)
class SplitItem:
    """What splitting needs to know of one recording."""

    label: int
    subject: int | None = None
    group: str | None = None
    """What must not be torn apart; all recordings have one, or none."""


@dataclass(frozen=True)
class Indices:
    """Positions in the training pool, in ascending order.

    ``test`` is taken from the test pool where there is one (``own_test``), and ``validation``
    from the validation pool.
    """

    train: list[int]
    validation: list[int]
    test: list[int]
    own_test: bool
    warnings: tuple[str, ...]


def split(
    spec: DataSpec,
    pool: Sequence[SplitItem],
    test_pool: Sequence[SplitItem] | None,
    classes: Sequence[str],
    validation_pool: Sequence[SplitItem] | None = None,
) -> Indices:
    """Split ``pool``, which must be in order of path, so that the result does not depend on the
    order in which a file system lists its files.

    Raises:
        DataError: Fewer recordings than the splits need, or a class without a training sample.
    """
    warnings = []
    rest = list(range(len(pool)))
    if test_pool is None:
        wanted = spec.test or max(1, round(TEST_SHARE * len(pool)))
        require(wanted, len(rest) - 2, "test", spec)
        test = stratified(pool, rest, wanted, [spec.seed, 0])
        rest = without(rest, test)
        warnings.append(
            f"there is no test split: {wanted} of {len(pool)} samples were set aside as one "
            f"(stratified, seed {spec.seed})."
        )
    else:
        wanted = spec.test or len(test_pool)
        require(wanted, len(test_pool), "test", spec)
        test = stratified(test_pool, list(range(len(test_pool))), wanted, [spec.seed, 0])
    own = validation_pool if validation_pool is not None else []
    share = len(own) or max(1, round(VALIDATION_SHARE * len(rest)))
    wanted = spec.validation or share
    require(wanted, len(own) or len(rest) - 1, "validation", spec)
    subjects = {pool[i].subject for i in rest}
    if own:
        validation = stratified(own, list(range(len(own))), wanted, [spec.seed, 1])
    elif None not in subjects and len(subjects) > 1:
        theirs = _subjects_with(pool, rest, wanted, [spec.seed, 1])
        rest = without(rest, theirs)
        exact = spec.validation is not None
        validation = stratified(pool, theirs, wanted, [spec.seed, 1]) if exact else theirs
        people = sorted({pool[i].subject or 0 for i in theirs})
        warnings.append(f"validation uses the subjects {', '.join(map(str, people))} alone.")
    else:
        validation = stratified(pool, rest, wanted, [spec.seed, 1])
        rest = without(rest, validation)
    wanted = spec.train or len(rest)
    require(wanted, len(rest), "train", spec)
    train = stratified(pool, rest, wanted, [spec.seed, 2])
    refuse_unseen({pool[i].label for i in train}, classes)
    return Indices(train, validation, test, test_pool is not None, tuple(warnings))


def refuse_unseen(labels: set[int], classes: Sequence[str]) -> None:
    """Every class needs a training sample.

    Raises:
        DataError: one has none.
    """
    unseen = sorted(set(range(len(classes))) - labels)
    if unseen:
        raise DataError(
            f"no training sample of class {classes[unseen[0]]!r} is left after the split: add "
            f"samples, or ask for fewer validation and test samples."
        )


def require(wanted: int, available: int, name: str, spec: DataSpec) -> None:
    """Refuse to take more samples than there are.

    Raises:
        DataError: ``wanted`` are more than ``available``.
    """
    if wanted > available:
        raise DataError(
            f"[data] {name} = {wanted} samples, but {spec.path} leaves only {max(0, available)} "
            f"for it. Lower {name}, or add samples."
        )


def without(indices: list[int], taken: list[int]) -> list[int]:
    """``indices`` that are not ``taken``."""
    gone = set(taken)
    return [i for i in indices if i not in gone]


def stratified(
    pool: Sequence[SplitItem], indices: list[int], count: int, seed: list[int]
) -> list[int]:
    """``count`` of ``indices`` with each class in proportion, in ascending order."""
    return sorted(in_proportion(pool, indices, seed)[:count])


def in_proportion(pool: Sequence[SplitItem], indices: Iterable[int], seed: list[int]) -> list[int]:
    """All of ``indices``, shuffled so that any that follow each other have each class in
    proportion, up to a sample at either end."""
    rng = np.random.default_rng(seed)
    places: list[tuple[float, float, int]] = []
    by_label: dict[int, list[int]] = {}
    for i in indices:
        by_label.setdefault(pool[i].label, []).append(i)
    for _, members in sorted(by_label.items()):
        shuffled = rng.permutation(members)
        # The first k of this order hold each class's share of k, up to one sample.
        places += [
            ((rank + 0.5) / len(members), float(rng.random()), int(i))
            for rank, i in enumerate(shuffled)
        ]
    return [i for _, _, i in sorted(places)]


def _subjects_with(
    pool: Sequence[SplitItem], indices: list[int], count: int, seed: list[int]
) -> list[int]:
    """All recordings of as many random subjects as give ``count``; one subject stays out."""
    rng = np.random.default_rng(seed)
    subjects = sorted({pool[i].subject or 0 for i in indices})
    chosen: set[int] = set()
    for subject in rng.permutation(subjects)[:-1]:
        chosen.add(int(subject))
        if sum((pool[i].subject or 0) in chosen for i in indices) >= count:
            return [i for i in indices if (pool[i].subject or 0) in chosen]
    raise DataError(
        f"validation = {count} samples cannot be taken from whole subjects: all but one of "
        f"{len(subjects)} have fewer. Lower validation."
    )
