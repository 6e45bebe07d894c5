"""The versions, newest first: their verdicts with reasons, their scores, and which one serves."""

from typing import TypedDict

from retraind.web.dashboard import sections
from retraind.web.dashboard.sections import VersionEntry
from retraind.web.http import payload
from retraind.web.pages.frame import PageRequest

SHOWN = 50
"""Number of versions on one page."""


class Versions(TypedDict):
    """The content of the page."""

    versions: list[VersionEntry]
    total: int
    served: int | None
    older: int | None
    """The number before which the next page begins; None on the last page."""


def content(request: PageRequest) -> Versions:
    """The versions before that of the query; raises Problem 422 for a wrong query."""
    limit = payload.number(request.query, "limit", SHOWN, 1, 1000) or SHOWN
    before = payload.number(request.query, "before", None, 0)
    rows = request.records.versions.newest(limit + 1, before)
    return {
        "versions": [sections.version(row, request.facts) for row in rows[:limit]],
        "served": request.facts.number,
        "total": sum(request.facts.counts["versions"].values()),
        "older": rows[limit - 1]["version"] if len(rows) > limit else None,
    }
