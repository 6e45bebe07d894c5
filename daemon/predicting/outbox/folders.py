"""The folders of the outbox: `inbox/predict`, to which others may write like to the inbox, and `outbox`, which they may read."""

import os
import secrets
import stat
from collections.abc import Iterable
from contextlib import suppress

from retraind.daemon.core import durable, file_modes, shared_folder
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.inbox_names import PREDICT, shown
from retraind.daemon.core.shared_folder import FOLDER, Folder

ANSWERS, BAD = ".predictions.csv", ".bad.csv"
"""The ends of names in the outbox."""

LONGEST = 200


def predict_folder(inbox: Folder) -> Folder:
    """The folder of files to predict, made if it is missing, with the inbox's mode; raises OSError, or Unavailable if it is another user's."""
    try:
        folder = inbox.folder(PREDICT)
    except FileNotFoundError:
        os.mkdir(PREDICT, file_modes.FOLDER, dir_fd=inbox.fd)
        folder = inbox.folder(PREDICT)
    except NotADirectoryError:
        raise Unavailable(f"{inbox.path}/{PREDICT} is not a folder.", hint="Move it away.") from None
    if folder.status.st_uid not in folder.owners:
        raise Unavailable(
            f"{folder.path} belongs to another user ({folder.status.st_uid}).",
            hint="Move it away; then a new one is made.",
        )
    _open_up(folder, inbox.status)
    return folder


def _open_up(folder: Folder, inbox: os.stat_result) -> None:
    """Give it the mode and group of the inbox, as far as we may: systemd's unit does not allow setgid."""
    mode = stat.S_IMODE(inbox.st_mode)
    try:
        file_modes.correct(folder.fd, mode, inbox.st_gid)
    except OSError:
        with suppress(OSError):
            file_modes.correct(folder.fd, mode & ~stat.S_ISGID, inbox.st_gid)


class Outbox:
    """The open folder of answers; methods raise OSError."""

    def __init__(self, home: Home) -> None:
        """Make it, if it is missing, for those who may drop files to read."""
        file_modes.make(home.outbox)
        self._readers = file_modes.readers(shared_folder.inbox(home).status)
        self.folder = Folder(os.open(home.outbox, FOLDER | os.O_NOFOLLOW), str(home.outbox), frozenset({os.geteuid()}))
        with suppress(OSError):
            file_modes.correct(self.folder.fd, self._readers.folder, self._readers.group)

    def write(self, lines: Iterable[bytes]) -> str:
        """Write a hidden file, durably; returns its name."""
        name = f"{durable.MARK}{secrets.token_hex(8)}{durable.TMP}"
        fd = self.folder.create(name)
        try:
            with os.fdopen(fd, "wb") as file:
                file.writelines(lines)
                file_modes.correct(fd, self._readers.file, self._readers.group)
                file.flush()
                os.fsync(fd)
        except BaseException:
            with suppress(OSError):  # the first error matters
                self.folder.remove(name)
            raise
        return name

    def free_name(self, dropped: str) -> str:
        """The beginning of names that are free for the answers to a file and for its bad rows."""
        text = shown(dropped).removesuffix(".gz").removesuffix(".csv").removesuffix(".parquet")
        stem = text if len(text.encode()) <= LONGEST else durable.sha256(text.encode())[:32]
        free, count = stem, 1
        while self.folder.has(free + ANSWERS) or self.folder.has(free + BAD):
            count += 1
            free = f"{count}-{stem}"
        return free

    def show(self, hidden: str, name: str) -> None:
        """Give a hidden file its name; it may have got it already."""
        with suppress(FileNotFoundError):
            self.folder.rename(hidden, name)

    def bytes(self) -> int:
        """The size of all files in it."""
        return sum(self.folder.stat(entry.name).st_size for entry in self.folder.entries())
