"""Standard output is one document, whatever an evaluator prints and however."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PRINTING = """
import ctypes, logging, os, subprocess, sys
from hqsearch.evaluators.toy import Toy

print("imported")
logging.getLogger("mine").addHandler(logging.StreamHandler(sys.stdout))
early = sys.stdout

class Printing(Toy):
    costly = True

    def check(self):
        print("checked")

    def evaluate(self, candidate, *rest, **more):
        print("epoch 1/1")
        early.write("early\\n")
        sys.__stdout__.write("the first one\\n")
        os.write(1, b"raw\\n")
        ctypes.CDLL(None).puts(b"from C")
        subprocess.run(["echo", "from a child"], check=True)
        logging.getLogger("mine").warning("logged")
        return super().evaluate(candidate, *rest, **more)
"""


@pytest.mark.parametrize("executor", ["in-process", "ray"])
def test_what_an_evaluator_prints_is_no_answer(
    tmp_path: Path, study_file: Callable[..., Path], executor: str
) -> None:
    (tmp_path / "printing.py").write_text(PRINTING)
    study = study_file("printing", evaluator="printing.py:Printing")
    done = subprocess.run(
        [
            sys.executable, "-m", "hqsearch", "run", "--study", str(study), "--strategy", "random",
            "--evaluations", "6", "--executor", executor, "--json", "--studies-dir", tmp_path / "s",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) >= 1
    assert "imported" in done.stderr
    if executor == "in-process":
        for printed in ("epoch 1/1", "early", "the first one", "raw", "from C", "from a child"):
            assert done.stderr.count(printed + "\n") >= 6, printed


def test_a_file_that_ends_the_program_is_an_error(
    tmp_path: Path, study_file: Callable[..., Path]
) -> None:
    (tmp_path / "ends.py").write_text(
        "import sys\nfrom hqsearch.evaluators.toy import Toy\n"
        "class Ends(Toy):\n    def check(self):\n        sys.exit(0)\n"
    )
    study = study_file("ends", evaluator="ends.py:Ends")
    words = ["run", "--study", str(study), "--strategy", "random", "--studies-dir", "s"]
    done = subprocess.run(
        [sys.executable, "-m", "hqsearch", *words],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: a file of the study ended the program: SystemExit: 0" in done.stderr
