"""Which names in the inbox are not drops, and what is added to those of refused ones.

Level 1: the inbox goes by it when it lists the folder, and the HTTP workers when they look for news.
"""

import os

UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".crdownload", ".swp", "~")
"""Names that browsers, rsync, sftp clients and editors give to files they still write."""

RESERVED = frozenset({"README.md"})
"""Names that explain the folder to people."""


REPORT = ".report.json"
"""Follows the name of a refused drop in `inbox/rejected`: why it was refused."""

BAD_ROWS = ".bad.csv"
"""Ends the name of a file of refused rows there."""


def ignored(name: str) -> bool:
    """Whether the inbox leaves files of this name alone."""
    return name.startswith(".") or name.endswith(UNFINISHED) or name in RESERVED


def last_part(name: str, most: int) -> str:
    """The last `most` bytes of a name, all of it if it is shorter; what is cut does not begin with a dot: that would hide it."""
    data = os.fsencode(name)
    return name if len(data) <= most else os.fsdecode(data[-most:].lstrip(b".")) or "drop"
