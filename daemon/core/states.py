"""States by name: what a drop or a version can be in the journal, for those who write it and those who read it."""

from enum import StrEnum
from typing import Final

ROLLED_BACK: Final = "rolled back"
"""State of a version that its late labels have taken out of service, and the kind of the event that says so."""


class Hold(StrEnum):
    """What a person has said of a suspicious drop; see `daemon.ingest.held_drops`."""

    WAITING = "held"
    """Nothing yet: it waits in the inbox."""
    LET_IN = "accepted"
    """Its rows are taken next."""
    TURNED_AWAY = "rejected"
    """It goes to `inbox/rejected` next."""
