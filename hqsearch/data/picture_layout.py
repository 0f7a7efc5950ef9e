"""Which class and which split every picture of a store is in, by the names of its folders.

``<class>/…`` or, with ``train``, ``validation`` (or ``val``) and ``test`` above the classes,
``<split>/<class>/…``; in any case. A single folder around all of it, as archives have, is
overlooked. Of ImageNet, ``val`` holds the pictures that results are reported on: the test split.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from hqsearch.data.picture_files import SUFFIXES
from hqsearch.data.picture_stores import PictureStore
from hqsearch.errors import DataError

_SPLITS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class PictureLayout:
    """Pictures by split.

    Attributes:
        classes: names, sorted.
        pools: split → (name, class) of its pictures, sorted by name; a split without a folder
            is not in it.
        warnings: what a person should know.
    """

    classes: tuple[str, ...]
    pools: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def lay_out(store: PictureStore, where: str, *, val_is_test: bool = False) -> PictureLayout:
    """Find classes and splits.

    Args:
        store: of the pictures.
        where: it lies, for messages.
        val_is_test: as in ImageNet.

    Raises:
        DataError: no pictures, folders that are unclear, classes without pictures or without
            training pictures, or but one class.
    """
    names = [n for n in store.names if n.lower().endswith(SUFFIXES)]
    if not names:
        raise DataError(
            f"{where} holds no pictures ({', '.join(SUFFIXES)}); they are expected as "
            "<class>/<file>, or below train/, validation/ and test/."
        )
    skip = _around(names)
    parts = {name: name.split("/")[skip:] for name in names}
    tops = {p[0].lower() for p in parts.values() if len(p) > 1}
    splits = dict(_SPLITS, val="test") if val_is_test else _SPLITS
    has_splits = "train" in tops
    if has_splits and tops - set(splits):
        raise DataError(
            f"{where} holds train/ and also {min(tops - set(splits))}/, which is unclear. Move it "
            "out, or put all classes next to each other without train/."
        )
    if not has_splits and tops and tops <= set(splits):
        raise DataError(f"{where} holds {min(tops)}/, but no train/ to learn from.")
    place = 1 if has_splits else 0
    pools: dict[str, list[tuple[str, str]]] = defaultdict(list)
    loose = []
    for name, path in parts.items():
        if len(path) < place + 2:
            loose.append(name)
            continue
        split = splits[path[0].lower()] if has_splits else "train"
        pools[split].append((name, path[place]))
    if not pools:
        raise DataError(
            f"{where} holds pictures, but not in folders of classes: {names[0]}. They are expected "
            "as <class>/<file>."
        )
    _refuse_empty(store, where, skip, place, pools)
    others = [n for n in store.names if n not in parts]
    warnings = [
        f"{len(found):,} files of {where} {what} and were ignored, such as {found[0]}."
        for found, what in ((others, "are no pictures"), (loose, "lie in no class folder"))
        if found
    ]
    classes = tuple(sorted({label for _, label in pools["train"]}))
    warnings += _compare(pools, classes, where)
    if len(classes) < 2:
        raise DataError(f"{where} holds one class only ({classes[0]!r}); two or more are needed.")
    return PictureLayout(classes, dict(pools), tuple(warnings))


def _around(names: list[str]) -> int:
    """How many folders lie around everything: none, or one."""
    first, *rest = names[0].split("/")
    alone = all(name.startswith(f"{first}/") for name in names)
    shallow = any(name.count("/") < 2 for name in names)
    return 1 if rest and alone and not shallow and first.lower() not in _SPLITS else 0


def _refuse_empty(
    store: PictureStore,
    where: str,
    skip: int,
    place: int,
    pools: dict[str, list[tuple[str, str]]],
) -> None:
    """Every folder of a class must hold a picture."""
    filled = {
        "/".join(name.split("/")[: skip + place + 1]) for pool in pools.values() for name, _ in pool
    }
    meant = {f for f in store.folders if f.count("/") == skip + place}
    empty = sorted(meant - filled)
    if empty:
        raise DataError(
            f"{where}: no pictures ({', '.join(SUFFIXES)}) for {', '.join(empty[:20])}. Add some, "
            "or remove the folders."
        )


def _compare(
    pools: dict[str, list[tuple[str, str]]], classes: tuple[str, ...], where: str
) -> list[str]:
    """Classes that are in one split alone: refused where they cannot be learned, else told."""
    warnings = []
    for split in ("validation", "test"):
        if split not in pools:
            continue
        there = {label for _, label in pools[split]}
        strange = sorted(there - set(classes))
        if strange:
            raise DataError(
                f"{where}: {', '.join(map(repr, strange[:20]))} of {split}/ have no folder in "
                "train/, so they cannot be learned. Add it, or remove them."
            )
        missing = sorted(set(classes) - there)
        if missing:
            warnings.append(
                f"{split}/ has no picture of {', '.join(missing[:20])}: an accuracy on it says "
                "nothing of them."
            )
    return warnings
