"""C on this machine: the reference's logits to the bit, its counts, and no undefined behaviour."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from hqsearch.export.c_source import c_source
from hqsearch.export.integer import run_integers

from .c_tools import SANITIZERS, compiled, ran
from .integer_networks import frames_of, in_integers, made, spikformer


def test_two_hundred_samples_to_the_bit(tmp_path: Path) -> None:
    model, shape = made("spikformer", seed=5)
    network, _ = in_integers(model, shape, ["4u", "2l", "3u", "4l", "8u"])
    frames = frames_of(shape, 200, seed=1)
    expected = run_integers(network, frames)
    classes, logits, counts = ran([str(compiled(network, tmp_path, "-O2"))], frames, tmp_path)
    assert np.array_equal(logits, expected.logits)
    assert np.array_equal(classes, expected.predictions)
    assert counts == {}


@pytest.mark.parametrize(
    ("kind", "choices"),
    [
        ("convolutional", ["4u", "3l", "2u", "5u"]),
        ("convolutional", ["2l", "fp32", "7u"]),
        ("dense", ["1b", "4l"]),
        ("tokens", ["5l", "2u", "fp32"]),
        ("spikformer", ["4l", "3u", "2l", "6u"]),
        ("integer spikformer", ["4l", "3u", "fp32", "2l"]),
        ("qsd", ["4u", "2l", "fp32", "4l", "8u"]),
        ("stateful qsd", ["4l", "3u", "fp32"]),
    ],
)
def test_sanitizers_are_silent_and_counts_equal(
    kind: str, choices: list[str], tmp_path: Path
) -> None:
    model, shape = made(kind, seed=4)
    network, _ = in_integers(model, shape, choices)
    frames = frames_of(shape, 8, seed=2)
    expected = run_integers(network, frames)
    program = compiled(network, tmp_path, *SANITIZERS, "-DHQ_COUNT")
    _, logits, counts = ran([str(program)], frames, tmp_path)
    assert np.array_equal(logits, expected.logits)
    assert counts == expected.counts
    assert sum(count.accumulations for count in counts.values()) > 0


def test_64_bit_membranes(tmp_path: Path) -> None:
    network, _ = in_integers(spikformer(16, seed=2), (16, 2, 16, 16), ["4l", "fp32"])
    frames = frames_of((16, 2, 16, 16), 3)
    program = compiled(network, tmp_path, *SANITIZERS)
    _, logits, _ = ran([str(program)], frames, tmp_path)
    assert 64 in {neuron.bits for neuron in network.graph.neurons}
    assert np.array_equal(logits, run_integers(network, frames).logits)


def test_codes_take_the_bytes_of_their_bits() -> None:
    network, workload = in_integers(*made("spikformer"), ["3u"])
    source = c_source(network)
    expected = sum(-(-op.weights * 3 // 8) for op in workload.layers.values())
    assert source.weights == expected
    assert f"#define HQ_RAM {source.ram}" in source.files["hq_model.h"]
    includes = {
        line
        for name, text in source.files.items()
        if name != "main.c"
        for line in text.splitlines()
        if line.startswith("#include <")
    }
    assert includes == {"#include <stdint.h>", "#include <string.h>"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "does not hold whole samples of 2048 bytes"),
        (bytes(2047), "does not hold whole samples"),
        (bytes(3000), "does not hold whole samples"),
        (bytes(2047) + b"\x10", "sample 0 holds a value above 15"),
        (None, "cannot be opened"),
    ],
)
def test_damaged_input_is_refused(content: bytes | None, told: str, tmp_path: Path) -> None:
    network, _ = in_integers(*made("spikformer"), ["2u"])
    program = compiled(network, tmp_path, *SANITIZERS)
    file = tmp_path / "sample.bin"
    if content is not None:
        file.write_bytes(content)
    done = subprocess.run([program, file], capture_output=True, text=True)
    assert done.returncode == 2
    assert told in done.stderr
