"""Lost rows: accepted drops of which a notable share of the rows was rejected, so that a person should look at them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from retraind.daemon.core.states import DropState

NOTABLE = 0.1
"""Share of a drop's rows from which on their loss asks for attention; fewer bad rows are everyday slips."""

WINDOW = timedelta(hours=24)
"""Older drops no longer ask for attention."""


def sentence(drop: Mapping[str, Any]) -> str:
    """The loss of an accepted drop for people; empty if it has none or a small one."""
    read, bad = drop["rows_read"], drop["rows_refused"]
    if drop["state"] != DropState.ACCEPTED or not read or bad < NOTABLE * read:
        return ""
    return (
        f"{bad:,} of {read:,} rows of {drop['name']} were rejected ({bad / read:.0%}): {drop['reason'] or ''}".strip()
    )
