"""Run a command that dies with whoever asked for it. A script: nothing of hqsearch is imported.

``watched.py FD COMMAND…`` starts the command in a process group of its own and ends with its
exit code. File descriptor FD is a pipe that nobody writes to: when its other end is closed, the
process that asked is gone (stopped at a time limit, killed, or finished), and the whole group is
killed, so that no training goes on for nobody.
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


def main() -> int:
    pipe, command = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(pipe, False)
    try:
        child = subprocess.Popen(command, start_new_session=True)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        return NOT_STARTED
    try:
        while child.poll() is None:
            # Returns at once when the other end is closed; else looks at the child again.
            if select.select([pipe], [], [], 0.05)[0]:
                break
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)  # whatever it left behind, too
        code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
