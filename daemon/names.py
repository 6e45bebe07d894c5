"""Which names in the inbox are not drops, and what is added to those of refused ones.

Level 1: the inbox goes by it when it lists the folder, and the HTTP workers when they look for news.
"""

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
