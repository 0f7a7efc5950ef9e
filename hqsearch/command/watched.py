"""Run a command that dies with whoever asked for it. A script: nothing of hqsearch is imported.

``watched.py FD COMMAND…`` starts the command in a process group of its own and ends with its
exit code. File descriptor FD is a pipe that nobody writes to: when its other end is closed, the
process that asked is gone (stopped at a time limit, killed, or finished), and the whole group is
killed, so that no training goes on for nobody. This script may be killed along with who asked (Ray
kills what a worker has started); a second process then does it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys

#: What a shell gives for a command that cannot be started.
NOT_STARTED = 127


def _guard(group: int, pipe: int) -> int:
    """Fork what kills ``group`` when this process or who asked for it is gone without a word.

    Returns:
        File descriptor to which a byte is written once the group has ended.
    """
    ours, theirs = os.pipe()
    if os.fork():
        os.close(ours)
        return theirs
    os.close(theirs)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):  # whose ends others wait for
        os.dup2(null, stream)
    ready = select.select([ours, pipe], [], [])[0]
    if ours not in ready or not os.read(ours, 1):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    os._exit(0)


def main() -> int:
    pipe, command = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(pipe, False)
    try:
        child = subprocess.Popen(command, start_new_session=True)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        return NOT_STARTED
    finished = _guard(child.pid, pipe)
    try:
        while child.poll() is None:
            # Returns at once when the other end is closed; else looks at the child again.
            if select.select([pipe], [], [], 0.05)[0]:
                break
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)  # whatever it left behind, too
        code = child.wait()
        with contextlib.suppress(OSError):  # it has seen that who asked is gone, and ended
            os.write(finished, b".")
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
