"""What is usual of a kind of data, and what a study says."""

from __future__ import annotations

import pytest

from hqsearch.definition import study_of_tables
from hqsearch.errors import DefinitionError
from hqsearch.qat.options import QatOptions
from hqsearch.qat.study import QatStudy

TABLES = {
    "space": {"choices": ["2u", "fp32"]},
    "evaluator": "short-qat",
    "model": {"name": "convformer", "widths": [8, 8, 8], "depth": 1, "heads": 1, "timesteps": 1},
    "objective": [{"name": "accuracy"}, {"name": "storage"}],
}


def options_of(tmp_path, data, **evaluation):
    tables = {**TABLES, "data": data, "evaluation": evaluation}
    definition = study_of_tables(tables, "mine", tmp_path)
    return QatStudy(definition, tmp_path, "cpu", QatOptions(**evaluation)).options


PICTURES = {"dataset": "pictures", "path": "p", "size": 32}


def test_pictures_are_cropped_and_mirrored_unless_the_study_says_otherwise(tmp_path):
    usual = options_of(tmp_path, PICTURES)
    assert (usual.shift, usual.flip, usual.border, usual.weight_decay) == (4, True, "reflect", 0.05)
    said = options_of(tmp_path, PICTURES, flip=False, shift=0)
    assert (said.shift, said.flip, said.border) == (0, False, "reflect")


def test_events_keep_their_defaults_and_their_fingerprint(tmp_path):
    events = options_of(tmp_path, {"dataset": "simulated-gestures"})
    assert (events.shift, events.flip, events.border, events.weight_decay) == (
        2, False, "zero", 0.01,
    )  # fmt: skip
    assert "border" not in events.model_dump()


def test_a_shift_that_leaves_nothing_to_reflect_is_refused(tmp_path):
    with pytest.raises(DefinitionError, match=r"shift = 32 must be smaller than the 32 pixels"):
        options_of(tmp_path, PICTURES, shift=32)
