"""Means of the accuracy model: where it has skill, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import hqsearch
from hqsearch.store.modelled import FEWEST, MOST, Measurement, modelled

VALUES = ("2u", "4u", "fp32")
LOSS = np.array([0.10, 0.02, 0.0])


def measurements(
    count: int, noise: float, effect: float = 1.0
) -> tuple[list[Measurement], np.ndarray]:
    """Additive losses over 6 layers, measured with noise; and the truth."""
    generator = np.random.default_rng(count)
    codes = generator.integers(0, 3, (count, 6))
    weights = np.array([1.0, 0.5, 0.25, 0.1, 0.1, 0.1])
    truth = 0.95 - effect * (LOSS[codes] * weights).sum(axis=1)
    seen = truth + noise * generator.standard_normal(count)
    rows = [
        (tuple((f"l{i}", VALUES[c]) for i, c in enumerate(code)), float(value), noise)
        for code, value in zip(codes, seen, strict=True)
    ]
    return rows, truth


def test_means_are_nearer_to_the_truth_than_measurements() -> None:
    rows, truth = measurements(40, 0.01)
    found = modelled(rows)
    assert sorted(found) == list(range(40))
    means = np.array([found[place].mean for place in range(40)])
    raw = np.array([value for _, value, _ in rows])
    assert np.sqrt(np.mean((means - truth) ** 2)) < 0.7 * np.sqrt(np.mean((raw - truth) ** 2))
    assert all(0 < found[place].deviation < 0.01 for place in found)
    # The best that was seen is taken back.
    assert means[raw.argmax()] < raw.max()


def test_without_skill_noise_or_enough_of_them_there_are_none() -> None:
    assert modelled(measurements(40, 0.01, effect=0.0)[0]) == {}
    exact, _ = measurements(40, 0.01)
    assert modelled([(c, v, 0.0) for c, v, _ in exact]) == {}
    assert modelled([(c, 0.9, e) for c, _, e in exact]) == {}
    assert modelled(measurements(FEWEST - 1, 0.01)[0]) == {}
    assert modelled(measurements(MOST + 1, 0.01)[0]) == {}
    assert modelled([]) == {}


def test_a_structural_dimension_is_no_weight() -> None:
    rows, _ = measurements(40, 0.01)
    more = [((*c, ("timesteps", str(2 + 2 * (i % 2)))), v, e) for i, (c, v, e) in enumerate(rows)]
    assert sorted(modelled(more)) == list(range(40))


def test_a_front_is_chosen_by_them_and_shows_what_was_measured(tmp_path: Path) -> None:
    noisy = hqsearch.Study("toy", studies_dir=tmp_path, settings={"evaluation.noise": 0.02})
    noisy.run("random", evaluations=30)
    front, raw = noisy.front(), noisy.front(raw=True)
    assert set(front.means) >= {t.number for t in front}
    assert raw.means == {}
    assert "modelled" in front.as_json()[0]
    assert "modelled" not in raw.as_json()[0]
    assert "Chosen by the means" in str(front)
    best = max(front.means.values(), key=lambda m: m.mean).mean
    assert front.means[front[-1].number].mean <= best
    by_number = {t.number: t.values for t in noisy.trials()}
    assert all(t.values == by_number[t.number] for t in front)
    exact = hqsearch.Study("toy", studies_dir=tmp_path / "exact")
    exact.run("random", evaluations=30)
    assert exact.front().means == {}
