"""The navigation of all pages."""

from typing import NamedTuple


class Entry(NamedTuple):
    """A link of the navigation: its address below the root of the service, and its text."""

    path: str
    text: str


ENTRIES = (
    Entry("dashboard", "Overview"),
    Entry("dashboard/trends", "Trends"),
    Entry("dashboard/versions", "Versions"),
    Entry("dashboard/predict", "Predict"),
    Entry("dashboard/drops", "Drops"),
    Entry("dashboard/predictions", "Predictions"),
    Entry("dashboard/events", "Events"),
    Entry("dashboard/queue", "Queue"),
    Entry("dashboard/settings", "Settings"),
)
"""The links in their order; each leads to a page of `retraind.web.pages.table`."""


ELSEWHERE = {"dashboard/compare": "dashboard/versions"}
"""Pages that belong to an entry although their paths do not begin with its address."""


def section(path: str) -> str:
    """The address of the entry that a page belongs to; empty if there is none. All pages are below the overview."""
    here = path.strip("/")
    if here == ENTRIES[0].path:
        return here
    asked = f"{ELSEWHERE.get(here, here)}/"
    return next((entry.path for entry in ENTRIES[1:] if asked.startswith(f"{entry.path}/")), "")
