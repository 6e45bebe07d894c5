"""The challenger: the version that waits for a person (`retraind promote`), defined for loop, workers and command line."""

from pathlib import Path

from retraind.daemon.core.states import VersionState
from retraind.daemon.records.query import number

WAITING = f"""SELECT MAX(version) AS version FROM versions
WHERE state = '{VersionState.HELD}' AND version > COALESCE((SELECT version FROM swaps ORDER BY id DESC LIMIT 1), 0)"""


def waiting(journal: Path) -> int | None:
    """The newest held version that is newer than the served one; None if there is none."""
    return number(journal, WAITING)
