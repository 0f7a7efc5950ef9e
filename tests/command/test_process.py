"""Commands die with whoever asked for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hqsearch.command.process import KEPT, run

SLEEPER = """
import os, subprocess, sys, time
inner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write(f"{os.getpid()} {inner.pid}")
time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("with_children", [False, True])
def test_a_killed_worker_takes_its_command_along(tmp_path: Path, with_children: bool) -> None:
    """``with_children``: as Ray does, which kills what a worker has started, too."""
    told = tmp_path / "pids"
    worker = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from hqsearch.command.process import run;"
            "run([sys.executable, '-c', sys.argv[1], sys.argv[2]], Path('.'), {})",
            SLEEPER,
            str(told),
        ]
    )
    pids: list[int] = []
    for _ in range(1200):
        if told.exists() and len(told.read_text().split()) == 2:
            pids = [int(word) for word in told.read_text().split()]
            break
        time.sleep(0.05)
    assert len(pids) == 2
    assert all(map(alive, pids))
    started = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    assert len(started) == 1
    for pid in map(int, started if with_children else []):
        os.kill(pid, signal.SIGKILL)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    for _ in range(1200):
        if not any(map(alive, pids)):
            break
        time.sleep(0.05)
    assert not any(map(alive, pids))


def test_what_is_written_is_kept_as_far_as_anybody_reads_it(tmp_path: Path) -> None:
    script = f"import sys; sys.stdout.write('a' * {3 * KEPT} + 'end'); sys.stderr.write('oh')"
    done = run([sys.executable, "-c", script], tmp_path, {})
    assert (done.code, done.errors) == (0, "oh")
    assert len(done.output) == KEPT
    assert done.output.endswith("aend")


def test_environment_and_folder(tmp_path: Path) -> None:
    script = "import os; print(os.getcwd(), os.environ['LENGTH'], os.environ['HOME'])"
    done = run([sys.executable, "-c", script], tmp_path, {"LENGTH": "3"})
    assert done.output.split() == [str(tmp_path.resolve()), "3", os.environ["HOME"]]


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    done = run(["no-such-program"], tmp_path, {})
    assert done.code == 127
    assert "no-such-program: No such file or directory" in done.errors


def test_open_files_do_not_pile_up(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for _ in range(5):
        run([sys.executable, "-S", "-c", "pass"], tmp_path, {})
    after = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    assert after <= before
