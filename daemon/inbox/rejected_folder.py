"""`inbox/rejected`: rejected files and rows, in a folder that only this user writes to.

Other modules decide why a file or row is rejected: in `daemon/ingest/reading/reader.py` (files) and
`daemon/tabular/rows.py` (rows and cells). Everyone who may drop files can also replace this folder by another folder or
a misleading file. So it is opened for each piece of work, without following a link, and refused unless it is ours.
Files of other users are copied instead of moved, so their owner, odd modes and further links stay outside.
"""

import errno
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Self

import orjson

from retraind.daemon.core import durable, file_modes
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.inbox_names import BAD_ROWS, REPORT
from retraind.daemon.core.shared_folder import Folder

NAME = "rejected"

LONGEST_NAME = 220

MOST_COPIED = 64 * 1024 * 1024
"""Maximum size of another user's file that is copied, because the loop has other work. A larger file stays where it is.
"""

BLOCK_BYTES = 1024 * 1024

HINT = "Move it away; then a new folder is made."


class Rejected:
    """The open folder; methods raise OSError."""

    def __init__(self, folder: Folder, readers: file_modes.Readers) -> None:
        self._folder, self._readers = folder, readers

    @classmethod
    def of(cls, inbox: Folder) -> Self:
        """The folder in an open inbox, made if it is missing; raises OSError, or Unavailable if the folder is not ours."""
        readers = file_modes.readers(inbox.status)
        folder = _opened(inbox)
        if folder.status.st_uid not in inbox.owners:
            raise Unavailable(f"{folder.path} belongs to another user ({folder.status.st_uid}).", hint=HINT)
        with suppress(OSError):  # the mode is checked next
            file_modes.correct(folder.fd, readers.folder, readers.group)
        if folder.status.st_mode & file_modes.OTHERS_WRITE:
            raise Unavailable(
                f"Other users may write to {folder.path}.", hint=f"Remove that right: chmod {readers.folder:o}."
            )
        return cls(folder, readers)

    @property
    def path(self) -> Path:
        """A path to the open folder, which stays valid if another folder gets its name."""
        return Path(f"/proc/self/fd/{self._folder.fd}")

    # Rejected files

    def keep(self, inbox: Folder, hidden: str, fd: int, name: str, report: Mapping[str, object]) -> None:
        """Move the file `hidden` of the inbox, open as `fd` (O_PATH), here with its report.

        `name` is its original name.
        """
        status = os.fstat(fd)
        if status.st_uid == os.geteuid() and status.st_nlink == 1:
            self._move(inbox, hidden, fd, name, report)
        else:
            self._copy(fd, name, report)
        # A file that was replaced or written to since then is another drop and gets its name back.
        if (
            inbox.has(hidden)
            and os.path.samestat(now := inbox.stat(hidden), status)
            and now.st_mtime_ns == status.st_mtime_ns
        ):
            inbox.remove(hidden)

    def report(self, name: str, report: Mapping[str, object]) -> None:
        """Write the report beside `name`. It is not synced, because the journal holds the same facts durably."""
        with self._new([orjson.dumps(report, option=orjson.OPT_INDENT_2)], sync=False) as temporary:
            self._folder.rename(temporary, name + REPORT)

    def free_name(self, name: str, sha256: str | None = None) -> str:
        """A free name in the folder for a file that was dropped as `name`.

        The last used name is returned if its file has the same bytes (`sha256`).
        """
        target, count = _short(name), 1
        before = target
        while self._folder.has(target):  # a report without its file is left from an interrupted move
            count += 1
            before, target = target, _short(f"{count}-{name}")
        cut_short = sha256 is not None and before != target and self._folder.sha256(before) == sha256
        return before if cut_short else target

    def _move(self, inbox: Folder, hidden: str, fd: int, name: str, report: Mapping[str, object]) -> None:
        """Rename a file that is ours and has no other hard link to a free name."""
        moved = False
        while not moved:
            target = self.free_name(name)
            self.report(target, report)
            moved = inbox.rename_new(hidden, target, self._folder)
        if os.path.samestat(self._folder.stat(target), os.fstat(fd)):
            file_modes.correct(fd, self._readers.file, self._readers.group)
        else:  # another file was put there in the meantime
            self._folder.rename_new(target, hidden, inbox)

    def _copy(self, fd: int, name: str, report: Mapping[str, object]) -> None:
        """Copy a file of another user, or with further hard links, durably, before it is removed."""
        try:
            source = _readable(fd)
        except OSError:
            self.report(self.free_name(name), report)
            raise
        try:  # bounded, even while a program continues to write it
            temporary = self._written(
                islice(iter(lambda: os.read(source, BLOCK_BYTES), b""), MOST_COPIED // BLOCK_BYTES)
            )
        finally:
            os.close(source)
        try:
            sha256, kept = self._folder.sha256(temporary), False
            while not kept:
                target = self.free_name(name, sha256)
                self.report(target, report)
                kept = self._folder.has(target) or self._folder.rename_new(temporary, target)
        finally:
            self._folder.remove(temporary)
        self._folder.sync()

    # Rejected rows

    def quarantine(self, name: str, sha256: str, lines: Iterable[bytes]) -> str:
        """Write rejected rows of the drop `name`, durably; returns the file's name.

        Drops of the same name get different ones. After a kill the same rows are written again, under the same name.
        """
        ending = f".{sha256[:8]}{BAD_ROWS}"
        with self._new(lines) as temporary:
            digest = self._folder.sha256(temporary)
            target, count = _short(name, ending), 1
            while self._folder.has(target) and self._folder.sha256(target) != digest:
                count += 1
                target = _short(f"{count}-{name}", ending)
            self._folder.rename(temporary, target)
        self._folder.sync()
        return target

    @contextmanager
    def _new(self, blocks: Iterable[bytes], *, sync: bool = True) -> Iterator[str]:
        """The name of a new, hidden file.

        It is removed unless it gets another name, because each retry would leave one.
        """
        temporary = self._written(blocks, sync=sync)
        try:
            yield temporary
        except BaseException:
            with suppress(OSError):  # the first error matters
                self._folder.remove(temporary)
            raise

    def _written(self, blocks: Iterable[bytes], *, sync: bool = True) -> str:
        """The name of a new, hidden file."""
        name = f"{durable.MARK}{secrets.token_hex(8)}{durable.TMP}"
        fd = self._folder.create(name)
        try:
            with os.fdopen(fd, "wb") as file:
                file.writelines(blocks)
                file_modes.correct(fd, self._readers.file, self._readers.group)
                file.flush()
                if sync:
                    os.fsync(fd)
        except BaseException:
            self._folder.remove(name)
            raise
        return name

    # Its entries

    def entries(self) -> Iterable["os.DirEntry[str]"]:
        """All entries, including those of other users."""
        return self._folder.entries()

    def remove(self, name: str) -> None:
        """Remove a file; it may be gone already."""
        self._folder.remove(name)

    def sync(self) -> None:
        """Make the names in it durable."""
        self._folder.sync()

    def sweep(self) -> int:
        """Remove unfinished files of a process that was killed."""
        return self._folder.sweep()


def _opened(inbox: Folder) -> Folder:
    try:
        return inbox.folder(NAME)
    except FileNotFoundError:
        os.mkdir(NAME, file_modes.FOLDER, dir_fd=inbox.fd)
        inbox.sync()
        return inbox.folder(NAME)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise Unavailable(f"{inbox.path}/{NAME} is not a folder.", hint=HINT) from None
        raise


def _readable(fd: int) -> int:
    """A readable descriptor of a file open with O_PATH; raises OSError if the file is too large to copy, or unreadable."""
    if os.fstat(fd).st_size > MOST_COPIED:
        raise OSError(
            errno.EFBIG, f"it belongs to another user and has more than {MOST_COPIED} bytes, so it is not copied"
        )
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except BlockingIOError:
        raise OSError(errno.EAGAIN, "its owner holds a lease on it") from None


def _short(name: str, ending: str = "") -> str:
    """The name under which a file is kept; a name too long for its additions is replaced.

    A dropped file loses the endings of reports and of rejected rows, because these endings identify such files.
    """
    if not ending and name.endswith((REPORT, BAD_ROWS)):
        ending = ".csv"
    if len(os.fsencode(name + ending)) <= LONGEST_NAME:
        return f"{name}{ending}"
    return f"{durable.sha256(os.fsencode(name))[:32]}{ending or '.csv'}"
