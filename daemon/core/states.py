"""Closed sets of the journal and the health: states, kinds of events, levels, checks and triggers of a training.

The values are public: the journal, metrics, API responses and the dashboard contain them. They never change, but new
ones may be added.
"""

from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, cast, get_type_hints


class DropState(StrEnum):
    """The outcome of a drop."""

    ACCEPTED = "accepted"
    """The dataset holds its rows."""
    REJECTED = "rejected"
    """The file lies in `inbox/rejected`; none of its rows was taken."""
    DUPLICATE = "duplicate"
    """The dataset already has all its good rows."""
    FORGOTTEN = "forgotten"
    """It was accepted, and its rows were removed on request."""


class Hold(StrEnum):
    """A person's decision on a suspicious drop; see `retraind.daemon.ingest.held_drops`."""

    WAITING = "held"
    """Nothing yet: it waits in the inbox."""
    LET_IN = "accepted"
    """Its rows are taken next."""
    TURNED_AWAY = "rejected"
    """It goes to `inbox/rejected` next."""


class BatchKind(StrEnum):
    """What a batch did to the dataset."""

    DROPS = "drops"
    """It brought the rows of accepted drops."""
    MERGE = "merge"
    """It merged several segments into one."""
    FORGET = "forget"
    """It removed the rows of one drop."""


class BatchState(StrEnum):
    """How far a batch has progressed."""

    ACCEPTED = "accepted"
    """Its segment and its journal entry are durable."""
    COMMITTED = "committed"
    """DVC and git hold it: it is a revision."""


class RunState(StrEnum):
    """The outcome of a training."""

    STARTED = "started"
    TRAINED = "trained"
    """It registered a version."""
    POSTPONED = "postponed"
    """There were too few rows to train a model."""
    FAILED = "failed"
    ABANDONED = "abandoned"
    """It ended without a result: the process was killed or the daemon stopped."""


class VersionState(StrEnum):
    """The verdict on a version."""

    PROMOTED = "promoted"
    REFUSED = "refused"
    HELD = "held"
    """It waits for a person."""
    UNSERVABLE = "unservable"
    """It should be served, but its bundle can't be loaded."""
    ROLLED_BACK = "rolled back"
    """Its late labels took it out of service."""


class RequestState(StrEnum):
    """The state of a request to the daemon."""

    PENDING = "pending"
    """It is only in its file; the journal does not have it yet."""
    QUEUED = "queued"
    DONE = "done"
    REFUSED = "refused"


class DriftState(StrEnum):
    """The result of a drift check."""

    OK = "ok"
    DRIFT = "drift"
    WAITING = "waiting"
    """There is too little data to compare."""


class Level(StrEnum):
    """The severity of an event."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class EventKind(StrEnum):
    """Kinds of events; docs/events.md explains each."""

    # Data
    ACCEPTED = DropState.ACCEPTED
    REJECTED = DropState.REJECTED
    DUPLICATE = DropState.DUPLICATE
    QUARANTINED = "quarantined"
    KNOWN = "known"
    RELABELLED = "relabelled"
    SUSPICIOUS = "suspicious"
    COMMITTED = BatchState.COMMITTED
    MERGED = "merged"
    SCHEMA = "schema"
    FORGOTTEN = DropState.FORGOTTEN
    PURGED = "purged"
    INBOX = "inbox"
    ANSWERED = "answered"
    UNANSWERED = "unanswered"
    # Trainings
    TRAINING = "training"
    CANDIDATE = "candidate"
    TRAINED = RunState.TRAINED
    POSTPONED = RunState.POSTPONED
    FAILED = RunState.FAILED
    ABANDONED = RunState.ABANDONED
    # Versions
    PROMOTED = VersionState.PROMOTED
    REFUSED = VersionState.REFUSED
    HELD = VersionState.HELD
    UNSERVABLE = VersionState.UNSERVABLE
    ROLLED_BACK = VersionState.ROLLED_BACK
    SERVING = "serving"
    CLEARED = "cleared"
    DRIFT = "drift"
    REQUEST = "request"
    # The service
    STARTED = "started"
    STOPPED = "stopped"
    LEADING = "leading"
    WORKER = "worker"
    HISTORY = "history"
    REPAIRED = "repaired"
    MOVED = "moved"
    PROBLEM = "problem"
    HEALED = "healed"
    UNHEALTHY = "unhealthy"
    RECOVERED = "recovered"
    SILENT = "silent"


class CheckName(StrEnum):
    """The checks of the health: their names, and the duties that appear there only while they fail."""

    INBOX = "inbox"
    JOURNAL = "journal"
    DATA = "data"
    REGISTRY = "registry"
    BUNDLE = "bundle"
    DISK = "disk"
    WORK = "work"
    SCHEMA = "schema"
    TRAINER = "trainer"
    WORKERS = "workers"
    HISTORY = "history"
    ARCHIVE = "archive"
    FORGETTING = "forgetting"
    EXAMS = "exams"
    LIVE = "live"
    STORAGE = "storage"
    BUCKET = "bucket"
    PROJECTION = "projection"
    NODES = "nodes"
    LEADER = "leader"
    NOTIFY = "notify"
    # Shown only while there is something to report
    HELD = "held"
    TRAINING = "training"
    CANDIDATES = "candidates"
    ENGINE = "engine"
    OUTBOX = "outbox"
    ORPHANS = "orphans"
    PROMOTION = "promotion"
    REQUESTS = "requests"
    REJECTED = "rejected"
    PACKING = "packing"
    DRIFT = "drift"
    POINTER = "pointer"
    # Made by a worker, the command line or the page itself
    MODEL = "model"
    DAEMON = "daemon"
    PREDICTION_LOG = "prediction_log"
    PROMOTED_VERSION = "promoted_version"
    CHALLENGER = "challenger"
    WORKER = "worker"
    NODE = "node"
    RECORDS = "records"


class Trigger(StrEnum):
    """The triggers of a training: its reason begins with one of these, or with a number of new rows."""

    FORCED = "requested, forced"
    REQUESTED = "requested"
    FIRST = "first model"
    FORGOTTEN = "rows were forgotten"
    SCHEDULE = "schedule"
    DRIFT = "drift"
    LIVE = "live score"


ALARMS = (Trigger.DRIFT, Trigger.LIVE)
"""Triggers of the daemon itself: the served version has got worse, or its inputs have drifted."""


T = TypeVar("T")


def of_type(kind: type[T], columns: Mapping[Any, Any]) -> T:
    """A row's columns as the TypedDict `kind`; texts of a closed set become its members.

    An unknown text, as a later release may write, stays a text.
    """
    row = dict(columns)
    for name, members in _closed_sets(cast(type, kind)):
        with suppress(KeyError, ValueError):  # KeyError: the query left the column out
            row[name] = members(row[name])
    return cast(T, row)


@cache
def _closed_sets(kind: type) -> list[tuple[str, type[StrEnum]]]:
    """The columns of `kind` that hold a member of a closed set."""
    hints = get_type_hints(kind).items()
    return [(name, hint) for name, hint in hints if isinstance(hint, type) and issubclass(hint, StrEnum)]
