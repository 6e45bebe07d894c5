"""Names of objects that are not drops. Pure."""

from retraind.daemon.core.inbox_names import PREDICT, ignored
from retraind.daemon.inbox import rejected_folder

RESERVED = (f"{rejected_folder.NAME}/", f"{PREDICT}/")
"""Folders that mean something else in an inbox."""

MARKERS = ("/", "_$folder$")
"""Endings of objects by which tools pretend that there is a folder."""


OWN = ".retraind"
"""The folder below the prefix with the name of the home that takes its objects."""


def is_odd(name: str) -> bool:
    """Whether an object with this name stays although a person may expect it to be taken."""
    return is_ignored(name) and not name.endswith(MARKERS) and not name.startswith(f"{OWN}/")


def is_ignored(name: str) -> bool:
    """Whether an object with this name below the prefix is no drop.

    The names that a folder ignores, anywhere below; and what Hadoop and Spark hide, such as `_SUCCESS`.
    """
    *folders, last = name.split("/")
    hidden = any(folder.startswith((".", "_")) for folder in folders)
    return hidden or name.endswith(MARKERS) or name.startswith(RESERVED) or last.startswith("_") or ignored(last)
