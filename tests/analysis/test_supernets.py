"""What supernets learned, read from the log and the file that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hqsearch.analysis.supernets import history, learned
from hqsearch.errors import InputError, RunFailed

OVERRIDES = {
    "strategy.gumbel.epochs": 3,
    "strategy.gumbel.warmup": 1,
    "strategy.gumbel.targets": [0.1, 0.3, 0.5],
}


@pytest.fixture
def studies(tmp_path: Path, launched: Any) -> Path:
    launched.run(tmp_path, strategy="gumbel", overrides=OVERRIDES)
    return tmp_path


def test_what_cannot_be_read_is_said(studies: Path, launched: Any) -> None:
    found = learned("toy", studies, None, "gumbel")
    with pytest.raises(InputError, match="the finished supernets are 0, 1, 2"):
        history(found, 7)
    with pytest.raises(InputError, match="it has: gumbel"):
        learned("toy", studies, None, "nsga2")
    launched.run(studies, evaluations=7)
    with pytest.raises(InputError, match="trained no supernets"):
        learned("toy", studies, None, "nsga2")
    file = studies / "toy" / found.tasks[1].folder / "history.json"
    file.write_text(file.read_text().replace("1", "2", 1))
    with pytest.raises(RunFailed, match="was changed since"):
        history(found, None)
    file.unlink()
    with pytest.raises(RunFailed, match="cannot be read"):
        history(found, None)
