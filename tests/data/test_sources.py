"""What is known of a set before it is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from hqsearch.data import DataSpec, classes_beforehand


@pytest.mark.parametrize(
    ("dataset", "classes", "layout"),
    [
        ("cifar10", 10, "cifar-10-batches-bin/data_batch_1.bin"),
        ("cifar10", 10, "train/cat/0001.png"),
        ("cifar10", 10, "cat/0001.PNG"),
        ("imagenet", 1000, "train/n01440764/x.JPEG"),
        ("pictures", None, "cat/0001.png"),
    ],
)
def test_classes_of_a_published_set_are_known_until_its_files_say_them(
    tmp_path: Path, dataset: str, classes: int | None, layout: str
) -> None:
    def known(place: Path) -> int | None:
        return classes_beforehand(DataSpec(dataset, 1, 32, path=place))

    assert known(tmp_path / "absent") == classes
    assert known(tmp_path) == classes  # something else is there
    file = tmp_path / layout
    file.parent.mkdir(parents=True)
    file.touch()
    assert known(tmp_path) is None
