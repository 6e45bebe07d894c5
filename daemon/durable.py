"""Durable files: what was written is on the disk, whole, or was never there.

Level 1, shared with `web`. The order is always: temporary file beside the target, fsync, rename, fsync of the
folder (Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014).
"""

import ctypes
import errno
import fcntl
import hashlib
import os
import secrets
import time
from pathlib import Path

TMP = ".tmp"
MARK = ".retraind-"
"""Suffix of files that are not finished; `sweep` removes them at start."""

AT_FDCWD, RENAME_NOREPLACE = -100, 1
"""renameat2(2): paths are relative to the current folder; an existing target is an error."""

_LIBC = ctypes.CDLL(None, use_errno=True)


def fsync_dir(folder: Path) -> None:
    """Make the names in `folder` durable; raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def fsync_file(path: Path) -> None:
    """Make the bytes of an existing file durable; raises OSError."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `data` so that a crash leaves the old or the new bytes; raises OSError."""
    temporary = _write_temporary(path, data, mode, sync=True)
    os.replace(temporary, path)
    fsync_dir(path.parent)


def write_new(path: Path, data: bytes, *, mode: int = 0o644) -> bool:
    """Like `write`, but never over an existing file: False when `path` already exists."""
    temporary = _write_temporary(path, data, mode, sync=True)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(temporary)
    fsync_dir(path.parent)
    return True


def publish(path: Path, data: bytes) -> None:
    """Replace `path` atomically without waiting for the disk: for state that a restart writes anew."""
    os.replace(_write_temporary(path, data, 0o644, sync=False), path)


def rename_new(source: str, target: str) -> bool:
    """Rename within a file system, but never over what exists: False when `target` does; raises OSError."""
    old, new = os.fsencode(source), os.fsencode(target)
    if _LIBC.renameat2(AT_FDCWD, old, AT_FDCWD, new, RENAME_NOREPLACE) == 0:
        return True
    number = ctypes.get_errno()
    if number == errno.EINVAL:
        return _relink(source, target)
    if number == errno.EEXIST:
        return False
    raise OSError(number, os.strerror(number), source, None, target)


def _relink(source: str, target: str) -> bool:
    """`rename_new` where the file system (NFS, 9p) has links but no such rename."""
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        return False
    except (
        PermissionError
    ):  # no links either, or none to files of other users (fs.protected_hardlinks): look, then rename
        if os.path.lexists(target):
            return False
        os.rename(source, target)
        return True
    os.unlink(source)
    return True


def _write_temporary(path: Path, data: bytes, mode: int, *, sync: bool) -> Path:
    # Hidden and ending in .tmp, so that neither the inbox nor a reader takes it for a finished file.
    temporary = path.with_name(f"{MARK}{path.name[:40]}.{secrets.token_hex(6)}{TMP}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(fd)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def remove(path: Path) -> None:
    """Remove a file durably; a file that is already gone is fine."""
    path.unlink(missing_ok=True)
    fsync_dir(path.parent)


def sweep(folder: Path, *, seconds: float = 0.0) -> int:
    """Remove our own unfinished files in `folder` that are older than `seconds`; returns how many.

    Where other processes write too, the age tells what a killed one left from what a living one is writing.
    """
    stale = [
        entry
        for entry in folder.glob(f"{MARK}*{TMP}")
        if entry.is_file() and time.time() - entry.stat().st_mtime >= seconds
    ]
    for entry in stale:
        entry.unlink(missing_ok=True)
    return len(stale)


def sha256(data: bytes) -> str:
    """Hexadecimal sha256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path | str) -> str:
    """Hexadecimal sha256 of a file's bytes; raises OSError."""
    digest, fd = hashlib.sha256(), os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while block := os.read(fd, 1_048_576):
            digest.update(block)
    finally:
        os.close(fd)
    return digest.hexdigest()


def try_lock(path: Path) -> int | None:
    """Take the exclusive lock of `path`; returns its open descriptor, or None if another process holds it.

    The kernel gives the lock back when the process ends, however it ends, so a stale lock cannot exist.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd
