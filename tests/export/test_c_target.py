"""C on a Cortex-M4, emulated by QEMU, and the instructions that it is compiled to."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hqsearch.export.c_source import c_source
from hqsearch.export.integer import run_integers

from .c_tools import WARNINGS, needed, ran
from .integer_networks import frames_of, in_integers, made

TARGET = Path(__file__).parent / "target"
CORTEX_M4 = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=soft")


@pytest.mark.slow
def test_an_emulated_cortex_m4_gives_the_reference_to_the_bit(tmp_path: Path) -> None:
    needed("arm-none-eabi-gcc", "qemu-system-arm")
    model, shape = made("spikformer", seed=6)
    network, _ = in_integers(model, shape, ["4u", "2l", "4l", "3u"])
    frames = frames_of(shape, 20, seed=3)
    c_source(network).write(tmp_path)
    program = tmp_path / "classify.elf"
    sources = [*sorted(map(str, tmp_path.glob("*.c"))), str(TARGET / "vectors.c")]
    options = ["-O2", "-DHQ_COUNT", "-T", str(TARGET / "mps2.ld"), "--specs=rdimon.specs"]
    subprocess.run(
        ["arm-none-eabi-gcc", *CORTEX_M4, *WARNINGS, *options, "-o", str(program), *sources],
        check=True,
    )
    emulator = tmp_path / "m4"
    emulator.write_text(
        "#!/bin/sh\nexec qemu-system-arm -M mps2-an386 -nographic -monitor none -serial none "
        f'-semihosting-config enable=on,target=native,arg=classify,arg="$1" -kernel {program}\n'
    )
    emulator.chmod(0o755)
    classes, logits, counts = ran([str(emulator)], frames, tmp_path)
    expected = run_integers(network, frames)
    assert np.array_equal(logits, expected.logits)
    assert np.array_equal(classes, expected.predictions)
    assert counts == expected.counts


@pytest.mark.slow
def test_adding_spikes_and_shifting_take_no_multiplication(tmp_path: Path) -> None:
    needed("arm-none-eabi-gcc", "arm-none-eabi-objdump")
    network, _ = in_integers(*made("dense"), ["4l"])
    c_source(network).write(tmp_path)
    built = tmp_path / "hq_runtime.o"
    options = ["-O2", "-fno-inline", *CORTEX_M4, *WARNINGS]
    source = str(tmp_path / "hq_runtime.c")
    subprocess.run(["arm-none-eabi-gcc", *options, "-c", source, "-o", str(built)], check=True)
    text = subprocess.run(
        ["arm-none-eabi-objdump", "-d", str(built)], check=True, capture_output=True, text=True
    ).stdout
    functions = dict(
        re.findall(
            r"<(add_(?:spike|shifted|multiplied))(?:\.\w+)*>:\n(.*?)\n\n", text + "\n\n", re.DOTALL
        )
    )
    multiplying = {
        name for name, body in functions.items() if re.search(r"\t[su]?m(ul|la|ls|lal)\w*\t", body)
    }
    assert set(functions) == {"add_spike", "add_shifted", "add_multiplied"}
    assert multiplying == {"add_multiplied"}
