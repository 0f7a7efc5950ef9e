"""Where known sets lie, how their classes are called, and what is told where one is absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from hqsearch.data import known
from hqsearch.data.known import KNOWN, class_order, download, how_to, native_recordings, native_root
from hqsearch.errors import DataError


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_the_folder_may_be_tonics_or_the_one_that_it_makes(name: str, tmp_path: Path) -> None:
    entry = KNOWN[name]
    home = tmp_path / entry.tonic_class
    train = home / entry.parts["train"]
    assert native_root(entry, tmp_path) is None
    train.mkdir(parents=True)
    assert native_root(entry, tmp_path) is None  # no class folder yet
    (train / "a class").mkdir()
    assert native_root(entry, tmp_path) == tmp_path
    assert native_root(entry, home) == tmp_path
    assert native_root(entry, tmp_path / "elsewhere") is None


def test_an_official_split_that_is_absent_is_none(tmp_path: Path) -> None:
    assert native_recordings(KNOWN["cifar10-dvs"], tmp_path, "test") is None
    assert native_recordings(KNOWN["nmnist"], tmp_path, "test") is None


def test_classes_come_in_official_order_where_there_is_one() -> None:
    gestures = class_order(KNOWN["dvs-gesture"], {"arm_roll", "hand_clapping"})
    assert gestures[0] == "hand_clapping"
    assert len(gestures) == 11
    assert class_order(KNOWN["nmnist"], {"1", "0"}) == tuple(str(digit) for digit in range(10))
    assert class_order(KNOWN["n-caltech101"], {"b", "a"}) == ("a", "b")
    assert class_order(KNOWN["nmnist"], {"my own", "0"}) == ("0", "my own")


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_how_to_says_command_address_and_folder(name: str) -> None:
    text = how_to(KNOWN[name], Path("/data"))
    assert (
        f"hqsearch run --study {name} --strategy nsga2 --data /data --set data.download=true"
        in text
    )
    assert "https://" in text
    for part in KNOWN[name].parts.values():
        assert str(Path("/data") / KNOWN[name].tonic_class / part) in text


def test_a_download_that_fails_says_what_to_do_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr(known, "_open", offline)
    with pytest.raises(DataError, match=r"N-MNIST could not be downloaded: no route\. To have"):
        download(KNOWN["nmnist"], tmp_path)


def test_every_official_split_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Path, str, bool]] = []
    monkeypatch.setattr(
        known, "_open", lambda _, root, part, download: asked.append((root, part, download))
    )
    download(KNOWN["nmnist"], tmp_path)
    assert asked == [(tmp_path, "train", True), (tmp_path, "test", True)]
