"""Files in the inbox that are not decided, by name."""

import os
from typing import Final

from retraind.daemon.core.home import Home
from retraind.daemon.core.inbox_names import PREDICT, REPLACED, ignored, shown

WAITING: Final = "waiting"
"""The state of such a file; it is a drop once it was read."""

FOLDERS = ("rejected", PREDICT)


def has(home: Home, name: str) -> bool:
    """Whether the inbox has an entry with this name, as names are shown, that is or may become a drop."""
    if ignored(name) or name in FOLDERS or "/" in name:
        return False
    if REPLACED in name:
        return any(shown(entry.name) == name for entry in home.inbox.iterdir())
    return os.path.lexists(home.inbox / name)
