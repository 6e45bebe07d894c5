"""Output of a child process as lines of our log, whatever wrote it: a library, compiled code, a dying interpreter.

The child's own lines are JSON already and pass unchanged. All other text becomes an event, line by line, so that every
line of the log can be parsed.
"""

import os
import threading

from retraind.daemon.core import logs

log = logs.Logger()

OWN = b'{"timestamp": '
"""The beginning of a line that our formatter has written."""

LONGEST = 2000
"""Characters of a foreign line that are kept."""


class ChildOutput:
    """A pipe that a child writes its output to, over all its restarts, and the thread that reads it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._reading, self.fd = os.pipe()
        self._reader = threading.Thread(target=self._read, name=f"output-{name}", daemon=True)
        self._reader.start()

    def close(self) -> None:
        """Close our end; the thread ends when no child has the pipe any more."""
        os.close(self.fd)
        self._reader.join(timeout=5)

    def _read(self) -> None:
        with open(self._reading, "rb") as lines:  # noqa: PTH123 - a descriptor
            for line in lines:
                if line.startswith(OWN):
                    os.write(2, line)
                else:
                    self._report(line)

    def _report(self, line: bytes) -> None:
        # A progress bar redraws its line after a carriage return; the last state is the one that counts.
        text = line.decode(errors="replace").rstrip().rpartition("\r")[2]
        if text:
            log.warning("printed", process=self._name, line=text[:LONGEST])
