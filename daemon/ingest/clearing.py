"""Clearing: finished drops leave the inbox; one that can't be removed is reported once, and tried again until it can.

Such a file is not read again, and does not keep the others waiting. The refusal also records which files are still to go, so that
after a kill in between they go and are not refused a second time; so is a file that could not be removed.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from daemon.core import logs
from daemon.core.inbox_names import shown
from daemon.core.states import EventKind, Level
from daemon.inbox.inbox import Inbox
from daemon.inbox.settling import Stamp
from daemon.ingest import outcomes
from daemon.ingest.outcomes import Report
from daemon.ingest.refused_drops import Owed, Refused
from daemon.storage.journal import Journal

log = logs.Logger()

AGAIN_SECONDS = 60.0
"""How often a file that could not be removed is tried again."""


KEY = "leaving"
"""The journal's key of the refused files that are still to go."""


class Clearing:
    """Takes files out of the inbox; used by the loop thread."""

    def __init__(self, inbox: Inbox, journal: Journal) -> None:
        self._inbox, self._journal = inbox, journal
        self._stuck: dict[str, Callable[[], Mapping[str, OSError]]] = {}
        self._again_at = 0.0
        self._owed = {owed.name: owed for owed in map(_owed, journal.key_values.get(KEY) or ())}

    def note(self, refused: Refused) -> None:
        """Record which files are to go, as part of the transaction that says why. Then `take_out` does it."""
        if refused.owed:
            self._journal.key_values.put(KEY, [*map(_plain, self._owed.values()), *map(_plain, refused.owed)])

    def take_out(self, refused: Refused) -> None:
        """Take refused drops out of the inbox; raises OSError if that can't be made durable."""
        self._owed |= {owed.name: owed for owed in refused.owed}
        self.clear(refused.repeated)
        self.reject(refused.rejected)
        self._conclude(refused.owed)

    def go_on(self, settled: Mapping[str, Stamp]) -> bool:
        """Take out those of the settled files that were refused before a kill, or a failure, kept them here; True: there were some."""
        if not self._owed:
            return False
        here = [owed for owed in self._owed.values() if self._inbox.stamp(owed.name) == owed.stamp]
        ready = [owed for owed in here if settled.get(owed.name) == owed.stamp]
        self.clear((owed.name, owed.sha256) for owed in ready if not owed.rejected)
        self.reject((owed.name, owed.stamp, self._report(owed)) for owed in ready if owed.rejected)
        self._conclude([*ready, *(owed for owed in self._owed.values() if owed not in here)])
        return bool(ready)

    def _report(self, owed: Owed) -> Report:
        record = self._journal.drops.rejection(shown(owed.name), owed.sha256)
        assert record is not None
        return outcomes.report(record)

    def _conclude(self, gone: Iterable[Owed]) -> None:
        """Record that they are gone, except those that can't be removed."""
        done = {owed.name for owed in gone} - self._stuck.keys()
        if done:
            self._owed = {name: owed for name, owed in self._owed.items() if name not in done}
            self._journal.key_values.put(KEY, [*map(_plain, self._owed.values())])

    def clear(self, drops: Iterable[tuple[str, str]]) -> None:
        """Remove drops (name, sha256) whose rows are committed; raises OSError if that can't be made durable."""
        asked = list(drops)
        stuck, sha256s = self._inbox.clear(asked), {shown(name): sha256 for name, sha256 in asked}
        self._keep(stuck, {name: partial(self._inbox.clear, [(name, sha256s[shown(name)])]) for name in stuck})
        stamps = {name: self._inbox.stamp(name) for name in stuck}
        left = [Owed(name, stamp, sha256s[shown(name)], rejected=False) for name, stamp in stamps.items() if stamp]
        if left:  # otherwise the next start would read them as new drops, which add nothing
            self._owed |= {owed.name: owed for owed in left}
            self._journal.key_values.put(KEY, [*map(_plain, self._owed.values())])

    def reject(self, refused: Iterable[tuple[str, Stamp, Report]]) -> None:
        """Move refused drops (name, stamp, report) to `rejected/`; raises OSError if that can't be made durable."""
        asked = list(refused)
        stuck = self._inbox.reject(asked)
        self._keep(stuck, {one[0]: partial(self._inbox.reject, [one]) for one in asked})

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
                    self._conclude([self._owed[name]] if name in self._owed else [])
                    log.info("taken_out_later", name=shown(name))

    def _keep(self, stuck: Mapping[str, OSError], again: Mapping[str, Callable[[], Mapping[str, OSError]]]) -> None:
        for name, error in stuck.items():
            self._inbox.leave(name)
            self._stuck[name] = again[name]
            reason = error.strerror or error
            hint = f"It is tried again every {AGAIN_SECONDS:g} s; or remove it by hand."
            self._journal.events.tell(
                EventKind.PROBLEM,
                f"{shown(name)} can't be removed from the inbox: {reason}. {hint}",
                level=Level.WARNING,
            )
            log.warning("left_in_inbox", name=shown(name), reason=str(error))


def _plain(owed: Owed) -> list[Any]:
    stamp = owed.stamp
    return [owed.name, stamp.inode, stamp.size, stamp.modified, owed.sha256, owed.rejected]


def _owed(plain: list[Any]) -> Owed:
    name, inode, size, modified, sha256, rejected = plain
    return Owed(name, Stamp(inode, size, modified), sha256, rejected)
