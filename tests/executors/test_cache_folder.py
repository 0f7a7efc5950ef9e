"""What a node's cache takes for its own, what it refuses, and what its clean-up leaves alone."""

from __future__ import annotations

import json
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from hqsearch.errors import DeviceError
from hqsearch.executors import shipping
from hqsearch.executors.cache_folder import CACHE_MARKER, CACHE_NAME, cache_inside, open_cache
from hqsearch.executors.shipping import CACHE_VARIABLE, NodeCache

#: SHA-256 of b"new".
NEW = "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437"


def add_something(cache: NodeCache) -> None:
    """What makes a cache look for room."""
    cache.add(NEW, [np.frombuffer(b"new", dtype=np.uint8)])


def age(*paths: Path) -> None:
    long_ago = time.time() - shipping.KEEP_SECONDS - 1
    for path in paths:
        os.utime(path, (long_ago, long_ago), follow_symlinks=False)


def tree(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


@pytest.mark.parametrize("name", ["studies", "contents", "locks", "studies/contents"])
def test_a_users_folders_beside_the_cache_survive(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / name / ("a" * 24)
    mine.mkdir(parents=True)
    (mine / "study.db").write_text("months of work")
    (tmp_path / "net.py").write_text("# mine")
    (tmp_path / name / ("b" * 64)).write_text("looks like a content")
    age(mine / "study.db", mine, tmp_path / name / ("b" * 64), tmp_path / name)
    before = tree(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    cache = NodeCache()
    add_something(cache)
    assert {p for p in tree(tmp_path) if not p.startswith(CACHE_NAME)} == before
    assert cache.root == tmp_path / CACHE_NAME


def test_the_usual_place_keeps_what_an_earlier_release_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old = tmp_path / f"hqsearch-{os.getuid()}" / "studies" / ("c" * 24)
    old.mkdir(mode=0o700, parents=True)
    age(old)
    add_something(NodeCache())
    assert old.is_dir()
    assert (tmp_path / f"hqsearch-{os.getuid()}" / CACHE_NAME / CACHE_MARKER).is_file()


def test_only_what_a_cache_writes_is_cleaned_up(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path / "node")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "weights").write_text("mine")
    studies, contents = cache.root / "studies", cache.root / "contents"
    for path in (studies / ("1" * 24), studies / f".{'2' * 24}.77", studies / "my-study"):
        path.mkdir()
    for path in (contents / ("3" * 64), contents / f".{'4' * 64}.77", contents / "notes.txt"):
        path.write_text("x")
    (studies / ("5" * 24)).symlink_to(elsewhere)
    (contents / ("6" * 64)).mkdir()
    age(*studies.iterdir(), *contents.iterdir(), elsewhere)
    add_something(cache)
    assert {p.name for p in studies.iterdir()} == {"my-study", "5" * 24}
    assert {p.name for p in contents.iterdir()} == {"notes.txt", "6" * 64, NEW}
    assert (elsewhere / "weights").exists()


def test_a_cache_is_found_again_and_marked(tmp_path: Path) -> None:
    root = cache_inside(tmp_path / "new" / "place")
    assert json.loads((root / CACHE_MARKER).read_text())["layout"] == 1
    add_something(NodeCache(root))
    assert cache_inside(tmp_path / "new" / "place") == root
    assert (root / "contents" / NEW).read_bytes() == b"new"
    assert root.stat().st_mode & 0o777 == 0o700
    assert tree(root.parent) == {CACHE_NAME, *(f"{CACHE_NAME}/{p}" for p in tree(root))}


def test_processes_that_make_it_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        roots = set(pool.map(lambda _: cache_inside(tmp_path / "node"), range(64)))
    assert roots == {tmp_path / "node" / CACHE_NAME}
    assert [p.name for p in (tmp_path / "node").iterdir()] == [CACHE_NAME]


def test_an_empty_folder_becomes_a_cache_and_a_full_one_does_not(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir(mode=0o700)
    assert (open_cache(tmp_path / "empty") / CACHE_MARKER).is_file()
    for name, content in (("studies", None), ("notes.txt", "mine"), (CACHE_MARKER, "{}")):
        folder = tmp_path / f"full-{name}"
        folder.mkdir(mode=0o700)
        (folder / name).mkdir() if content is None else (folder / name).write_text(content)
        with pytest.raises(DeviceError, match=r"cannot be used as the cache.*HQSEARCH_CACHE"):
            open_cache(folder)
        assert tree(folder) == {name}


def test_links_are_refused(tmp_path: Path) -> None:
    real = cache_inside(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for refused in (tmp_path / "link", tmp_path / "dangling"):
        with pytest.raises(DeviceError, match=r"symbolic link|cannot be made"):
            cache_inside(refused)
        with pytest.raises(DeviceError, match="symbolic link"):
            open_cache(refused)
    (tmp_path / "place").mkdir(mode=0o700)
    (tmp_path / "place" / CACHE_NAME).symlink_to(real)
    with pytest.raises(DeviceError, match="symbolic link"):
        cache_inside(tmp_path / "place")
    (real / "studies").rmdir()
    (real / "studies").symlink_to(tmp_path)
    with pytest.raises(DeviceError, match="studies is a symbolic link"):
        cache_inside(tmp_path / "real")


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_folders_that_others_may_write_are_refused(mode: int, tmp_path: Path) -> None:
    for folder in (tmp_path / "a", cache_inside(tmp_path / "b"), tmp_path / "c"):
        folder.mkdir(exist_ok=True)
        folder.chmod(mode)
        with pytest.raises(DeviceError, match=rf"others may write in .*chmod go-w {folder}"):
            cache_inside(folder if folder.name != CACHE_NAME else folder.parent)
    with pytest.raises(DeviceError, match="others may write"):
        open_cache(tmp_path / "c")
    (tmp_path / "a").chmod(0o1777)  # as /tmp is: nobody can replace what another one made there
    assert cache_inside(tmp_path / "a").is_dir()


def test_someone_elses_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = cache_inside(tmp_path / "theirs")
    monkeypatch.setattr(os, "getuid", lambda: root.stat().st_uid + 1)
    with pytest.raises(DeviceError, match="belongs to someone else"):
        open_cache(root)
    with pytest.raises(DeviceError, match="belongs to someone else"):
        cache_inside(tmp_path / "theirs")


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for make in (cache_inside, open_cache):
        with pytest.raises(DeviceError, match="cannot be used as the cache"):
            make(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
