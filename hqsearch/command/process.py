"""One run of a command: started, watched, its output kept as far as anybody will read it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hqsearch.command import watched

#: Bytes of each stream that are kept, its last ones: a result line, or a traceback.
KEPT = 1 << 18
_CHUNK = 1 << 16
#: Seconds that a stream may stay open once the command is gone.
_PATIENCE = 10.0


@dataclass(frozen=True)
class Exited:
    """What a command left: its exit code and the end of what it wrote."""

    code: int
    output: str
    errors: str

    def ending(self) -> str:
        """How it ended, for people.

        >>> Exited(1, "", "").ending()
        'exit code 1'
        >>> Exited(137, "", "").ending()
        'killed by SIGKILL (out of memory?)'
        """
        if self.code <= 128:
            return f"exit code {self.code}"
        try:
            name = signal.Signals(self.code - 128).name
        except ValueError:
            return f"exit code {self.code}"
        return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Exited:
    """Run it to its end. It dies, with all its children, when this process does.

    Args:
        command: words; the first is looked up on PATH.
        folder: where it runs.
        environment: added to this process's.
    """
    ours, theirs = os.pipe()
    try:
        script = [sys.executable, "-S", "-E", watched.__file__, str(ours), *command]
        process = subprocess.Popen(
            script,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(ours,),
        )
        os.close(ours)
        ours = -1
        assert process.stdout is not None
        assert process.stderr is not None
        streams = _Kept(process.stdout), _Kept(process.stderr)
        try:
            code = process.wait()
        finally:
            # An exception here (Ctrl-C) ends the command, too.
            os.close(theirs)
            theirs = -1
            process.wait()
        output, errors = (stream.text() for stream in streams)
        return Exited(code, output, errors)
    finally:
        for end in (ours, theirs):
            if end >= 0:
                os.close(end)


class _Kept(threading.Thread):
    """Reads a stream to its end and keeps its last bytes, however much there is."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._stream, self._chunks, self._size = stream, deque[bytes](), 0
        self.start()

    def run(self) -> None:
        with self._stream:
            while chunk := os.read(self._stream.fileno(), _CHUNK):
                self._chunks.append(chunk)
                self._size += len(chunk)
                while self._size - len(self._chunks[0]) >= KEPT:
                    self._size -= len(self._chunks.popleft())

    def text(self) -> str:
        """What was kept. Waits for the end of the stream, but not for a stranger that holds it."""
        self.join(timeout=_PATIENCE)
        return b"".join(self._chunks)[-KEPT:].decode(errors="replace")
