"""Checks that journal and data share one history, before a start changes either.

A journal that is empty or older than the data does not know the newer segments, and a start would remove their rows
from the dataset. So the service does not start: a person has to decide which of the two is right.
"""

from retraind.daemon.core import home_integrity
from retraind.daemon.core.errors import HistoryLost, RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.dataset import git_command

WAYS = (
    "Restore the whole home from one backup, or put the journal back. If there is none, move data/ and registry/ aside: "
    "a new history begins then, and the rows in data/dataset/*.parquet can be dropped again as CSV."
)


def require_journal(home: Home) -> None:
    """Raise HistoryLost if the journal is gone."""
    if gone := home_integrity.journal(home):
        raise HistoryLost(gone, hint=WAYS)


def require_batch(home: Home, newest: int) -> None:
    """Raise HistoryLost if the data has batches beyond the journal's `newest` (0: it has none)."""
    committed = _committed(home)
    if committed > newest:
        state = f"ends with batch {newest}" if newest else "is empty"
        raise HistoryLost(
            f"{journal_server.shown(home)} {state}, but the newest revision of {home.data} is batch {committed}.",
            hint=WAYS,
        )


def _committed(home: Home) -> int:
    """The batch of the newest revision; 0 if git has none or can't be read."""
    if not home.dataset_pointer.exists():
        return 0
    try:
        trailer = git_command.run(home.data, "log", "-1", "--format=%(trailers:key=Batch-Id,valueonly)")
    except (OSError, RetraindError):  # which is repaired or reported when the data is opened
        return 0
    return int(trailer) if trailer.isdecimal() else 0
