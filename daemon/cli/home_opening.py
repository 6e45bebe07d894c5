"""Whether a folder is a home that a command can use; if it is not, the command ends before it makes or changes anything.

A misspelt path would otherwise look like an empty home: no versions, no drops, and a request that nothing ever answers.
"""

import os
import pwd
import sqlite3
import stat
from pathlib import Path

from retraind.daemon.core import home_integrity
from retraind.daemon.core.errors import RetraindError, WrongHome
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal.journal_format import FORMAT

CORRECT = "Correct --home or RETRAIND_HOME"
NEW = f"{CORRECT}; `retraind init FILE --target COL` makes a new home."


def require(home: Home, *, writes: bool = False) -> None:
    """Raise WrongHome unless this is a home that this user and this release can read, and with `writes` change."""
    _require_folder(home)
    if not _is_home(home):
        raise WrongHome(f"{home.root} is not a retraind home: it has no registry/ and no retraind.toml.", hint=NEW)
    _require_access(home)
    _require_known_format(home)
    if writes:
        require_writable(home)


def require_folder(home: Home) -> None:
    """Raise WrongHome unless a service can run in this folder, which may be empty."""
    _require_folder(home)
    if not _is_home(home):
        if reason := home_integrity.unwritable(home.root):
            raise WrongHome(f"No home can be made here: {reason}")
        return
    require(home, writes=True)


def require_place(home: Home) -> None:
    """Raise WrongHome unless this folder can become a home; it need not exist, but the folder around it must."""
    if _exists(home.root):
        require_folder(home)
        return
    parent = home.root.parent
    if not _exists(parent):
        raise WrongHome(f"{home.root} can't be made, because {parent} does not exist.", hint=f"{CORRECT}.")
    if reason := home_integrity.unwritable(parent) if parent.is_dir() else f"{parent} is not a folder.":
        raise WrongHome(f"{home.root} can't be made: {reason}", hint=f"{CORRECT}.")


def require_writable(home: Home) -> None:
    """Raise WrongHome if this user can't write to the records of a home."""
    reason = (
        home_integrity.unwritable(home.registry) if home.registry.exists() else home_integrity.unwritable(home.root)
    )
    if reason:
        raise WrongHome(f"{home.root} can't be changed: {reason}")


def _require_folder(home: Home) -> None:
    if not _exists(home.root):
        raise WrongHome(f"{home.root} does not exist.", hint=NEW)
    if not home.root.is_dir():
        raise WrongHome(f"{home.root} is not a folder, so it is no retraind home.", hint=NEW)


def _exists(path: Path) -> bool:
    """Whether a path exists; raises WrongHome if this user may not know."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        hint = f"{CORRECT}, or run the command as a user that may."
        raise WrongHome(f"{path} can't be reached by {_user(os.geteuid())}: {error.strerror}.", hint=hint) from None
    return True


def _is_home(home: Home) -> bool:
    """Whether there is a trace of a service, of its settings or of its data."""
    if not os.access(home.root, os.X_OK):
        raise _foreign(home.root)
    marks = home.registry, home.settings, home.schema, home.dataset_pointer, home.pointer
    return any(os.path.lexists(path) for path in marks)


def _require_access(home: Home) -> None:
    """Raise WrongHome for a home whose records are closed to this user."""
    for path in (home.root, home.registry):
        if path.exists() and not os.access(path, os.R_OK | os.X_OK):
            raise _foreign(path)


def _foreign(path: Path) -> WrongHome:
    owner = _user(path.stat().st_uid)
    mode = stat.S_IMODE(path.stat().st_mode)
    return WrongHome(
        f"{path} belongs to {owner} (mode {mode:04o}), and {_user(os.geteuid())} may not read it.",
        hint=f"Run the command as {owner}, such as with `sudo -u`.",
    )


def _user(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"


def _require_known_format(home: Home) -> None:
    """Raise WrongHome if a newer release has written the journal, whose tables this one would misread."""
    from retraind.daemon.records import query

    try:
        stored = query.number(home.journal, "PRAGMA user_version") if home.journal.exists() else None
    except (sqlite3.Error, RetraindError):
        return  # a damaged journal is for the reports of the command
    if stored is not None and stored > FORMAT:
        raise WrongHome(
            f"{home.root} belongs to a newer retraind: {home.journal} has format {stored}, this one knows {FORMAT}.",
            hint="Install the newer release again.",
        )
