"""A command: a program that reads each notice as JSON on its standard input."""

from collections.abc import Sequence

from retraind.daemon.core import logs
from retraind.daemon.notify.notice import Notice
from retraind.daemon.notify.targets import program
from retraind.daemon.notify.targets.target import Undelivered

log = logs.Logger()

LONGEST = 1000
"""Maximum number of the last bytes of its standard error in the log."""


class Command:
    """One program; exit code 0 means that it has accepted the notice."""

    name = "command"

    def __init__(self, command: Sequence[str], timeout_seconds: float) -> None:
        self._command, self._timeout_seconds = list(command), timeout_seconds

    def send(self, notice: Notice) -> None:
        """Run the program; raises Undelivered if it fails, or does not end in time."""
        done = program.run(self._command, notice.body(), self._timeout_seconds)
        if done.returncode:
            words = done.stderr[-LONGEST:].decode(errors="replace")
            log.warning("notify_command_failed", code=done.returncode, stderr=words)
            raise Undelivered(f"It ended with exit code {done.returncode}; the log has its words.")
