"""Which names in the inbox are not drops.

Level 1: the inbox goes by it when it lists the folder, and the HTTP workers when they look for news.
"""

UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".crdownload", ".swp", "~")
"""Names that browsers, rsync, sftp clients and editors give to files they still write."""

RESERVED = frozenset({"README.md"})
"""Names that explain the folder to people."""


def ignored(name: str) -> bool:
    """Whether the inbox leaves files of this name alone."""
    return name.startswith(".") or name.endswith(UNFINISHED) or name in RESERVED
