"""What is shipped to machines that do not share the study's folder, and where it lies there."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hqsearch.definition import load_study
from hqsearch.errors import DiskFull, RunFailed
from hqsearch.evaluator import Setup
from hqsearch.executors import shipping
from hqsearch.executors.shipping import (
    MARKER,
    SHIP_VARIABLE,
    NodeCache,
    Packer,
    Shipment,
    files_of,
    inside,
    made_files,
    sees_study,
    trim_rungs,
)
from hqsearch.plugins import load_from_file


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    """A study with artifacts, state of the engine's own, and four files that it names."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("plugin.py", "net.py", "space.toml", "profile.toml"):
        (home / name).write_text(f"# {name}")
    (home / "study.toml").write_text(
        'space = "space.toml"\nevaluator = "plugin.py:Mine"\n'
        '[model]\npath = "net.py:build"\nwidth = 8\n[hardware]\nprofile = "profile.toml"\n'
        '[[objective]]\nname = "accuracy"\n[[objective]]\nname = "energy"\n'
    )
    folder = tmp_path / "studies" / "study"
    for path in (
        "study.db", "study.db-wal", "results.db", "driver.lock", "driver.json", ".hidden",
        "results/3.json", "rungs/3/weights", "tasks/0-0/weights", "fronts/1", "report/r.html",
        "data/a.lock", "data/b.partial/frames.npy", "data/.tmp/x",
        "prepared.json", "data/a/frames.npy", "parents/p/parent.json", "parents/p/empty",
    ):  # fmt: skip
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("" if path.endswith("empty") else f"content of {path}")
    return Setup(load_study(home / "study.toml"), folder)


def deliver(packer: Packer, shipment: Shipment, cache: NodeCache) -> int:
    lacking = cache.lacking(shipment.items or ())
    return sum(cache.add(digest, packer.chunks(digest)) for digest in lacking)


def test_artifacts_are_shipped_and_the_engines_state_is_not(setup: Setup) -> None:
    packer = Packer(setup)
    paths = [i.path for i in packer.pack(tasks=False).items or ()]
    assert paths == [
        "study/prepared.json",
        "study/data/a/frames.npy",
        "study/parents/p/empty",
        "study/parents/p/parent.json",
        "files/evaluator/plugin.py",
        "files/evaluator/net.py",
        "files/space/space.toml",
        "files/hardware.profile/profile.toml",
    ]
    more = [i.path for i in packer.pack(tasks=True).items or ()]
    assert set(more) - set(paths) == {"study/tasks/0-0/weights"}


def test_a_node_gets_the_same_contents_and_a_setup_that_finds_them(
    tmp_path: Path, setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "CHUNK", 5)  # files in several pieces
    packer, cache = Packer(setup), NodeCache(tmp_path / "node")
    shipment = packer.pack(tasks=False)
    assert deliver(packer, shipment, cache) == 8
    assert deliver(packer, shipment, cache) == 0
    folder = cache.folder(shipment)
    there = json.loads(shipment.setup_in(folder))
    for path in ("prepared.json", "data/a/frames.npy", "parents/p/parent.json"):
        assert (Path(there["folder"]) / path).read_text() == f"content of {path}"
    definition = there["definition"]
    assert definition["model"]["width"] == 8
    for reference, name in (
        (definition["evaluator"].removesuffix(":Mine"), "plugin.py"),
        (definition["model"]["path"].removesuffix(":build"), "net.py"),
        (definition["space"], "space.toml"),
        (definition["hardware"]["profile"], "profile.toml"),
    ):
        assert Path(reference).is_relative_to(folder)
        assert Path(reference).read_text() == f"# {name}"


NEIGHBOURS = {
    "plugin.py": "import helpers, lib.part\nclass Mine:\n    scale = helpers.SCALE, lib.part.SCALE",
    "net.py": "from helpers import Shared\nbuild = Shared",
    "helpers.py": "SCALE = 3\nclass Shared: pass",
    "lib/__init__.py": "",
    "lib/part.py": "import helpers\nSCALE = helpers.SCALE",
}


def test_neighbours_of_a_users_file_go_along(tmp_path: Path, setup: Setup) -> None:
    home = tmp_path / "home"
    (home / "lib").mkdir()
    for name, text in NEIGHBOURS.items():
        (home / name).write_text(text)
    packer, cache = Packer(setup), NodeCache(tmp_path / "node")
    assert sees_study(packer.bare)
    shipment = packer.pack(tasks=False)
    paths = {i.path for i in shipment.items or ()}
    assert {f"files/evaluator/{name}" for name in NEIGHBOURS} <= paths
    deliver(packer, shipment, cache)
    definition = json.loads(shipment.setup_in(cache.folder(shipment)))["definition"]
    (home / "helpers.py").write_text("SCALE = 4")
    assert not sees_study(packer.bare)  # a node whose neighbour is another one
    for name in NEIGHBOURS:
        (home / name).unlink()
    assert load_from_file(definition["evaluator"], Path()).scale == (3, 3)
    shared = load_from_file(definition["model"]["path"], Path())
    assert (
        shared.__module__.split(".")[0]
        == load_from_file(definition["evaluator"], Path()).__module__.split(".")[0]
    )


def test_what_changes_is_shipped_alone(tmp_path: Path, setup: Setup) -> None:
    packer, cache = Packer(setup), NodeCache(tmp_path / "node")
    first = packer.pack(tasks=False)
    deliver(packer, first, cache)
    old = cache.folder(first)
    (setup.folder / "parents" / "q").mkdir()
    (setup.folder / "parents" / "q" / "parent.json").write_text("another")
    second = packer.pack(tasks=False)
    assert len(cache.lacking(second.items or ())) == 1
    deliver(packer, second, cache)
    assert (cache.folder(second) / "study" / "parents" / "q" / "parent.json").exists()
    assert not (old / "study" / "parents" / "q").exists()


def test_large_files_are_linked_and_small_ones_copied(
    tmp_path: Path, setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "LINK_FROM", 20)
    packer, cache = Packer(setup), NodeCache(tmp_path / "node")
    shipment = packer.pack(tasks=False)
    deliver(packer, shipment, cache)
    study = cache.folder(shipment) / "study"
    assert (study / "data" / "a" / "frames.npy").stat().st_nlink == 2
    assert (study / "parents" / "p" / "empty").stat().st_nlink == 1


def test_a_content_that_is_not_what_it_should_be_is_not_kept(tmp_path: Path, setup: Setup) -> None:
    packer, cache = Packer(setup), NodeCache(tmp_path / "node")
    digest = (packer.pack(tasks=False).items or ())[0].digest
    (setup.folder / "prepared.json").write_text("changed meanwhile")
    with pytest.raises(RunFailed, match="changed while it was shipped"):
        cache.add(digest, packer.chunks(digest))
    assert list((cache.root / "contents").iterdir()) == []


def test_a_full_disk_of_a_node_is_told(tmp_path: Path, setup: Setup) -> None:
    cache = NodeCache(tmp_path / "node")

    def full() -> object:
        raise OSError(28, "No space left on device")
        yield

    with pytest.raises(DiskFull, match="No space left on device"):
        cache.add("0" * 64, full())  # type: ignore[arg-type]
    assert list((cache.root / "contents").iterdir()) == []


def test_what_a_remote_task_made_comes_back_in_its_order(tmp_path: Path, setup: Setup) -> None:
    packer, cache = Packer(setup), NodeCache(tmp_path / "node")
    shipment = packer.pack(tasks=True)
    deliver(packer, shipment, cache)
    with cache.work(shipment, "a task") as folder:
        study = folder / "study"
        (study / "tasks" / "0-0" / "weights").write_text("trained")
        (study / "tasks" / "0-1").mkdir()
        (study / "tasks" / "0-1" / "empty").touch()
        for second, name in enumerate(("z-first", "a-second")):
            (study / "tasks" / "0-1" / name).write_text(name)
            os.utime(study / "tasks" / "0-1" / name, (10 + second, 10 + second))
        made = made_files(folder, shipment)
    assert not folder.exists()
    assert [path for path, _ in made][:2] == ["tasks/0-1/z-first", "tasks/0-1/a-second"]
    assert {p for p, _ in made[2:]} == {"tasks/0-0/weights", "tasks/0-1/empty"}
    packer.take(made)
    assert (setup.folder / "tasks" / "0-0" / "weights").read_text() == "trained"
    assert (setup.folder / "tasks" / "0-1" / "empty").read_bytes() == b""


def test_a_task_that_was_cut_off_finds_its_checkpoint(tmp_path: Path, setup: Setup) -> None:
    cache = NodeCache(tmp_path / "node")
    packer = Packer(setup)
    shipment = packer.pack(tasks=True)
    deliver(packer, shipment, cache)

    def cut_off() -> None:
        with cache.work(shipment, "a task") as folder:
            (folder / "study" / "checkpoint").write_text("epoch 3")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_off()
    again = Packer(setup).pack(tasks=True)  # another driver
    with cache.work(again, "a task") as folder:
        assert (folder / "study" / "checkpoint").read_text() == "epoch 3"
    with cache.work(again, "another task") as folder:
        assert not (folder / "study" / "checkpoint").exists()


def test_a_driver_does_not_see_another_ones_leftovers(tmp_path: Path, setup: Setup) -> None:
    cache = NodeCache(tmp_path / "node")
    packer = Packer(setup)
    first = packer.pack(tasks=False)
    deliver(packer, first, cache)
    (cache.folder(first) / "study" / "rungs").mkdir()
    second = Packer(setup).pack(tasks=False)
    assert cache.lacking(second.items or ()) == ()
    assert not (cache.folder(second) / "study" / "rungs").exists()
    cache.forget(first)
    assert not (cache.root / "studies" / first.key()).exists()
    assert cache.lacking(second.items or ()) == ()


def test_rung_checkpoints_do_not_fill_a_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "KEEP_RUNGS", 2)
    trim_rungs(tmp_path)
    for age, name in enumerate("abcd"):
        (tmp_path / "study" / "rungs" / name).mkdir(parents=True)
        os.utime(tmp_path / "study" / "rungs" / name, (100 - age, 100 - age))
    trim_rungs(tmp_path)
    assert sorted(p.name for p in (tmp_path / "study" / "rungs").iterdir()) == ["a", "b"]


def test_old_contents_make_room(tmp_path: Path, setup: Setup) -> None:
    packer, cache = Packer(setup), NodeCache(tmp_path / "node")
    shipment = packer.pack(tasks=False)
    deliver(packer, shipment, cache)
    long_ago = time.time() - shipping.KEEP_SECONDS - 1
    for content in (cache.root / "contents").iterdir():
        os.utime(content, (long_ago, long_ago))
    cache.folder(shipment)  # used just now
    extra = tmp_path / "extra"
    extra.write_text("unused")
    digest = Packer(replace(setup, folder=tmp_path / "other"))._item("x", extra).digest
    cache.add(digest, [np.fromfile(extra, dtype=np.uint8)])
    os.utime(cache.root / "contents" / digest, (long_ago, long_ago))
    fresh = b"new"
    cache.add(
        "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437",
        [np.frombuffer(fresh, dtype=np.uint8)],
    )
    assert not (cache.root / "contents" / digest).exists()
    assert cache.lacking(shipment.items or ()) == ()


def test_whether_a_worker_sees_the_study(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sees_study(Shipment("{}"))
    packer = Packer(setup)
    assert sees_study(packer.bare)
    assert not sees_study(replace(packer.bare, token="another"))
    (setup.definition.folder / "plugin.py").write_text("edited since the driver began")
    assert not sees_study(packer.bare)
    packer = Packer(setup)
    monkeypatch.setenv(SHIP_VARIABLE, "always")
    assert not sees_study(packer.bare)
    monkeypatch.delenv(SHIP_VARIABLE)
    packer.close()
    assert not sees_study(packer.bare)
    assert not (setup.folder / MARKER).exists()


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "link/x"])
def test_paths_cannot_leave_their_folder(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(RunFailed, match="leads out of"):
        inside(folder, path)


@given(st.lists(st.sampled_from(["a", "..", ".", "", "b c", "ü"]), max_size=5))
def test_a_path_is_inside_or_refused(parts: list[str]) -> None:
    folder = Path("/nowhere/study")
    try:
        found = inside(folder, "/".join(parts))
    except RunFailed:
        return
    assert os.path.normpath(found).startswith("/nowhere/study/")


def test_links_to_data_elsewhere_are_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "frames.npy").write_text("x")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "data").symlink_to(tmp_path / "disk")
    assert [p for p, _ in files_of(tmp_path / "study", frozenset())] == ["data/frames.npy"]


def test_a_content_that_is_not_whole_is_shipped_again(tmp_path: Path, setup: Setup) -> None:
    packer, cache = Packer(setup), NodeCache(tmp_path / "cache")
    shipment = packer.pack(tasks=True)
    assert deliver(packer, shipment, cache) > 0
    items = shipment.items or ()
    assert cache.lacking(items) == ()
    victim = next(i for i in items if i.size)
    content = tmp_path / "cache" / "contents" / victim.digest
    content.chmod(0o644)
    content.write_bytes(b"")
    assert cache.lacking(items) == (victim.digest,)
    deliver(packer, shipment, cache)
    assert content.stat().st_size == victim.size
