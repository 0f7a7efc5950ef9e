"""Compile exported C and run it, on this machine or on an emulated Cortex-M4."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hqsearch.export.c_source import c_source
from hqsearch.export.counts import COUNTED, Counts
from hqsearch.export.network import IntegerNetwork

WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
SANITIZERS = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def needed(*programs: str) -> None:
    """Skip where a compiler or emulator is missing; under CI, where it is installed, fail."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing and os.environ.get("CI"):
        pytest.fail(f"CI must have {', '.join(missing)}")
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: see apt-get in .ci/run")


def compiled(network: IntegerNetwork, folder: Path, *options: str) -> Path:
    """A program of the exported folder, from ``gcc``."""
    needed("gcc")
    c_source(network).write(folder)
    program = folder / "classify"
    sources = sorted(map(str, folder.glob("*.c")))
    subprocess.run(["gcc", *WARNINGS, *options, "-o", str(program), *sources], check=True)
    return program


def ran(
    command: list[str], frames: npt.NDArray[Any], folder: Path
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], dict[str, Counts]]:
    """Classes [N], logits [N, classes] and counts by path of a program that reads ``frames``."""
    file = folder / "samples.bin"
    file.write_bytes(np.ascontiguousarray(frames).tobytes())
    told = subprocess.run([*command, str(file)], check=True, capture_output=True, text=True)
    lines = [line.split() for line in told.stdout.splitlines()]
    rows = np.array([[int(word) for word in line] for line in lines[: len(frames)]])
    counts = {path: Counts(*map(int, numbers)) for path, *numbers in lines[len(frames) :]}
    assert all(len(numbers) == len(COUNTED) for _, *numbers in lines[len(frames) :])
    return rows[:, 0], rows[:, 1:], counts
