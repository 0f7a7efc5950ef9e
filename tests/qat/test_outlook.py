"""What a study of short trainings says before anything is made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hqsearch.data import data_outlook
from hqsearch.qat import outlook as module
from hqsearch.qat.network import trace_untrained
from hqsearch.qat.outlook import outlook_of
from hqsearch.qat.structural_part import Part
from hqsearch.qat.study import QatStudy

MakeStudy = Callable[..., QatStudy]
Prepare = Callable[[Part], dict[str, Any]]


def test_before_and_after_a_preparation(
    make_study: MakeStudy, prepare: Prepare, tmp_path: Path
) -> None:
    part = Part(make_study(tmp_path))
    traced = trace_untrained(part, "refuse")
    before = outlook_of({part: traced})
    assert list(tmp_path.iterdir()) == []
    assert before.steps == (
        "frame 55 samples of simulated-gestures",
        "train the fp32 parent (2 epochs)",
    )
    frames = 55 * 2 * 2 * 16 * 16
    assert before.disk_bytes == frames + 16 * sum(layer.weights for layer in part.layers)
    prepare(part)
    after = outlook_of({Part(make_study(tmp_path)): traced})
    assert (after.steps, after.preparation_seconds, after.disk_bytes) == ((), 0.0, 0)
    assert after.evaluation_seconds == before.evaluation_seconds
    other = Part(make_study(tmp_path, {"evaluation.parent_epochs": 3}))
    assert outlook_of({other: traced}).steps == ("train the fp32 parent (3 epochs)",)


def test_what_is_framed_is_what_was_said(
    make_study: MakeStudy, prepare: Prepare, tmp_path: Path
) -> None:
    part = Part(make_study(tmp_path))
    said = data_outlook(part.data, tmp_path / "data")
    assert not said.ready
    prepare(part)
    assert said.ready
    pixels = sum(path.stat().st_size for path in said.folder.glob("*-frames.npy"))
    assert said.bytes <= pixels <= said.bytes + 3 * 128  # the headers of three files


def test_times_grow_with_the_work(make_study: MakeStudy, tmp_path: Path) -> None:
    part = Part(make_study(tmp_path))
    traced = trace_untrained(part, "refuse")
    short = outlook_of({part: traced})
    long = outlook_of({Part(make_study(tmp_path, {"evaluation.epochs": 4})): traced})
    macs = sum(operation.macs for operation in traced.operations)
    # 22 samples, forward and backward, of two epochs more.
    more = 2 * 22 * 3 * macs * module.GESTURE_SECONDS / module.GESTURE_WORK
    more += 2 * module.STEP_SECONDS * -(-22 // part.study.options.batch_size)
    assert short.evaluation_seconds is not None
    assert long.evaluation_seconds == pytest.approx(short.evaluation_seconds + more)
    assert "rough" in short.basis


def test_a_small_network_pays_for_its_steps(make_study: MakeStudy, tmp_path: Path) -> None:
    part = Part(make_study(tmp_path, {"evaluation.batch_size": 2, "evaluation.epochs": 3}))
    told = outlook_of({part: trace_untrained(part, "refuse")})
    assert told.evaluation_seconds is not None
    assert told.evaluation_seconds > 3 * 11 * module.STEP_SECONDS


def test_on_a_gpu_no_time_is_known(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(tmp_path)
    part = Part(QatStudy(study.definition, tmp_path, "cuda", study.options))
    told = outlook_of({part: trace_untrained(part, "refuse")})
    assert (told.preparation_seconds, told.evaluation_seconds, told.basis) == (None, None, "")
    assert told.disk_bytes
