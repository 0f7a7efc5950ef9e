"""Folders of recordings as a whole: one unit for all, nothing lost, every bad file at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import hqsearch.data.prepare as prepare_module
from hqsearch.data import DataSpec, check_data, open_frames, prepare_data, summarise_data
from hqsearch.errors import DataError, DefinitionError, UnknownName

Columns = dict[str, NDArray[Any]]
Change = Callable[[NDArray[Any]], NDArray[Any]]
FILES, EVENTS, SPAN = 10, 400, 300_000


def write(root: Path, change: Change = lambda t: t, suffix: str = ".npy") -> DataSpec:
    """Two classes of recordings of 0.3 s; ``change`` gets their times in whole microseconds."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(("left", "right")):
        (root / name).mkdir(parents=True)
        for number in range(FILES):
            times = np.sort(rng.integers(0, SPAN, EVENTS))
            times[0], times[-1] = 0, SPAN
            x = rng.integers(0, 8, EVENTS) + 8 * label
            columns = {"x": x, "y": rng.integers(0, 16, EVENTS)}
            p = rng.integers(0, 2, EVENTS)
            save(root / name / f"r{number}{suffix}", columns | {"t": change(times), "p": p})
    return DataSpec("folder", 4, 8, encoding="count", path=root, sensor=(16, 16))


def save(path: Path, columns: Columns) -> None:
    if path.suffix == ".npz":
        np.savez(path, **columns)
        return
    kinds = [(name, column.dtype) for name, column in columns.items()]
    table: NDArray[Any] = np.empty(len(columns["t"]), dtype=kinds)
    for name, column in columns.items():
        table[name] = column
    np.save(path, table)


def edit(path: Path, change: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
    np.save(path, change(np.load(path)))


def retimed(path: Path, change: Change) -> None:
    table = np.load(path)
    save(path, {name: table[name] for name in "xyp"} | {"t": change(table["t"])})


def at_one_time(table: NDArray[Any]) -> NDArray[Any]:
    table["t"] = 5
    return table


@pytest.mark.parametrize(
    ("unit", "change"),
    [
        ("s", lambda t: t / 1e6),
        ("s", lambda t: (t / 1e6).astype("f4")),
        ("s", lambda t: t / 1e6 + 1.7e9),
        ("s", lambda t: t / 1e6 - 0.2),
        ("ms", lambda t: t / 1e3),
        ("ns", lambda t: t * 1000 + 1_700_000_000_000_000_000),
        ("us", lambda t: t.astype("f8")),
        ("us", lambda t: t - 150_000),
        ("us", lambda t: (t + 2**32 - 150_000).astype("u4")),
        ("us", lambda t: t.astype("u2")),
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_frames_do_not_depend_on_the_unit(
    unit: str, change: Change, suffix: str, tmp_path: Path
) -> None:
    truth = prepare_data(write(tmp_path / "truth"), tmp_path / "a")
    spec = write(tmp_path / "changed", change, suffix)
    check_data(spec, tmp_path / "b")
    data = prepare_data(spec, tmp_path / "b")
    for name in ("train", "validation", "test"):
        have, want = getattr(data, name).frames.astype(int), getattr(truth, name).frames.astype(int)
        assert np.abs(have - want).sum() <= 0.005 * want.sum()
    summary = summarise_data(spec)
    assert summary.unit == unit
    assert [r.duration for r in summary.recordings] == pytest.approx([0.3] * 20, rel=1e-4)


@pytest.mark.parametrize("steps", [4, 8, 16])
def test_whole_milliseconds_lose_no_end(steps: int, tmp_path: Path) -> None:
    spec = write(tmp_path / "a", lambda t: t // 10_000).model_copy(update={"timesteps": steps})
    data = prepare_data(spec, tmp_path / "cache")
    assert data.train.frames.astype(int).sum() >= (EVENTS - 1) * len(data.train)
    assert any("resolution of the clock" in note for note in data.warnings)
    assert "milliseconds (recognised" in data.summary


def test_a_clock_too_coarse_for_the_frames_is_refused(tmp_path: Path) -> None:
    spec = write(tmp_path / "a", lambda t: t // 10_000).model_copy(update={"timesteps": 64})
    with pytest.raises(DataError, match=r"30 ticks .* too coarse a resolution for 64 frames"):
        check_data(spec, tmp_path / "cache")


def test_seconds_cut_to_whole_numbers(tmp_path: Path) -> None:
    spec = write(tmp_path / "a", lambda t: t // 30_000)
    with pytest.raises(DataError, match=r"r\d\.npy and 19 more: .*unit cannot be told.*time_unit"):
        check_data(spec, tmp_path / "cache")
    data = prepare_data(spec.model_copy(update={"time_unit": "s"}), tmp_path / "cache")
    assert data.train.frames.astype(int).sum() >= (EVENTS - 1) * len(data.train)
    assert "10 s long" in data.summary
    assert data.summary.endswith("times in seconds")


def test_two_units_in_one_folder_are_refused(tmp_path: Path) -> None:
    spec = write(tmp_path / "a")
    for number in range(4):
        retimed(tmp_path / "a" / "left" / f"r{number}.npy", lambda t: t / 1e6)
    with pytest.raises(DataError, match=r"microseconds in most.*seconds in .*left.r\d\.npy"):
        check_data(spec, tmp_path / "cache")


def test_a_given_unit_is_told_apart_from_no_unit(tmp_path: Path) -> None:
    spec = write(tmp_path / "a")
    plain = prepare_data(spec, tmp_path / "cache")
    given = prepare_data(spec.model_copy(update={"time_unit": "us"}), tmp_path / "cache")
    assert plain.folder != given.folder
    assert plain.fingerprint != given.fingerprint
    np.testing.assert_array_equal(plain.train.frames, given.train.frames)


def test_units_that_do_not_apply(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"unknown unit 'msec'.*did you mean 'ms'"):
        DataSpec("folder", 4, 8, path=tmp_path, time_unit="msec")
    with pytest.raises(DefinitionError, match="time_unit does not apply"):
        DataSpec("simulated-gestures", 4, 8, time_unit="us")
    spec = write(tmp_path / "a")
    (tmp_path / "a" / "left" / "b.bin").write_bytes(bytes([1, 1, 0, 0, 1, 1, 1, 0, 0, 9]))
    with pytest.raises(DataError, match=r"b\.bin: files of this kind have times in microseconds"):
        summarise_data(spec.model_copy(update={"time_unit": "ms"}))


@pytest.mark.parametrize(
    "bad",
    [
        {"left/r3": lambda a: a[:0], "right/r1": lambda a: a[:1], "right/r7": at_one_time},
        {f"left/r{i}": lambda a: a[:0] for i in range(FILES)},
        {"left/r0": lambda a: a["t"], "right/r9": lambda a: np.concatenate([a, a])},
        {"left/r1": lambda a: a[["x", "y", "t"]], "right/r2": lambda a: a[:0]},
    ],
)
def test_all_unusable_files_are_named_at_once(bad: dict[str, Any], tmp_path: Path) -> None:
    spec = write(tmp_path / "rec")
    for name, change in bad.items():
        edit(tmp_path / "rec" / f"{name}.npy", change)
    before = sorted(tmp_path.rglob("*"))
    for attempt in (
        lambda: check_data(spec, tmp_path / "cache"),
        lambda: prepare_data(spec, tmp_path / "cache"),
    ):
        with pytest.raises(DataError, match="recordings cannot be used") as caught:
            attempt()
        assert [name for name in bad if f"{name}.npy" in str(caught.value)] == list(bad)
    assert sorted(tmp_path.rglob("*")) == before


def test_files_of_different_kinds_that_cannot_be_used(tmp_path: Path) -> None:
    spec = write(tmp_path / "rec")
    (tmp_path / "rec" / "left" / "a.npz").write_bytes(b"PK\x03\x04 damaged")
    (tmp_path / "rec" / "left" / "b.npy").mkdir()
    (tmp_path / "rec" / "right" / "c.bin").write_bytes(b"1234")
    (tmp_path / "rec" / "right" / "d.npy").touch()
    (tmp_path / "rec" / "right" / "gone.npy").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match="5 recordings cannot be used") as caught:
        check_data(spec)
    for name in ("a.npz", "b.npy", "c.bin", "d.npy", "gone.npy"):
        assert name in str(caught.value)


def test_many_files_with_one_fault_share_a_line(tmp_path: Path) -> None:
    spec = write(tmp_path / "rec")
    for number in range(FILES):
        edit(tmp_path / "rec" / "left" / f"r{number}.npy", lambda a: a[:0])
    with pytest.raises(DataError) as caught:
        check_data(spec, tmp_path / "cache")
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert all(f"r{number}.npy" in lines[1] for number in range(FILES))


def test_figures_and_outliers(tmp_path: Path) -> None:
    spec = write(tmp_path / "rec")
    retimed(tmp_path / "rec" / "left" / "r0.npy", lambda t: t * 50)
    edit(tmp_path / "rec" / "left" / "r1.npy", lambda a: a[::20])
    table = np.load(tmp_path / "rec" / "left" / "r2.npy")
    table["p"] = 1
    np.save(tmp_path / "rec" / "left" / "r2.npy", table)
    summary = summarise_data(spec)
    by_name = {Path(r.origin).stem + r.label: r for r in summary.recordings}
    assert by_name["r0left"].duration == pytest.approx(15)
    assert by_name["r1left"].events == 20
    assert by_name["r2left"].on == 1
    assert summary.range_of("events") == (20, 400, 400)
    odd = summary.outliers()
    assert ["r0.npy: the duration" in o for o in odd] == [True, False, False]
    assert ["r1.npy: the number of events" in o for o in odd] == [False, True, False]
    assert ["r2.npy: all events have one polarity" in o for o in odd] == [False, False, True]
    data = prepare_data(spec, tmp_path / "cache")
    assert set(odd) <= set(data.warnings)
    assert data.summary == str(summary)
    assert "20 recordings" in data.summary
    assert "0.3 / 15 s long" in data.summary
    assert open_frames(data.folder).summary == data.summary


def test_simulated_samples_are_summarised_too() -> None:
    spec = DataSpec("simulated-gestures", 4, 8, train=11, validation=11, test=11)
    summary = summarise_data(spec)
    assert len(summary.recordings) == 33
    assert (summary.unit, summary.recognised) == ("us", False)
    assert 0.2 < summary.range_of("on")[1] < 0.8


def test_mended_recordings_are_told(tmp_path: Path) -> None:
    spec = write(tmp_path / "rec", lambda t: t + 10**9)
    for number in range(5):
        path = tmp_path / "rec" / "left" / f"r{number}.npy"
        edit(path, lambda a: np.concatenate([a[:1], a]))
        retimed(path, lambda t: np.r_[0, t[1:]])
    retimed(tmp_path / "rec" / "right" / "r0.npy", lambda t: (t + 2**32 - 10**9 - 5).astype("u4"))
    data = prepare_data(spec, tmp_path / "cache")
    assert any("and 2 more: events at time 0" in note for note in data.warnings)
    assert any("r0.npy: its clock wraps" in note for note in data.warnings)
    lost = EVENTS * len(data.train) - data.train.frames.astype(int).sum()
    assert 0 <= lost <= 2 * len(data.train)


def test_recordings_are_read_once_for_check_and_survey(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = write(tmp_path / "rec")
    check_data(spec, tmp_path / "cache")

    def again(*_: Any) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(prepare_module, "summarise", again)
    prepare_data(spec, tmp_path / "cache")
    check_data(spec, tmp_path / "cache")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("rows", [241, 260, 480])
def test_row_240_of_a_taller_sensor(rows: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        for number in range(FILES):
            raw = rng.integers(0, 200, (EVENTS, 5), dtype=np.uint8)
            raw[:, 2], raw[:, 3] = 0, np.arange(EVENTS) // 2
            (tmp_path / name / f"r{number}.bin").write_bytes(raw.tobytes())
    spec = DataSpec("folder", 4, 8, path=tmp_path, sensor=(240, rows))
    check_data(spec)
    raw[-1, 1] = 240
    (tmp_path / "right" / "r9.bin").write_bytes(raw.tobytes())
    with pytest.raises(DataError, match=rf"r9\.bin: has 1 entries in row 240.* {rows} rows"):
        check_data(spec)
    check_data(spec.model_copy(update={"sensor": (240, 240)}))
