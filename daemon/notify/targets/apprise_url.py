"""An address of Apprise: mail, Slack and a hundred more.

Each notice is sent by a process of its own (`apprise_process.py`): Apprise takes seconds to load and 100 MB of memory,
which the daemon should not keep for a few notices a day.
"""

import json
from pathlib import Path

from retraind.daemon.core import logs
from retraind.daemon.core.states import Level
from retraind.daemon.notify.notice import Notice
from retraind.daemon.notify.targets import program
from retraind.daemon.notify.targets.apprise_process import UNKNOWN
from retraind.daemon.notify.targets.target import Undelivered
from retraind.daemon.processes.child import python

log = logs.Logger()

TYPES = {Level.INFO: "info", Level.WARNING: "warning", Level.ERROR: "failure"}
"""Apprise's names of the levels."""

TIMEOUT_SECONDS = 120.0
"""Time limit of the process, which takes several seconds to start on a busy machine."""


class AppriseUrl:
    """One address, which is on a line of a file."""

    def __init__(self, url: str, name: str, file: Path, line: int) -> None:
        self.name, self._url, self._place = name, url, f"{file}, line {line}"

    def send(self, notice: Notice) -> None:
        """Send a notice; raises Undelivered. The log gets the reason, without the parts of the address."""
        job = {"url": self._url, "title": notice.title, "body": notice.text, "type": TYPES[notice.level]}
        job["token"] = notice.token
        # On standard input, because other users can read the arguments of a process.
        done = program.run(
            python("retraind.daemon.notify.targets.apprise_process"), json.dumps(job).encode(), TIMEOUT_SECONDS
        )
        if done.returncode == UNKNOWN:
            raise Undelivered(f"Apprise knows no such address ({self._place}).")
        if done.returncode:
            log.warning("notify_refused", target=self.name, reason=done.stdout.decode(errors="replace").strip())
            raise Undelivered("It did not accept the notice; the log has the reason.")
