"""Takes a drop out of the inbox: removes it, or moves it to `rejected/`.

Other users may replace a file at any moment. So a drop first gets a hidden name; then the same file is checked and
taken out.
"""

import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from retraind.daemon.core import durable, logs
from retraind.daemon.core.inbox_names import LONGEST, last_part
from retraind.daemon.core.shared_folder import Folder
from retraind.daemon.inbox.rejected_folder import Rejected
from retraind.daemon.inbox.settling import Stamp

log = logs.Logger()

HIDDEN_PREFIX = ".retraind-clearing-"
"""Prefix of a drop's name while it is removed or moved; eight random digits, a hyphen and the name follow."""

HIDDEN_REST = re.compile(r"(?:[0-9a-f]{8}-)?(.+)", re.DOTALL)
"""The rest of the name; older releases wrote no digits."""


def remove(inbox: Folder, name: str, sha256: str) -> None:
    """Remove a file if it still has these bytes; raises OSError."""
    with hidden(inbox, name) as hidden_name:
        if hidden_name is not None and inbox.sha256(hidden_name) == sha256:
            inbox.remove(hidden_name)


def reject(inbox: Folder, rejected: Rejected, name: str, stamp: Stamp, report: Mapping[str, object]) -> None:
    """Move a file to `rejected/`, with its report, if it is still the file that was judged; raises OSError."""
    with (
        hidden(inbox, name) as hidden_name,
        _judged(inbox, hidden_name, stamp, report.get("sha256")) as fd,
    ):
        if hidden_name is None or fd is None:
            rejected.report(rejected.free_name(name), report)
            log.warning("rejected_drop_vanished", name=name)
            return
        rejected.keep(inbox, hidden_name, fd, name, report)


@contextmanager
def hidden(inbox: Folder, name: str) -> Iterator[str | None]:
    """The hidden name of a drop; None if it is gone.

    If the file still exists at the end of the context, it gets its name back.
    """
    hidden_name = f"{HIDDEN_PREFIX}{secrets.token_hex(4)}-"
    hidden_name += last_part(name, LONGEST - len(hidden_name))
    try:
        inbox.rename(name, hidden_name)
    except FileNotFoundError:
        yield None
        return
    try:
        yield hidden_name
    finally:
        if inbox.has(hidden_name):
            _put_back(inbox, hidden_name, name)


def recover(inbox: Folder) -> None:
    """Restore the names of drops that a kill or a failing disk left hidden."""
    for hidden_name in [entry.name for entry in inbox.entries() if entry.name.startswith(HIDDEN_PREFIX)]:
        if match := HIDDEN_REST.fullmatch(hidden_name.removeprefix(HIDDEN_PREFIX)):
            _put_back(inbox, hidden_name, match[1])


def _put_back(inbox: Folder, hidden_name: str, name: str) -> None:
    """Restore its name; if another file has that name by now, add a number."""
    try:
        count, target = 1, name
        while not inbox.rename_new(hidden_name, target):
            count += 1
            target = f"{count}-{last_part(name, LONGEST - len(f'{count}-'))}"
    except OSError as error:
        path = f"{inbox.path}/{hidden_name}"
        log.error("drop_stays_hidden", path=path, reason=str(error), hint="Rename it by hand.")


@contextmanager
def _judged(inbox: Folder, hidden_name: str | None, stamp: Stamp, sha256: object) -> Iterator[int | None]:
    """A descriptor (O_PATH) of the file if it has the judged stamp, or at least the judged bytes; otherwise None."""
    if hidden_name is None:
        yield None
        return
    fd = inbox.open(hidden_name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        same = stat.S_ISREG(status.st_mode) and status.st_size == stamp.size
        if same and Stamp.of(status) != stamp:
            same = sha256 is not None and durable.sha256_file(f"/proc/self/fd/{fd}") == sha256
        yield fd if same else None
    finally:
        os.close(fd)
