"""Entries of the inbox that are not files: they are reported, so that people know why they are not ingested.

A link could point at a file that only the daemon may read, and a pipe could block. So none is followed or opened.
"""

import stat

from retraind.daemon.core.inbox_names import shown

KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}

MOST = 20
"""Number of entries that are named. If an archive was unpacked into the inbox, a list of all its folders would not
help."""


class NonFiles:
    """The entries at the last look; used by the loop thread."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        """Name, as text, and kind."""
        self._unsaid: list[str] = []

    def note(self, seen: list[tuple[str, int]]) -> None:
        """Note all present entries: names with their modes (`st_mode`)."""
        strays = {shown(name): KINDS.get(stat.S_IFMT(mode), "a device") for name, mode in seen[:MOST]}
        self._unsaid += [
            f"{name} in the inbox is {kind}, which is never followed, opened or ingested: drop the file itself."
            for name, kind in strays.items()
            if name not in self.found
        ]
        self.found = strays

    def remarks(self) -> list[str]:
        """A sentence on each entry first seen since the last call."""
        said, self._unsaid = self._unsaid, []
        return said
