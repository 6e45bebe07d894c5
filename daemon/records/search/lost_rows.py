"""Lost rows: accepted drops of which a notable share of the rows was rejected, so that a person should look at them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from retraind.daemon.core.states import DropState
from retraind.daemon.records import drops
from retraind.daemon.records.search import acknowledged

NOTABLE = 0.1
"""Share of a drop's rows above which their loss asks for attention; fewer bad rows are everyday slips."""

NEWEST = 20
"""Number of newest drops that are considered."""

WINDOW = timedelta(hours=24)
"""Older drops no longer ask for attention."""


def sentence(drop: Mapping[str, Any]) -> str:
    """The loss of an accepted drop for people; empty if it has none or a small one."""
    read, bad = drop["rows_read"], drop["rows_refused"]
    if drop["state"] != DropState.ACCEPTED or not read or bad <= NOTABLE * read:
        return ""
    return (
        f"{bad:,} of {read:,} rows of {drop['name']} were rejected ({bad / read:.0%}): {drop['reason'] or ''}".strip()
    )


def recent(journal: Path, now: datetime | None = None) -> list[str]:
    """The losses of the newest drops that were not acknowledged, newest first."""
    since = (now or datetime.now(UTC)) - WINDOW
    rows = [row for row in drops.newest(journal, NEWEST) if datetime.fromisoformat(row["decided_at"]) >= since]
    losses = {row["id"]: sentence(row) for row in rows}
    seen = acknowledged.among(journal, [row["sha256"] for row in rows if losses[row["id"]]], [], [])
    return [losses[row["id"]] for row in rows if losses[row["id"]] and not seen.loss(row["sha256"], row["decided_at"])]
