"""Errors of the operating system and of the databases in a sentence: the place, the reason, and the remedy."""

import errno
import sqlite3

REMEDIES = {
    errno.EACCES: "Give this user the rights, or run the command as a user that has them.",
    errno.EPERM: "Give this user the rights, or run the command as a user that has them.",
    errno.EROFS: "Mount the file system writable.",
    errno.ENOSPC: "Free some space and try again.",
    errno.EDQUOT: "Free some space or raise the quota, and try again.",
    errno.EFBIG: "Raise the limit for files, and try again.",
    errno.ENOENT: "Name one that exists.",
    errno.ENOTDIR: "A part of the path is a file where a folder belongs: correct the path.",
    errno.EISDIR: "Name a file.",
    errno.EEXIST: "Move it away, or name another.",
    errno.ENAMETOOLONG: "Take a shorter name.",
    errno.ELOOP: "Correct the links.",
    errno.EMFILE: "Raise the limit of open files (`ulimit -n`).",
    errno.ENFILE: "Close other programs, or raise the kernel's limit of open files.",
}
"""Errors that a person can correct; others come from the program, and their traceback is printed."""


def sentence(error: OSError | sqlite3.Error) -> str | None:
    """What failed and what to do; None for an error that only a traceback explains."""
    if isinstance(error, sqlite3.Error):
        return f"The records of the home can't be read: {error}. `retraind doctor` says what is wrong with them."
    remedy = REMEDIES.get(error.errno or 0)
    if remedy is None:
        return None
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror}. {remedy}"
