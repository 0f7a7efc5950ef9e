"""Splits of whole groups: recordings of one subject, or windows of one recording, stay together.

Groups are taken in a seeded random order, at each step the first that holds a sample of the class
which is furthest from its share, so that splits are as stratified as groups allow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hqsearch.data.spec import DataSpec
from hqsearch.data.splits import (
    TEST_SHARE,
    VALIDATION_SHARE,
    Indices,
    SplitItem,
    refuse_unseen,
    require,
    stratified,
    without,
)
from hqsearch.errors import DataError

_NAMED = 5


def split_groups(
    spec: DataSpec,
    pool: Sequence[SplitItem],
    test_pool: Sequence[SplitItem] | None,
    classes: Sequence[str],
    validation_pool: Sequence[SplitItem] | None = None,
) -> Indices:
    """As :func:`hqsearch.data.splits.split`, with every ``group`` in one split.

    Where a number of samples is asked for, groups are taken until they hold that many, and what
    is too many is left out of all splits.

    Raises:
        DataError: a group lies in two folders that are splits, or there are too few groups.
    """
    _refuse_shared({"train": pool, "validation": validation_pool or (), "test": test_pool or ()})
    warnings = []
    rest = list(range(len(pool)))
    if test_pool is None:
        wanted = spec.test or max(1, round(TEST_SHARE * len(pool)))
        theirs = _take(pool, rest, wanted, [spec.seed, 0], "test")
        rest = without(rest, theirs)
        test = stratified(pool, theirs, wanted, [spec.seed, 0]) if spec.test else theirs
        warnings.append(
            f"there is no test split: {len(test)} of {len(pool)} samples, {_named(pool, test)}, "
            f"were set aside as one (seed {spec.seed})."
        )
    else:
        wanted = spec.test or len(test_pool)
        require(wanted, len(test_pool), "test", spec)
        test = stratified(test_pool, list(range(len(test_pool))), wanted, [spec.seed, 0])
    own = validation_pool or []
    wanted = spec.validation or len(own) or max(1, round(VALIDATION_SHARE * len(rest)))
    if own:
        require(wanted, len(own), "validation", spec)
        validation = stratified(own, list(range(len(own))), wanted, [spec.seed, 1])
    else:
        theirs = _take(pool, rest, wanted, [spec.seed, 1], "validation")
        rest = without(rest, theirs)
        exact = spec.validation is not None
        validation = stratified(pool, theirs, wanted, [spec.seed, 1]) if exact else theirs
        warnings.append(f"validation holds {_named(pool, validation)} alone.")
    wanted = spec.train or len(rest)
    require(wanted, len(rest), "train", spec)
    train = stratified(pool, rest, wanted, [spec.seed, 2])
    refuse_unseen({pool[i].label for i in train}, classes)
    return Indices(train, validation, test, test_pool is not None, tuple(warnings))


def _refuse_shared(pools: dict[str, Sequence[SplitItem]]) -> None:
    where: dict[str, str] = {}
    for name, items in pools.items():
        for group in {item.group for item in items}:
            assert group is not None
            other = where.setdefault(group, name)
            if other != name:
                raise DataError(
                    f"the group {group!r} lies in {other}/ and in {name}/; [data] group is to keep "
                    f"it in one split. Move its recordings, or let the pattern match more of the "
                    f"path, such as '((?:train|test)/…)'."
                )


def _take(
    pool: Sequence[SplitItem], indices: list[int], count: int, seed: list[int], name: str
) -> list[int]:
    """All of ``indices`` in groups that together hold ``count`` samples or more, and where groups
    allow it one of each class, ascending; every class keeps a group outside."""
    members: dict[str, list[int]] = {}
    for i in indices:
        members.setdefault(str(pool[i].group), []).append(i)
    labels = sorted({pool[i].label for i in indices})
    held = {
        group: np.array([sum(pool[i].label == label for i in some) for label in labels])
        for group, some in members.items()
    }
    total = sum(held.values(), np.zeros(len(labels), dtype=int))
    share = count * total / max(1, total.sum())
    order = [str(group) for group in np.random.default_rng(seed).permutation(sorted(held))]
    outside = sum(((n > 0).astype(int) for n in held.values()), np.zeros(len(labels), dtype=int))
    taken = np.zeros(len(labels), dtype=int)
    chosen: list[int] = []
    while len(chosen) < count or not taken.all():
        # The first class that is furthest from its share and still has a group to spare.
        for label in np.argsort(taken - share, kind="stable"):
            fit = (g for g in order if held[g][label] and not (outside - (held[g] > 0) < 1).any())
            group = next(fit, None)
            if group is not None:
                break
        else:
            if len(chosen) >= count:
                break
            raise DataError(
                f"{name} = {count} samples cannot be taken from whole groups: {len(members)} are "
                f"too few or too small for it, where every class needs one in train, too. Lower "
                f"[data] {name}, or let [data] group tell more groups apart."
            )
        order.remove(group)
        outside -= held[group] > 0
        taken += held[group]
        chosen += members[group]
    return sorted(chosen)


def _named(pool: Sequence[SplitItem], indices: Sequence[int]) -> str:
    """The groups of some samples, in words."""
    groups = sorted({str(pool[i].group) for i in indices})
    more = f" and {len(groups) - _NAMED} more" if len(groups) > _NAMED else ""
    return f"the group{'s' * (len(groups) > 1)} {', '.join(groups[:_NAMED])}{more}"
