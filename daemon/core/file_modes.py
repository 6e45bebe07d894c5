"""Who may read what: the modes of everything below the home, in one place.

docs/operations.md has the table. All that our processes create is for their user alone (`private`). Files and folders
that other users may access get their modes here.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from retraind.daemon.core import logs

log = logs.Logger()

UMASK = 0o077

FOLDER, FILE = 0o700, 0o600
"""Mode of a file or folder for this user alone."""

SETTINGS = 0o644
"""Mode of a new retraind.toml: it holds no secret, and a container may run as another user than its author."""

OTHERS_WRITE = 0o022


class Readers(NamedTuple):
    """Modes of a folder and of the files in it, and the group that may read them (None: no group)."""

    folder: int
    file: int
    group: int | None


ALONE = Readers(FOLDER, FILE, None)


def private() -> None:
    """Hide all that this process and its children create from other users; each of our processes calls it first."""
    os.umask(UMASK)


def readers(inbox: os.stat_result) -> Readers:
    """Modes of rejected files: users that may drop files may read why, and correct a copy."""
    return Readers(0o750, 0o640, inbox.st_gid) if inbox.st_mode & OTHERS_WRITE else ALONE


def correct(fd: int, mode: int, group: int | None = None) -> None:
    """Set mode and group of an open file (O_PATH is enough) unless it has them; raises OSError.

    If the group can't be set, as when this user is not a member of it, no group gets any rights.
    """
    path = f"/proc/self/fd/{fd}"
    if group not in (None, os.fstat(fd).st_gid):
        try:
            os.chown(path, -1, int(group or 0))
        except PermissionError:
            mode &= stat.S_IRWXU
    # We do not decide the group of new files in a folder (setgid), and systemd's unit does not allow setting it.
    if stat.S_IMODE(os.fstat(fd).st_mode) & ~stat.S_ISGID != mode:
        os.chmod(path, mode)


def make(folder: Path) -> None:
    """Make a folder and its parents.

    If root makes it in a folder of another user, who runs the daemon, that user owns it.
    """
    if folder.is_dir():
        return
    make(folder.parent)
    folder.mkdir(mode=FOLDER, exist_ok=True)
    if os.geteuid() == 0 and (owner := folder.parent.stat()).st_uid != 0:
        os.chown(folder, owner.st_uid, owner.st_gid, follow_symlinks=False)


def keep_private(folder: Path) -> None:
    """Remove the rights of other users from a folder; its content is then out of their reach, whatever its modes are."""
    _set(folder, FOLDER)


def keep_file(path: Path) -> None:
    """Remove the rights of other users from a file, if it exists."""
    with suppress(FileNotFoundError):
        _set(path, FILE)


def keep_inbox(folder: Path) -> None:
    """Make the inbox sticky if others may write to it, so that no user removes another's files; otherwise private.

    A link is not touched: its target may be another user's folder.
    """
    if folder.is_symlink():
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    _set(folder, mode | stat.S_ISVTX if mode & OTHERS_WRITE else FOLDER)


def is_safe(inbox: os.stat_result) -> bool:
    """Whether no user can remove or rename another user's files in a folder."""
    return not inbox.st_mode & OTHERS_WRITE or bool(inbox.st_mode & stat.S_ISVTX)


def keep_sticky(fd: int) -> tuple[int, int]:
    """Make an open inbox sticky again if it is ours and needs it; returns its mode and group."""
    status = os.fstat(fd)
    if not is_safe(status) and status.st_uid == os.geteuid():
        with suppress(PermissionError):  # `is_safe` is asked again
            os.fchmod(fd, stat.S_IMODE(status.st_mode) | stat.S_ISVTX)
    status = os.fstat(fd)
    return stat.S_IMODE(status.st_mode), status.st_gid


def keep_rights(folder: Path, mode: int, group: int) -> None:
    """Give a folder that was recreated its former mode and group, as far as we may."""
    try:
        os.chown(folder, -1, group)
        folder.chmod(mode)
    except PermissionError as error:
        log.warning("mode_stays", path=str(folder), wanted=f"{mode:o}", reason=str(error), hint="Set it by hand.")


def _set(path: Path, mode: int) -> None:
    try:
        if stat.S_IMODE(path.stat().st_mode) != mode:
            path.chmod(mode)
    except PermissionError as error:  # a mount of another user, say
        log.warning("mode_stays", path=str(path), wanted=f"{mode:o}", reason=str(error), hint="Set it by hand.")
