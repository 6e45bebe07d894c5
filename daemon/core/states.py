"""Closed sets of the journal and of the health: states, kinds of events, levels, checks, and what starts a training.

The values are public: they stand in the journal, in metrics, in answers of the API and on the page. They never change; new ones may come.
"""

from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, cast, get_type_hints


class DropState(StrEnum):
    """What became of a drop."""

    ACCEPTED = "accepted"
    """The dataset holds its rows."""
    REJECTED = "rejected"
    """The file lies in `inbox/rejected`; none of its rows was taken."""
    DUPLICATE = "duplicate"
    """The dataset had all of it already."""
    FORGOTTEN = "forgotten"
    """It was accepted, and its rows were removed on request."""


class Hold(StrEnum):
    """What a person has said of a suspicious drop; see `daemon.ingest.held_drops`."""

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
    """It made one segment of many."""
    FORGET = "forget"
    """It removed the rows of one drop."""


class BatchState(StrEnum):
    """How far a batch has come."""

    ACCEPTED = "accepted"
    """Its segment and its journal entry are durable."""
    COMMITTED = "committed"
    """DVC and git hold it: it is a revision."""


class RunState(StrEnum):
    """What came of a training."""

    STARTED = "started"
    TRAINED = "trained"
    """It registered a version."""
    POSTPONED = "postponed"
    """Its rows can't train a model yet."""
    FAILED = "failed"
    ABANDONED = "abandoned"
    """It ended without a word: the process was killed or the daemon stopped."""


class VersionState(StrEnum):
    """The verdict on a version."""

    PROMOTED = "promoted"
    REFUSED = "refused"
    HELD = "held"
    """It waits for a person."""
    UNSERVABLE = "unservable"
    """It should be served, and its bundle can't be."""
    ROLLED_BACK = "rolled back"
    """Its late labels took it out of service."""


class RequestState(StrEnum):
    """What became of a request to the daemon."""

    PENDING = "pending"
    """It lies in its file; the journal does not know it yet."""
    QUEUED = "queued"
    DONE = "done"
    REFUSED = "refused"


class DriftState(StrEnum):
    """What a check for drift found."""

    OK = "ok"
    DRIFT = "drift"
    WAITING = "waiting"
    """There is too little to compare."""


class Level(StrEnum):
    """How grave an event is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class EventKind(StrEnum):
    """Kinds of events; docs/events.md says what each tells."""

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
    WORKER = "worker"
    HISTORY = "history"
    REPAIRED = "repaired"
    MOVED = "moved"
    PROBLEM = "problem"
    HEALED = "healed"


class CheckName(StrEnum):
    """What the health looks at: the names of its checks, and of the duties that can fail and are shown there only then."""

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
    FORGETTING = "forgetting"
    EXAMS = "exams"
    LIVE = "live"
    STORAGE = "storage"
    PROJECTION = "projection"
    # Shown only while there is something to say
    HELD = "held"
    TRAINING = "training"
    ORPHANS = "orphans"
    PROMOTION = "promotion"
    REQUESTS = "requests"
    REJECTED = "rejected"
    PACKING = "packing"
    DRIFT = "drift"
    POINTER = "pointer"
    # What a worker, the command line or the page see themselves
    MODEL = "model"
    DAEMON = "daemon"
    PREDICTION_LOG = "prediction_log"
    PROMOTED_VERSION = "promoted_version"
    CHALLENGER = "challenger"
    WORKER = "worker"
    RECORDS = "records"


class Trigger(StrEnum):
    """What starts a training: with one of these its reason begins, unless it begins with a number of new rows."""

    FORCED = "requested, forced"
    REQUESTED = "requested"
    FIRST = "first model"
    FORGOTTEN = "rows were forgotten"
    SCHEDULE = "schedule"
    DRIFT = "drift"
    LIVE = "live score"


ALARMS = (Trigger.DRIFT, Trigger.LIVE)
"""Triggers that the daemon sets off itself, because the served version does worse or is asked something else."""


T = TypeVar("T")


def of_type(kind: type[T], columns: Mapping[Any, Any]) -> T:
    """The columns of a row as the TypedDict `kind`: a text of a closed set becomes its member.

    A text that is no member, as a later release may have written, stays a text.
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
