"""One policy for the errors of every door: command line, HTTP and the protocols of other servers.

Each error has a cause. The cause decides the exit code of a command and the status of an HTTP answer; `type` of a
problem and `cause` of `--json` name it. docs/errors.md is generated from the table. Imports nothing of the project.
"""

from enum import IntEnum, StrEnum
from typing import NamedTuple


class Exit(IntEnum):
    """Exit codes of every `retraind` command; systemd and tests distinguish cases by them."""

    OK = 0
    FAILED = 1
    """An unexpected error, which the log has with its traceback; or a training that failed."""
    USAGE = 2
    """Invalid flags, home, settings or schema, or a name that several drops share: a person has to change something."""
    ALREADY_RUNNING = 3
    """Another daemon owns this home."""
    PORT_TAKEN = 4
    """Another program listens on server.host:server.port."""
    UNHEALTHY = 5
    """`status` or `doctor` found something wrong."""
    NOT_FOUND = 6
    """The version, drop or file named on the command line does not exist, or the rows of a revision are gone."""
    DIFFERENT = 7
    """`reproduce` trained a model that differs from the recorded one."""
    REFUSED = 8
    """A request was refused, or with `retrain --follow` the version that it led to, or `export` of this version."""
    HISTORY_LOST = 9
    """The journal is gone, or older than the data: going on would take rows out of the dataset."""
    DAMAGED = 10
    """Files differ from their record: a backup, a bundle, a segment."""
    JOURNAL_TAKEN = 11
    """Another process has written this home's journal on its server, so the state in memory may be wrong."""
    INCOMPLETE = 12
    """`predict` has answered some rows of a file; the others are bad."""
    NOT_ROWS = 13
    """`predict` has answered no row of a file, or `explain` not its row: the model does not take it."""
    UNAVAILABLE = 14
    """A database, disk, server or daemon that is needed can't be used now: the same command may succeed later."""


class Cause(StrEnum):
    """Why something was not done."""

    FAILED = "failed"
    USAGE = "usage"
    WRONG_HOME = "wrong-home"
    WRONG_SETTING = "wrong-setting"
    WRONG_SCHEMA = "wrong-schema"
    NOT_PERMITTED = "not-permitted"
    AMBIGUOUS = "ambiguous"
    ALREADY_RUNNING = "already-running"
    PORT_TAKEN = "port-taken"
    UNHEALTHY = "unhealthy"
    NOT_FOUND = "not-found"
    DIFFERENT = "different"
    REFUSED = "refused"
    CROWDED = "crowded"
    HISTORY_LOST = "history-lost"
    DAMAGED = "damaged"
    JOURNAL_TAKEN = "journal-taken"
    INCOMPLETE = "incomplete"
    NOT_ROWS = "not-rows"
    TRAINING_FAILED = "training-failed"
    UNAVAILABLE = "unavailable"
    DISK_FULL = "disk-full"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    TOO_SLOW = "too-slow"
    CONFLICT = "conflict"
    TOO_LARGE = "too-large"
    UNSUPPORTED_TYPE = "unsupported-type"
    MISDIRECTED = "misdirected"
    TIMED_OUT = "timed-out"


class Doors(NamedTuple):
    """What each door says of a cause."""

    exit: Exit | None
    """Exit code of a command; None for a cause that only HTTP has."""
    status: int
    """Status of an HTTP answer. A protocol of another server says 400 instead of 422."""
    meaning: str
    remedy: str


POLICY: dict[Cause, Doors] = {
    Cause.FAILED: Doors(Exit.FAILED, 500, "an unexpected error", "See the traceback in the log, and report it."),
    Cause.USAGE: Doors(
        Exit.USAGE, 400, "a command line, or a request, that can't be understood", "Correct what the message names."
    ),
    Cause.WRONG_HOME: Doors(
        Exit.USAGE, 503, "a folder that is no home for this user and release", "Correct `--home` or the rights."
    ),
    Cause.WRONG_SETTING: Doors(
        Exit.USAGE, 503, "a wrong setting, variable or flag", "Correct the line that the message names."
    ),
    Cause.WRONG_SCHEMA: Doors(Exit.USAGE, 503, "a schema that is missing or contradicts itself", "`retraind schema`"),
    Cause.NOT_PERMITTED: Doors(
        Exit.USAGE, 503, "a file that this user may not read or write", "Give the rights, or run it as another user."
    ),
    Cause.AMBIGUOUS: Doors(Exit.USAGE, 409, "a name that several drops share", "Name one by its id or sha256."),
    Cause.ALREADY_RUNNING: Doors(
        Exit.ALREADY_RUNNING, 503, "another daemon runs in this home", "Stop it, or use another `--home`."
    ),
    Cause.PORT_TAKEN: Doors(
        Exit.PORT_TAKEN, 503, "another program listens at the address", "Stop it, or take another `--port`."
    ),
    Cause.UNHEALTHY: Doors(Exit.UNHEALTHY, 503, "a check fails", "Follow its advice."),
    Cause.NOT_FOUND: Doors(
        Exit.NOT_FOUND, 404, "no such version, drop, file or path", "Look with `retraind versions` or `retraind drops`."
    ),
    Cause.DIFFERENT: Doors(
        Exit.DIFFERENT, 409, "`reproduce` trained another model than recorded", "Compare the versions of libraries."
    ),
    Cause.REFUSED: Doors(Exit.REFUSED, 409, "the daemon refused a request", "Read the reason."),
    Cause.CROWDED: Doors(Exit.REFUSED, 429, "too many requests wait", "Try again after `Retry-After`."),
    Cause.HISTORY_LOST: Doors(
        Exit.HISTORY_LOST, 503, "the journal is missing, or older than the data", "Restore the home from one backup."
    ),
    Cause.DAMAGED: Doors(Exit.DAMAGED, 503, "files differ from their record", "`retraind doctor`; use another backup."),
    Cause.JOURNAL_TAKEN: Doors(
        Exit.JOURNAL_TAKEN, 503, "another process has opened the journal on its server", "Start it again."
    ),
    Cause.INCOMPLETE: Doors(Exit.INCOMPLETE, 422, "some rows of a file are bad", "Read the file of bad rows."),
    Cause.NOT_ROWS: Doors(
        Exit.NOT_ROWS, 422, "rows or fields that the model does not take", "Correct the fields that the message names."
    ),
    Cause.TRAINING_FAILED: Doors(Exit.FAILED, 500, "no model could be trained", "Read the reason in the events."),
    Cause.UNAVAILABLE: Doors(
        Exit.UNAVAILABLE, 503, "a database, server, model or daemon can't be used now", "Try again; `retraind status`."
    ),
    Cause.DISK_FULL: Doors(Exit.UNAVAILABLE, 507, "no space is left", "Free some space and try again."),
    Cause.UNAUTHORIZED: Doors(None, 401, "no token, or a wrong one", "`retraind token create NAME --scope SCOPE`"),
    Cause.FORBIDDEN: Doors(None, 403, "the token, or the site, may not do this", "Use a token with the scope."),
    Cause.METHOD_NOT_ALLOWED: Doors(None, 405, "the path has other methods", "See `Allow`."),
    Cause.TOO_SLOW: Doors(None, 408, "the body came too slowly", "Send it faster; `server.body_seconds`."),
    Cause.CONFLICT: Doors(None, 409, "the request does not fit the state", "Read the reason."),
    Cause.TOO_LARGE: Doors(None, 413, "the body is too large", "Send less; `server.max_body_bytes`."),
    Cause.UNSUPPORTED_TYPE: Doors(
        None, 415, "a content type or encoding that is not read", "Send what docs/http.md names."
    ),
    Cause.MISDIRECTED: Doors(None, 421, "a host name, or a path, of another machine", "Ask the machine that it names."),
    Cause.TIMED_OUT: Doors(None, 504, "the request took too long", "Send less; `server.request_seconds`."),
}

BY_STATUS = {
    400: Cause.USAGE,
    404: Cause.NOT_FOUND,
    409: Cause.CONFLICT,
    422: Cause.NOT_ROWS,
    500: Cause.FAILED,
    503: Cause.UNAVAILABLE,
}
"""The cause of an HTTP answer that names none, where several have its status."""


def of_status(status: int) -> Cause:
    """The cause of an HTTP answer with this status that names none."""
    if status in BY_STATUS:
        return BY_STATUS[status]
    return next((cause for cause, doors in POLICY.items() if doors.status == status), Cause.USAGE)
