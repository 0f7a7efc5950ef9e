"""A toy study that was run by several strategies, and a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hqsearch

#: Debian's browser; Playwright's own is never downloaded.
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def drawn_study(tmp_path_factory: pytest.TempPathFactory) -> hqsearch.Study:
    """nsga2, a gumbel supernet and scores; of 8 layers. Only to be read."""
    folder = tmp_path_factory.mktemp("drawn")
    study = hqsearch.Study("toy", studies_dir=folder)
    study.run("nsga2", evaluations=40, settings={"strategy.nsga2.population": 12})
    short = {"epochs": 3, "warmup": 1, "targets": [0.1]}
    study.run("gumbel", evaluations=8, options=short)
    return study


@pytest.fixture
def browser() -> Iterator[Any]:
    """Headless Chromium; where it is absent the test is skipped, in CI it fails."""
    missing = ""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing = "Playwright's Python package is not installed"
    if not missing and not Path(CHROMIUM).exists():
        missing = f"there is no {CHROMIUM}: apt-get install chromium"
    if missing:
        assert not os.environ.get("CI"), missing
        pytest.skip(missing)
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield made
        made.close()
