"""Durable files: after a crash, a file is complete or does not exist.

Shared with `web`. The order is always: temporary file beside the target, fsync, rename, fsync of the folder (Pillai et
al., "All File Systems Are Not Created Equal", OSDI 2014).
"""

import ctypes
import errno
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from retraind.daemon.core.errors import Unavailable

TMP = ".tmp"
MARK = ".retraind-"
"""Suffix of files that are not finished; `sweep` removes them at start."""

AT_FDCWD, RENAME_NOREPLACE = -100, 1
"""renameat2(2): paths are relative to the current folder; an existing target is an error."""

NO_SUCH_RENAME = {errno.EINVAL, errno.ENOSYS}
NO_LINKS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOTSUP}
"""Errors by which a file system reports that it lacks this call."""

LOCK_SECONDS = 5.0
"""Seconds to wait for the lock of a file that other processes replace: they hold it for one write."""

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


def write(path: Path, data: bytes | Callable[[int], bytes], *, mode: int = 0o600) -> None:
    """Replace `path` by `data` so that a crash leaves the old or the new bytes; raises OSError.

    Data that depends on the new file's inode is a function of it.
    """
    temporary = _write_temporary(path, data, mode, sync=True)
    os.replace(temporary, path)
    fsync_dir(path.parent)


def write_new(path: Path, data: bytes, *, mode: int = 0o600) -> bool:
    """Like `write`, but never replace an existing file: False when `path` already exists."""
    temporary = _write_temporary(path, data, mode, sync=True)
    try:
        if not rename_new(str(temporary), str(path)):
            return False
    finally:
        temporary.unlink(missing_ok=True)
    fsync_dir(path.parent)
    return True


def publish(path: Path, data: bytes) -> None:
    """Replace `path` atomically without waiting for the disk: for state that a restart writes again."""
    os.replace(_write_temporary(path, data, 0o600, sync=False), path)


def rename_new(source: str, target: str, source_fd: int | None = None, target_fd: int | None = None) -> bool:
    """Rename within a file system, but never replace: False when `target` exists; raises OSError.

    Relative names are looked up in the folders of the descriptors; None: in the current folder.
    """
    old, new = os.fsencode(source), os.fsencode(target)
    places = (AT_FDCWD if fd is None else fd for fd in (source_fd, target_fd))
    if _LIBC.renameat2(next(places), old, next(places), new, RENAME_NOREPLACE) == 0:
        return True
    number = ctypes.get_errno()
    if number in NO_SUCH_RENAME:
        return _relink(source, target, source_fd, target_fd)
    if number == errno.EEXIST:
        return False
    raise OSError(number, os.strerror(number), source, None, target)


def _relink(source: str, target: str, source_fd: int | None, target_fd: int | None) -> bool:
    """`rename_new` for a file system (NFS, 9p) with links but without such a rename."""
    try:
        os.link(source, target, src_dir_fd=source_fd, dst_dir_fd=target_fd, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        # No links either, or none to files of other users (fs.protected_hardlinks): check, then rename.
        if _exists(target, target_fd):
            return False
        os.rename(source, target, src_dir_fd=source_fd, dst_dir_fd=target_fd)
        return True
    os.unlink(source, dir_fd=source_fd)
    return True


def _exists(name: str, fd: int | None) -> bool:
    try:
        os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _write_temporary(path: Path, data: bytes | Callable[[int], bytes], mode: int, *, sync: bool) -> Path:
    # Hidden and ending in .tmp, so that neither the inbox nor a reader takes it for a finished file.
    temporary = path.with_name(f"{MARK}{path.name[:40]}.{secrets.token_hex(6)}{TMP}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            _match_owner(fd, path.parent)
            if mode != 0o600:
                os.fchmod(fd, mode)  # whatever the umask is
            file.write(data(os.fstat(fd).st_ino) if callable(data) else data)
            file.flush()
            if sync:
                os.fsync(fd)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _match_owner(fd: int, folder: Path) -> None:
    """Give a file that root writes into a folder of another user, who runs the daemon, to that user."""
    if os.geteuid() == 0 and (owner := folder.stat()).st_uid != 0:
        os.fchown(fd, owner.st_uid, owner.st_gid)


def remove(path: Path) -> None:
    """Remove a file durably; a file that is already gone is fine."""
    path.unlink(missing_ok=True)
    fsync_dir(path.parent)


def sweep(folder: Path, *, seconds: float = 0.0) -> int:
    """Remove our own unfinished files in `folder` that are older than `seconds`; returns how many.

    Where other processes write too, the age tells leftovers of a killed process from files being written.
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
    """Hexadecimal sha256 of a file's bytes; raises OSError, BlockingIOError if a process holds a lease on it."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return sha256_of(fd)
    finally:
        os.close(fd)


def is_intact(path: Path, sha256: str) -> bool:
    """Whether the file exists and has these bytes; raises OSError when it can't be read."""
    return path.exists() and sha256_file(path) == sha256


def sha256_of(fd: int) -> str:
    """Hexadecimal sha256 of an open file, from its beginning; the read position stays. Raises OSError."""
    digest, at = hashlib.sha256(), 0
    while block := os.pread(fd, 1_048_576, at):
        digest.update(block)
        at += len(block)
    return digest.hexdigest()


def try_lock(path: Path) -> int | None:
    """Take the exclusive lock of `path`; returns its open descriptor, or None if another process holds it.

    The kernel releases the lock however the process ends, so a stale lock cannot exist.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


@contextmanager
def locked(path: Path, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold the exclusive lock of an existing file, which the holder may replace; raises Unavailable, OSError.

    It locks the file itself, because a separate lock file might belong to root and be closed to the daemon.
    """
    until = time.monotonic() + seconds
    while (fd := _lock(path)) is None:
        if time.monotonic() > until:
            raise Unavailable(
                f"{path} is locked by another process.", hint="It is tried again; `lslocks` shows that process."
            )
        time.sleep(0.005)
    try:
        yield
    finally:
        os.close(fd)


def _lock(path: Path) -> int | None:
    """A locked descriptor of the file; None if another process holds the lock, or the name now belongs to another file."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except PermissionError:  # enough on local file systems
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with suppress(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), os.stat(path)):
            return fd
    os.close(fd)
    return None
