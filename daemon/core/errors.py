"""The expected errors, and the exit codes of the process.

Imports nothing of the project.
"""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every `retraind` command; systemd and tests distinguish cases by them."""

    OK = 0
    FAILED = 1
    """An unexpected error; the log has the traceback."""
    USAGE = 2
    """Invalid flags, settings or schema, or a name that several drops share: a person has to change something."""
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
    """`restore`: the file is not a backup, or its bytes differ from its manifest. `predict`: the bundle differs from its record."""
    JOURNAL_TAKEN = 11
    """Another process has written this home's journal on its server, so the state in memory may be wrong."""
    INCOMPLETE = 12
    """`predict` has answered some rows of a file; the others are bad."""
    NOT_ROWS = 13
    """`predict` has answered no row of a file: it is not one of rows that the model takes."""


class RetraindError(Exception):
    """Root of all expected errors: what happened, and in `hint` what to do about it."""

    exit = Exit.FAILED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text} {self.hint}" if self.hint else text


class BadSettings(RetraindError):
    """Raised when `retraind.toml`, the environment or a flag holds a key or value that is not valid."""

    exit = Exit.USAGE


class WrongHome(RetraindError):
    """Raised when a folder is no home that this user and this release can use."""

    exit = Exit.USAGE


class BadSchema(RetraindError):
    """Raised when a schema is missing, unreadable or contradicts itself."""

    exit = Exit.USAGE


class AlreadyRunning(RetraindError):
    """Raised when another daemon holds the lock of this home."""

    exit = Exit.ALREADY_RUNNING


class HistoryLost(RetraindError):
    """Raised when the journal is gone, or older than the data, so that a start could not tell which rows belong to it."""

    exit = Exit.HISTORY_LOST


class JournalTaken(RetraindError):
    """Raised when the journal on its server differs from this process's last commit; a restart reads it again."""

    exit = Exit.JOURNAL_TAKEN


class PortTaken(RetraindError):
    """Raised when the listening address is in use by another program."""

    exit = Exit.PORT_TAKEN


class NotRows(RetraindError):
    """Raised when a file to predict can't be read as rows of the model, or has no good one."""

    exit = Exit.NOT_ROWS


class NotFound(RetraindError):
    """Raised when a version, drop or file that a person named does not exist."""

    exit = Exit.NOT_FOUND


class Ambiguous(RetraindError):
    """Raised when the name that a person gave fits several drops."""

    exit = Exit.USAGE


class TooSlow(RetraindError):
    """Raised when a search of the records is ended, because it would take too long."""


class InvalidDrop(RetraindError):
    """Raised when a drop is not a CSV of the schema; never retried.

    `line` is the 1-based line of the file (None: the file as a whole), `column` the column's name.
    """

    def __init__(self, reason: str, *, line: int | None = None, column: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.column = column


class InvalidFeatures(RetraindError):
    """Raised when a request's features do not fit the schema; `field` names the offending one."""

    def __init__(self, reason: str, *, field: str | None = None) -> None:
        super().__init__(reason)
        self.field = field


class NotKept(RetraindError):
    """Raised in strict mode when a prediction could not be written to the disk before its answer."""


class BundleRefused(RetraindError):
    """Raised when a bundle's files do not match their recorded sha256, do not load, or fail the probe."""

    exit = Exit.DAMAGED


class DatasetDamaged(RetraindError):
    """Raised when a segment, DVC object or the data repository is not what the journal recorded."""


class BackupDamaged(RetraindError):
    """Raised when an archive is incomplete, or holds files that do not belong in a backup."""

    exit = Exit.DAMAGED


class Unavailable(RetraindError):
    """Raised when the journal or MLflow's database is locked or its disk is full; the loop tries again later."""


class Crowded(RetraindError):
    """Raised when too many requests wait to accept another; `seconds`: when to try again."""

    exit = Exit.REFUSED

    def __init__(self, message: str, *, hint: str = "", seconds: int = 1) -> None:
        super().__init__(message, hint=hint)
        self.seconds = seconds


class TrainingFailed(RetraindError):
    """Raised inside the trainer when no candidate could be fitted."""


class TooFewRows(TrainingFailed):
    """Raised inside the trainer when the rows are too few to train a model; a retry would not help."""


class NotExportable(RetraindError):
    """Raised for a version that can't be taken away, at least not in the requested format."""

    exit = Exit.REFUSED


class NotServable(RetraindError):
    """Raised inside the trainer for an estimator that no bundle can hold; the next best candidate takes its place."""
