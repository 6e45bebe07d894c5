"""NonFiles: what lies in the inbox and is no file, so that whoever put it there hears why nothing comes of it.

A link could point at what only the daemon may read, and a pipe would be waited for: none is followed or opened.
"""

import stat

from daemon.core.inbox_names import shown

KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}

MOST = 20
"""So many are named; whoever unpacks an archive into the inbox need not read a list of its folders."""


class NonFiles:
    """What was seen at the last look; used by the loop thread."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        """Name, as text, and kind."""
        self._unsaid: list[str] = []

    def note(self, seen: list[tuple[str, int]]) -> None:
        """Names with their modes (`st_mode`), all there are now."""
        strays = {shown(name): KINDS.get(stat.S_IFMT(mode), "a device") for name, mode in seen[:MOST]}
        self._unsaid += [
            f"{name} in the inbox is {kind}, which is never followed, opened or taken: drop the file itself."
            for name, kind in strays.items()
            if name not in self.found
        ]
        self.found = strays

    def remarks(self) -> list[str]:
        """A sentence on each that was seen for the first time since the last call."""
        said, self._unsaid = self._unsaid, []
        return said
