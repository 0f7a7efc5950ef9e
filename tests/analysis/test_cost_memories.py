"""``hqsearch cost``: what stays on the chip, what is loaded, and sets that are not there yet."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from hqsearch.analysis.cost_study import CostRequest
from hqsearch.analysis.costs import CostReport, cost_report
from hqsearch.show.costs import cost_text


def report(folder: Path, study: str, rate: float) -> CostReport:
    """Of a uniform 4 bits, at a stated rate, where no recordings are."""
    data = folder / "none" if study == "dvs-gesture" else None
    return cost_report(
        CostRequest(study, studies_dir=folder / "studies", uniform="4u", rate=rate, data=data)
    )


def shown(found: CostReport) -> str:
    """The report as a wide terminal shows it."""
    console = Console(width=300, file=io.StringIO(), force_terminal=False)
    console.print(cost_text(found))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_cost_works_where_recordings_are_absent(tmp_path: Path) -> None:
    found = report(tmp_path, "dvs-gesture", 0.1)
    assert "11 classes, as the whole set has, are taken" in found.notes[0]
    told = found.as_json()
    layers = {row["path"]: row for row in told["layers"]}
    assert layers["head"]["weights"] == 11 * 256
    # 2,553,152 weights of 4 bits, of which 1 MB stays; the rest is loaded at 20.3125 pJ a bit.
    beyond = 2_553_152 * 4 - 1024 * 8192
    assert told["placement"]["offchip_kib"] == beyond / 8192
    assert told["energy_offchip"] == pytest.approx(beyond * 20.3125e-6)
    shares = [row["energy_offchip"] for row in told["layers"]]
    assert sum(shares) == told["energy_offchip"] == told["placement"]["energy"]
    text = shown(found)
    assert "1024 of them stay on the chip; 222.7 KiB do not fit and are loaded once" in text
    assert "reading a bit of weights: 1.56 pJ; 1024 KiB (weight_buffer): its published" in text
    assert "off-chip is a part of weights" in text


@pytest.mark.parametrize(("study", "classes", "width"), [("cifar10-4-384", 10, 384)])
def test_cost_works_where_pictures_are_absent(
    tmp_path: Path, study: str, classes: int, width: int
) -> None:
    found = report(tmp_path, study, 0.1)
    assert f"{classes} classes, as the whole set has, are taken" in found.notes[0]
    layers = {row["path"]: row for row in found.as_json()["layers"]}
    assert layers["head"]["weights"] == classes * width


def test_cost_says_that_everything_fits(tmp_path: Path) -> None:
    text = shown(report(tmp_path, "gesture", 0.1))
    assert "78.23 KiB of codes, all fit the 128 KiB on the chip and stay there" in text
    assert "reading a bit of weights: 0.595 pJ; 128 KiB (weight_buffer): a power" in text
