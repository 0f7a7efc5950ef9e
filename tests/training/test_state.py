"""Files of weights: atomic, complete, never unpickled."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import SafetensorError

from hqsearch.errors import DiskFull, RunFailed
from hqsearch.training import load_tensors, save_tensors, state
from hqsearch.training.memory import keep_freed_memory


def test_round_trip_in_any_memory_layout(tmp_path):
    image = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    tensors = {"image": image, "count": torch.tensor(7), "cut": torch.randn(6, 6)[::2]}
    save_tensors(tensors, tmp_path / "sub" / "x.safetensors")
    found = load_tensors(tmp_path / "sub" / "x.safetensors")
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], value) for name, value in tensors.items())


def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    save_tensors({"a": torch.ones(2)}, path)

    def full(tensors, draft):
        draft.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(state, "save_file", full)
    with pytest.raises(DiskFull, match="no space left"):
        save_tensors({"a": torch.zeros(2)}, path)
    assert torch.equal(load_tensors(path)["a"], torch.ones(2))
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(RunFailed, match="no file"):
        load_tensors(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(RunFailed, match="damaged"):
        load_tensors(tmp_path / "bad.safetensors")


def test_keeping_memory_can_be_asked_for_twice():
    assert keep_freed_memory() == keep_freed_memory()


@pytest.mark.parametrize(("free", "error"), [(0, DiskFull), (1 << 30, SafetensorError)])
def test_a_writer_that_failed_is_asked_whether_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, error: type[Exception]
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise SafetensorError("whatever it says")

    monkeypatch.setattr(state, "save_file", fails)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(error):
        save_tensors({"a": torch.ones(2)}, tmp_path / "w.safetensors")
    assert list(tmp_path.iterdir()) == []
