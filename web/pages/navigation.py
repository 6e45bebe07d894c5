"""The navigation of all pages."""

from typing import NamedTuple


class Entry(NamedTuple):
    """A link of the navigation: its address below the root of the service, and its text."""

    path: str
    text: str


ENTRIES = (
    Entry("dashboard", "Overview"),
    Entry("dashboard/versions", "Versions"),
)
"""The links in their order; each leads to a page of `retraind.web.pages.table`."""


def section(path: str) -> str:
    """The address of the entry that a page belongs to: the longest that its path begins with; empty if there is none."""
    asked = f"{path.strip('/')}/"
    return max((entry.path for entry in ENTRIES if asked.startswith(f"{entry.path}/")), key=len, default="")
