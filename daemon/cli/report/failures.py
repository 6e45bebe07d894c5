"""Errors of the operating system and of the databases as expected errors: the place, the reason, and the remedy."""

import errno
import sqlite3

from retraind.daemon.core.errors import Cause, RetraindError

RIGHTS = "Give this user the rights, or run the command as a user that has them."
SPACE = "Free some space and try again."

REMEDIES = {
    errno.EACCES: (Cause.NOT_PERMITTED, RIGHTS),
    errno.EPERM: (Cause.NOT_PERMITTED, RIGHTS),
    errno.EROFS: (Cause.NOT_PERMITTED, "Mount the file system writable."),
    errno.ENOSPC: (Cause.DISK_FULL, SPACE),
    errno.EDQUOT: (Cause.DISK_FULL, SPACE),
    errno.EFBIG: (Cause.DISK_FULL, "Raise the limit for files, and try again."),
    errno.ENOENT: (Cause.NOT_FOUND, "Name one that exists."),
    errno.ENOTDIR: (Cause.NOT_FOUND, "A part of the path is a file where a folder belongs: correct the path."),
    errno.EISDIR: (Cause.USAGE, "Name a file."),
    errno.EEXIST: (Cause.USAGE, "Move it away, or name another."),
    errno.ENAMETOOLONG: (Cause.USAGE, "Take a shorter name."),
    errno.ELOOP: (Cause.USAGE, "Correct the links."),
    errno.EMFILE: (Cause.UNAVAILABLE, "Raise the limit of open files (`ulimit -n`)."),
    errno.ENFILE: (Cause.UNAVAILABLE, "Close other programs, or raise the kernel's limit of open files."),
}
"""Errors that a person can correct; others come from the program, and their traceback is printed."""


class SystemRefused(RetraindError):
    """Raised for an error of the operating system or of a database file that a person can correct."""

    def __init__(self, message: str, *, hint: str, cause: Cause) -> None:
        super().__init__(message, hint=hint)
        self.cause = cause


def explained(error: OSError | sqlite3.Error) -> SystemRefused | None:
    """What failed and what to do; None for an error that only a traceback explains."""
    if isinstance(error, sqlite3.Error):
        hint = "`retraind doctor` says what is wrong with them."
        return SystemRefused(f"The records of the home can't be read: {error}.", hint=hint, cause=Cause.UNAVAILABLE)
    cause, remedy = REMEDIES.get(error.errno or 0, (None, ""))
    if cause is None:
        return None
    where = f"{error.filename}: " if error.filename else ""
    return SystemRefused(f"{where}{error.strerror}.", hint=remedy, cause=cause)
