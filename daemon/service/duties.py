"""Duties: periodic work, each duty with its own period. A new duty is one more line of `duties`."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from retraind.daemon.attention.acknowledging import Acknowledging
from retraind.daemon.core import clock, logs, requests
from retraind.daemon.core.states import CheckName, EventKind, Level
from retraind.daemon.inbox.rejected_retention import Retention
from retraind.daemon.processes.reaper import Orphans
from retraind.daemon.service.health import Health
from retraind.daemon.service.parts import Parts
from retraind.daemon.service.registry_follower import RegistryFollower

log = logs.Logger()

TIDY_SECONDS = 3600.0
"""Seconds between two removals of old data; a failed duty is retried after TIDY_AGAIN_SECONDS."""

TIDY_AGAIN_SECONDS = 30.0

TRIM_SECONDS = 60.0
"""Seconds between two removals of old events from the journal; each takes a few milliseconds."""

PACK_SECONDS = 20.0
"""Seconds between two checks of whether git's objects need packing; each also removes some of DVC's old lists."""


STORAGE_SECONDS = 5.0
"""Interval of checks that the object store has the schema."""


class Duty(NamedTuple):
    """Work that runs every `every` seconds (0: at each tick); `name` identifies it in health and log."""

    name: CheckName
    every: float
    run: Callable[[float], object]
    """Called with the time in monotonic seconds."""


class Duties:
    """Runs each duty when it is due; a failed duty delays no other. Used by the loop thread."""

    def __init__(self, duties: Sequence[Duty], health: Health) -> None:
        self._duties, self._health = duties, health
        self._due_at: dict[CheckName, float] = {}

    def run(self, now: float) -> None:
        """Run what is due; `now` is monotonic seconds."""
        for duty in self._duties:
            if now >= self._due_at.get(duty.name, 0.0):
                succeeded = self._health.guard(duty.name, partial(duty.run, now))
                self._due_at[duty.name] = now + (duty.every if succeeded else TIDY_AGAIN_SECONDS if duty.every else 0.0)


def duties(parts: Parts, health: Health, follower: RegistryFollower) -> list[Duty]:
    """Every duty of the daemon, in the order of a tick."""
    orphans, retention = Orphans(), Retention(parts.home, parts.settings.inbox.rejected_days)
    acknowledging = Acknowledging(parts.home, parts.journal)
    promotion, kept = parts.promotion, parts.settings.journal.keep_events

    def reconsider(_: float) -> None:
        if promotion.reconsider(parts.workers.complaints):
            follower.look_soon()  # another version must be adopted

    def report(kind: EventKind, sentences: Iterable[str]) -> None:
        for sentence in sentences:
            log.warning(kind.value, detail=sentence)
            health.record_event(kind, sentence, level=Level.WARNING)

    def answer(now: float) -> None:
        served = promotion.served()
        for notice in parts.outbox.step(now, served[0] if served else None):
            health.record_event(notice.kind, notice.sentence, level=notice.level)

    def requested() -> None:
        report(EventKind.REQUEST, requests.set_aside(parts.home))
        acknowledging.answer()

    old = parts.old_predictions
    archive = [] if old is None else [Duty(CheckName.ARCHIVE, 0.0, old.step)]
    storage = [Duty(CheckName.STORAGE, STORAGE_SECONDS, parts.ingestion.stored.tend)]
    return [
        Duty(CheckName.WORKERS, 0.0, lambda _: report(EventKind.WORKER, parts.workers.take_notices())),
        Duty(CheckName.ORPHANS, 0.0, orphans.reap),
        Duty(CheckName.PROMOTION, 0.0, reconsider),
        Duty(CheckName.INBOX, 0.0, lambda now: report(EventKind.INBOX, parts.watcher.watch(now))),
        Duty(CheckName.DATA, 0.0, parts.ingestion.upkeep.look),
        Duty(CheckName.REQUESTS, 0.0, lambda _: requested()),
        Duty(CheckName.HISTORY, 0.0, lambda _: report(EventKind.HISTORY, parts.history_copier.take_notices())),
        Duty(CheckName.REJECTED, TIDY_SECONDS, lambda _: retention.sweep(clock.read())),
        Duty(
            CheckName.REGISTRY, TIDY_SECONDS, lambda _: promotion.clear(training=parts.retraining.progress is not None)
        ),
        Duty(CheckName.JOURNAL, TRIM_SECONDS, lambda _: parts.journal.trim(kept)),
        Duty(CheckName.PACKING, PACK_SECONDS, parts.packing.step),
        Duty(CheckName.OUTBOX, 0.0, answer),
        Duty(CheckName.DRIFT, 0.0, lambda now: parts.driftwatch.step(now, promotion.served())),
        *archive,
        *(storage if parts.store is not None else ()),
    ]
