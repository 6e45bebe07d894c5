"""The files of the inbox, as its folder has them now. Nothing in it is opened or followed."""

import os
import stat
from collections.abc import Collection, Iterator
from typing import NamedTuple

from retraind.daemon.core import shared_folder
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.inbox_names import ignored, shown
from retraind.daemon.core.shared_folder import Folder

LOOKED = 20_000
"""Maximum number of entries of a folder that are looked at, because a folder may have any number."""


class FolderEntry(NamedTuple):
    """An entry of a folder that other programs write to."""

    name: str
    status: os.stat_result


class Backlog(NamedTuple):
    """Files that wait to be read, and their bytes."""

    files: int
    bytes: int


def entries(home: Home, folder: str = "") -> tuple[list[FolderEntry], str]:
    """The entries of the inbox or of a folder in it, and why they can't be read; a missing folder has none."""
    try:
        inbox = shared_folder.inbox(home)
        return list(_looked(inbox.folder(folder) if folder else inbox)), ""
    except FileNotFoundError:
        return [], "" if folder else f"{home.inbox} is gone."
    except (OSError, RetraindError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return [], f"{home.inbox / folder} can't be read: {reason}."


def waiting(listed: Collection[FolderEntry], held: Collection[str]) -> list[FolderEntry]:
    """The files among entries that are drops; `held` are the names of those that wait for a person."""
    files = (item for item in listed if stat.S_ISREG(item.status.st_mode) and not ignored(item.name))
    return [item for item in files if shown(item.name) not in held]


def backlog(home: Home, held: Collection[str]) -> Backlog:
    """The files that wait, without those held; a folder that can't be read has none."""
    files = waiting(entries(home)[0], held)
    return Backlog(len(files), sum(item.status.st_size for item in files))


def _looked(folder: Folder) -> Iterator[FolderEntry]:
    for count, entry in enumerate(folder.entries()):
        if count >= LOOKED:
            return
        try:
            yield FolderEntry(entry.name, entry.stat(follow_symlinks=False))
        except FileNotFoundError:  # it was taken a moment ago
            continue
