"""Samples listed before any of them is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from hqsearch.data import DataSpec
from hqsearch.data.prepare import prepare_data
from hqsearch.data.samples import Sample, SampleList
from hqsearch.data.simulated import simulated_samples
from hqsearch.errors import DataError


def test_a_list_is_made_without_reading_events() -> None:
    def never() -> None:
        raise AssertionError("read")

    listed = SampleList(
        "testing", {"train": [Sample("a", 0, never)]}, ("one",), (4, 4), "x", simulated=False
    )
    assert listed.warnings == ()
    assert listed.splits["train"][0].origin == "a"


def test_samples_read_their_events_themselves() -> None:
    listed = simulated_samples(DataSpec("simulated-gestures", 2, 8, train=11, validation=11))
    sample = listed.splits["train"][3]
    assert sample.label == 3
    events = sample.read()
    assert len(events) > 10_000
    assert events["x"].max() < listed.sensor[0]


def test_what_a_sample_says_of_its_events_reaches_the_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A preparation stops at the first sample that cannot be read, with its message."""
    from hqsearch.data import prepare

    def broken() -> None:
        raise DataError("the third sample: is torn")

    spec = DataSpec("simulated-gestures", 2, 8, train=11, validation=11, test=11)
    listed = simulated_samples(spec)
    splits = {**listed.splits, "train": [Sample("the third sample", 0, broken)]}
    changed = SampleList("testing", splits, listed.classes, (128, 128), "y", simulated=True)
    monkeypatch.setattr(prepare, "simulated_samples", lambda _: changed)
    with pytest.raises(DataError, match="the third sample: is torn"):
        prepare_data(spec, tmp_path)
