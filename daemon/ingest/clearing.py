"""Clearing: takes finished drops out of the inbox; a drop that can't be removed is reported once and retried.

Such a file is not read again, and does not delay the others. The journal also records, with each rejection, which files
must still leave the inbox. So after a kill in between they are removed and not rejected a second time. The same holds
for a file that could not be removed.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from retraind.daemon.core import logs
from retraind.daemon.core.inbox_names import shown
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.inbox.inbox import Inbox
from retraind.daemon.inbox.settling import Stamp
from retraind.daemon.ingest import outcomes
from retraind.daemon.ingest.outcomes import Report
from retraind.daemon.ingest.refused_drops import PendingRemoval, Refused
from retraind.daemon.storage.journal import Journal

log = logs.Logger()

AGAIN_SECONDS = 60.0
"""Seconds between attempts to remove a file."""


KEY = "leaving"
"""The journal's key for the rejected files that must still leave the inbox."""


class Clearing:
    """Takes files out of the inbox; used by the loop thread."""

    def __init__(self, inbox: Inbox, journal: Journal) -> None:
        self._inbox, self._journal = inbox, journal
        self._stuck: dict[str, Callable[[], Mapping[str, OSError]]] = {}
        self._again_at = 0.0
        self._pending = {pending.name: pending for pending in map(_parsed, journal.key_values.get(KEY) or ())}

    def note(self, refused: Refused) -> None:
        """Record which files must leave, in the transaction that records why. `take_out` then removes them."""
        if refused.pending:
            self._journal.key_values.put(KEY, [*map(_as_json, self._pending.values()), *map(_as_json, refused.pending)])

    def take_out(self, refused: Refused) -> None:
        """Take rejected drops out of the inbox; raises OSError if that can't be made durable."""
        self._pending |= {pending.name: pending for pending in refused.pending}
        self.clear(refused.repeated)
        self.reject(refused.rejected)
        self._conclude(refused.pending)

    def resume(self, settled: Mapping[str, Stamp]) -> bool:
        """Take out settled files that a kill or a failure kept here after their rejection; True if there were any."""
        if not self._pending:
            return False
        here = [pending for pending in self._pending.values() if self._may_be_here(pending)]
        ready = [pending for pending in here if settled.get(pending.name) == pending.stamp]
        self.clear((pending.name, pending.sha256) for pending in ready if not pending.rejected)
        self.reject((pending.name, pending.stamp, self._report(pending)) for pending in ready if pending.rejected)
        self._conclude([*ready, *(pending for pending in self._pending.values() if pending not in here)])
        return bool(ready)

    def _may_be_here(self, pending: PendingRemoval) -> bool:
        return self._inbox.stamp(pending.name) == pending.stamp or self._inbox.awaits(pending.name)

    def _report(self, pending: PendingRemoval) -> Report:
        record = self._journal.drops.rejection(shown(pending.name), pending.sha256)
        assert record is not None
        return outcomes.report(record)

    def _conclude(self, gone: Iterable[PendingRemoval]) -> None:
        """Record that the files are gone, except those that can't be removed."""
        done = {pending.name for pending in gone} - self._stuck.keys()
        if done:
            self._pending = {name: pending for name, pending in self._pending.items() if name not in done}
            self._journal.key_values.put(KEY, [*map(_as_json, self._pending.values())])

    def clear(self, drops: Iterable[tuple[str, str]]) -> None:
        """Remove drops (name, sha256) whose rows are committed; raises OSError if that can't be made durable."""
        asked = list(drops)
        stuck, sha256s = self._inbox.clear(asked), {shown(name): sha256 for name, sha256 in asked}
        self._retry_later(stuck, {name: partial(self._inbox.clear, [(name, sha256s[shown(name)])]) for name in stuck})
        stamps = {name: self._inbox.stamp(name) for name in stuck}
        left = [
            PendingRemoval(name, stamp, sha256s[shown(name)], rejected=False) for name, stamp in stamps.items() if stamp
        ]
        if left:  # otherwise the next start would read them as new drops that add nothing
            self._pending |= {pending.name: pending for pending in left}
            self._journal.key_values.put(KEY, [*map(_as_json, self._pending.values())])

    def reject(self, refused: Iterable[tuple[str, Stamp, Report]]) -> None:
        """Move rejected drops (name, stamp, report) to `rejected/`; raises OSError if that can't be made durable."""
        asked = list(refused)
        stuck = self._inbox.reject(asked)
        self._retry_later(stuck, {one[0]: partial(self._inbox.reject, [one]) for one in asked})

    def try_again(self, now: float) -> None:
        """Once a minute, try again what failed; `now` is monotonic seconds."""
        if not self._stuck:
            self._again_at = now + AGAIN_SECONDS
        elif now >= self._again_at:
            self._again_at = now + AGAIN_SECONDS
            for name, take in list(self._stuck.items()):
                if take():
                    self._inbox.leave(name)
                else:
                    del self._stuck[name]
                    self._conclude([self._pending[name]] if name in self._pending else [])
                    log.info("taken_out_later", name=shown(name))

    def _retry_later(
        self, stuck: Mapping[str, OSError], again: Mapping[str, Callable[[], Mapping[str, OSError]]]
    ) -> None:
        for name, error in stuck.items():
            self._inbox.leave(name)
            self._stuck[name] = again[name]
            reason = error.strerror or error
            hint = f"It is tried again every {AGAIN_SECONDS:g} s; or remove it by hand."
            self._journal.events.record(
                EventKind.PROBLEM,
                f"{shown(name)} can't be removed from the inbox: {reason}. {hint}",
                level=Level.WARNING,
            )
            log.warning("left_in_inbox", name=shown(name), reason=str(error))


def _as_json(pending: PendingRemoval) -> list[Any]:
    stamp = pending.stamp
    return [pending.name, stamp.inode, stamp.size, stamp.modified, pending.sha256, pending.rejected]


def _parsed(plain: list[Any]) -> PendingRemoval:
    name, inode, size, modified, sha256, rejected = plain
    return PendingRemoval(name, Stamp(inode, size, modified), sha256, rejected)
