"""The expected errors. Each has a cause, which decides what every door says of it (`causes`).

Imports nothing of the project.
"""

from retraind.daemon.core.errors.causes import POLICY, Cause, Exit

__all__ = ["POLICY", "Cause", "Exit"]


class RetraindError(Exception):
    """Root of all expected errors: what happened, and in `hint` what to do about it."""

    cause = Cause.UNAVAILABLE

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def exit(self) -> Exit:
        """Exit code of a command that ends with this error."""
        return POLICY[self.cause].exit or Exit.FAILED

    @property
    def message(self) -> str:
        """What happened, without the hint."""
        return super().__str__()

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text} {self.hint}" if self.hint else text


class BadSettings(RetraindError):
    """Raised when `retraind.toml`, the environment or a flag holds a key or value that is not valid."""

    cause = Cause.WRONG_SETTING


class WrongHome(RetraindError):
    """Raised when a folder is no home that this user and this release can use."""

    cause = Cause.WRONG_HOME


class BadSchema(RetraindError):
    """Raised when a schema is missing, unreadable or contradicts itself."""

    cause = Cause.WRONG_SCHEMA


class AlreadyRunning(RetraindError):
    """Raised when another daemon holds the lock of this home."""

    cause = Cause.ALREADY_RUNNING


class HistoryLost(RetraindError):
    """Raised when the journal is gone, or older than the data, so that a start could not tell which rows belong to it."""

    cause = Cause.HISTORY_LOST


class JournalTaken(RetraindError):
    """Raised when the journal on its server differs from this process's last commit; a restart reads it again."""

    cause = Cause.JOURNAL_TAKEN


class PortTaken(RetraindError):
    """Raised when the listening address is in use by another program."""

    cause = Cause.PORT_TAKEN


class NotRows(RetraindError):
    """Raised when a file to predict can't be read as rows of the model, or has no good one."""

    cause = Cause.NOT_ROWS


class NotFound(RetraindError):
    """Raised when a version, drop or file that a person named does not exist."""

    cause = Cause.NOT_FOUND


class Ambiguous(RetraindError):
    """Raised when the name that a person gave fits several drops."""

    cause = Cause.AMBIGUOUS


class TooSlow(RetraindError):
    """Raised when a search of the records is ended, because it would take too long."""


class InvalidDrop(RetraindError):
    """Raised when a drop is not a CSV of the schema; never retried.

    `line` is the 1-based line of the file (None: the file as a whole), `column` the column's name.
    """

    cause = Cause.NOT_ROWS

    def __init__(self, reason: str, *, line: int | None = None, column: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.column = column


class InvalidFeatures(RetraindError):
    """Raised when a request's features do not fit the schema; `field` names the offending one."""

    cause = Cause.NOT_ROWS

    def __init__(self, reason: str, *, field: str | None = None) -> None:
        super().__init__(reason)
        self.field = field


class NotKept(RetraindError):
    """Raised in strict mode when a prediction could not be written to the disk before its answer."""

    cause = Cause.UNAVAILABLE


class BundleRefused(RetraindError):
    """Raised when a bundle's files do not match their recorded sha256, do not load, or fail the probe."""

    cause = Cause.DAMAGED


class DatasetDamaged(RetraindError):
    """Raised when a segment, DVC object or the data repository is not what the journal recorded."""

    cause = Cause.DAMAGED


class BackupDamaged(RetraindError):
    """Raised when an archive is incomplete, or holds files that do not belong in a backup."""

    cause = Cause.DAMAGED


class Unavailable(RetraindError):
    """Raised when the journal or MLflow's database is locked or its disk is full; the loop tries again later."""

    cause = Cause.UNAVAILABLE


class Crowded(RetraindError):
    """Raised when too many requests wait to accept another; `seconds`: when to try again."""

    cause = Cause.CROWDED

    def __init__(self, message: str, *, hint: str = "", seconds: int = 1) -> None:
        super().__init__(message, hint=hint)
        self.seconds = seconds


class TrainingFailed(RetraindError):
    """Raised inside the trainer when no candidate could be fitted."""

    cause = Cause.TRAINING_FAILED


class TooFewRows(TrainingFailed):
    """Raised inside the trainer when the rows are too few to train a model; a retry would not help."""


class NotExportable(RetraindError):
    """Raised for a version that can't be taken away, at least not in the requested format."""

    cause = Cause.REFUSED


class NotServable(RetraindError):
    """Raised inside the trainer for an estimator that no bundle can hold; the next best candidate takes its place."""

    cause = Cause.TRAINING_FAILED
