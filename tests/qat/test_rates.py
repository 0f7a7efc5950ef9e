"""Firing rates over a split."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hqsearch.qat import rates
from hqsearch.qat.structural_part import Part
from hqsearch.quant import quantize_model
from hqsearch.training import Samples, evaluate


def test_they_are_measured_over_the_whole_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most recorded sets lie sorted by class: the first samples would be of one class only."""
    monkeypatch.setattr(rates, "RATE_BATCH", 3)
    frames = np.arange(22, dtype=np.uint8).reshape(22, 1, 1, 1, 1).repeat(2, axis=1)
    samples = Samples(frames, np.zeros(22), lambda x: x.float())
    batches = list(rates.rate_batches(samples, 8))
    assert [tuple(b.shape[:2]) for b in batches] == [(2, 3), (2, 3), (2, 2)]
    seen = torch.cat([b[0].flatten() for b in batches]).tolist()
    assert seen == [0, 3, 6, 9, 12, 15, 18, 21]


def test_fewer_samples_than_asked_for_are_each_seen_once() -> None:
    frames = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1, 1)
    (batch,) = rates.rate_batches(Samples(frames, np.zeros(5), lambda x: x.float()))
    assert batch.flatten().tolist() == [0, 1, 2, 3, 4]


def test_the_parents_rates_are_those_of_its_workload(prepared: Part) -> None:
    workload = prepared.workload()
    assert workload is not None
    model = prepared.parent().eval()
    measured = rates.measure_rates(model, workload, prepared.samples("validation"))
    assert set(measured) == set(workload.rate_paths)
    again = workload.with_rates(measured)
    assert again == workload


@pytest.mark.parametrize("wanted", [7, 256])
def test_one_pass_measures_what_two_do(
    prepared: Part, monkeypatch: pytest.MonkeyPatch, wanted: int
) -> None:
    """Also where rates are those of a part of the split, which is then evaluated out of order."""
    monkeypatch.setattr(rates, "RATE_SAMPLES", wanted)
    monkeypatch.setattr(rates.rate_batches, "__defaults__", (wanted,))
    model, workload = prepared.parent(), prepared.workload()
    assert workload is not None
    quantize_model(model, {p.path: "4l" for p in prepared.layers})
    samples = prepared.samples("validation")
    result, found = rates.evaluate_with_rates(model, workload, samples)
    expected = evaluate(model, samples)
    assert found == rates.measure_rates(model.eval(), workload, samples)
    assert np.array_equal(result.correct, expected.correct)
    assert result.accuracy == expected.accuracy
    assert result.loss == pytest.approx(expected.loss, rel=1e-6)
    assert 0 < result.correct.sum() < len(samples)
