"""The notifier: records notices when they fall due, and has them sent. The loop calls `step` about once a second.

A notice and its deliveries are in the journal before the first attempt, and a delivery ends there after its target has
accepted it. So a killed daemon sends after its restart what was due. Only a kill between those two sends a notice
again, under the same token. The journal also has which attempts have begun, so that these cases are counted.
"""

import secrets
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from retraind.daemon.core import logs
from retraind.daemon.core.errors import RetraindError, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal.notices import BEGUN, EVENTS, KIND_OF, REPORTED, DeliveryState, NoticeKind
from retraind.daemon.core.journal_rows import DeliveryRow
from retraind.daemon.core.settings import Notify
from retraind.daemon.core.status import Check, utcnow
from retraind.daemon.notify import notice
from retraind.daemon.notify.grouping import Group, Rules, joined, moment, surplus
from retraind.daemon.notify.notice import Notice, Origin
from retraind.daemon.notify.pauses import Pauses
from retraind.daemon.notify.sender import Result, Sender
from retraind.daemon.notify.targets.configured import Targets
from retraind.daemon.notify.watches import Finding, HealthWatch, SilenceWatch
from retraind.daemon.processes.stop_signals import Wake
from retraind.daemon.records.events import SALT
from retraind.daemon.schema.score_names import counted
from retraind.daemon.storage.journal import Journal

log = logs.Logger()

MANY = 5000
"""Maximum number of events that are considered in one step."""


MOST_WAITING = 100
"""Maximum number of notices that wait for one target; the oldest of more are given up."""


class Unrecorded(NamedTuple):
    """A notice that can't be recorded, because the journal can't be written, and a target that has not got it."""

    target: str
    notice: Notice


class Notifier:
    """Notices from events to their targets; used by the loop thread."""

    def __init__(self, home: Home, settings: Notify, public_url: str, journal: Journal, wake: Wake) -> None:
        self._origin, self._settings, self._journal = Origin(str(home.root), public_url), settings, journal
        self._targets, self._sender, self._pauses = Targets(home, settings, self._salt()), Sender(wake), Pauses()
        self._rules, self._silence = Rules(settings), SilenceWatch(settings, journal)
        self._health = HealthWatch(settings, journal.key_values.get(REPORTED) or {})
        self._groups: dict[NoticeKind, Group] = {}
        self._last_times = journal.notices.last_times()
        self._due = journal.notices.due()
        self._unrecorded: list[Unrecorded] = []
        self._ended: list[tuple[int, DeliveryState, str | None]] = []
        self._failed: list[int] = []
        """Deliveries whose attempt has failed, so that a restart repeats nothing."""
        self._sent = self._given_up = 0
        self._repeated = sum(row["detail"] == BEGUN for row in self._due)
        if self._repeated:
            log.warning("notices_perhaps_repeated", notices=self._repeated)
        self._cursors = self._begin()
        self._read = min(self._cursors.values())
        """The number of the last event that was read."""
        self._events = [event for kind in settings.kinds for event in EVENTS[kind]]
        self._writes = -1

    def close(self) -> None:
        """End the threads, and record what they have sent."""
        self._sender.close()
        self._collect(0.0)
        with suppress(RetraindError):  # then it is sent again after the restart, under the same token
            self._record_ends()

    def step(self, checks: Mapping[str, Check], now: float) -> None:
        """Record what is new, and send what is due; `now` is monotonic seconds. Raises Unavailable."""
        self._collect(now)
        self._record_health(self._health.look(checks, now))
        try:
            self._record_ends()
            self._record(self._silence.look(now))
            self._take_events()
            self._record_notices()
        finally:
            self._dispatch(now)

    @property
    def problem(self) -> str | None:
        """Why notices are not delivered; None if they are."""
        if self._targets.problem:
            return self._targets.problem
        failing = self._pauses.problem()
        waiting = len({row["id"] for row in self._due})
        return f"{failing} Waiting: {counted(waiting, 'notice')}." if failing else None

    @property
    def sentence(self) -> str:
        """How it goes, for people."""
        names = ", ".join(self._targets.current())
        lost = f" Given up: {self._given_up}." if self._given_up else ""
        again = f" Perhaps sent twice, because the daemon ended meanwhile: {self._repeated}." if self._repeated else ""
        count = sum(group.count for group in self._groups.values())
        waiting = f" Waiting for their time: {counted(count, 'event')}." if count else ""
        return f"Notices go to {names}. Sent since the start: {self._sent}.{waiting}{lost}{again}"

    def _salt(self) -> str:
        salt = self._journal.key_values.get(SALT)
        if not isinstance(salt, str):
            salt = secrets.token_hex(16)
            self._journal.key_values.put(SALT, salt)
        return salt

    def _begin(self) -> dict[NoticeKind, int]:
        """By wanted kind, the last event that needs no further notice; for a new kind, the newest event."""
        stored, newest = self._journal.notices.cursors(), self._journal.events.newest_id()
        cursors = {kind: stored.get(kind.value, newest) for kind in self._settings.kinds}
        positions = {kind.value: number for kind, number in cursors.items()}
        if positions != stored:
            self._journal.notices.set_cursors(positions)
        return cursors

    def _collect(self, now: float) -> None:
        """Take the ends of attempts."""
        for result in self._sender.results():
            self._pauses.ended(result.target, result.problem, now)
            if result.problem is None:
                self._sent += 1
                self._remove(result)
            elif result.delivery is not None:
                self._failed.append(result.delivery)

    def _remove(self, result: Result) -> None:
        if result.delivery is None:
            first = next(one for one in self._unrecorded if one.target == result.target)
            self._unrecorded.remove(first)
            return
        self._due = [row for row in self._due if row["delivery"] != result.delivery]
        self._ended.append((result.delivery, DeliveryState.SENT, None))

    def _record_ends(self) -> None:
        if not self._ended and not self._failed:
            return
        with self._journal.together():
            for delivery, state, detail in self._ended:
                self._journal.notices.end(delivery, state, detail)
            for delivery in self._failed:
                self._journal.notices.note(delivery, None)
        self._ended.clear()
        self._failed.clear()

    def _record_health(self, findings: list[Finding]) -> None:
        """Record them as events. If the journal can't be written, which may be what they report, send them at once."""
        try:
            self._record(findings)
        except (Unavailable, OSError) as error:
            log.error("notice_not_recorded", reason=str(error))
            for kind in sorted({KIND_OF[finding.kind] for finding in findings} & set(self._settings.kinds)):
                self._send_unrecorded(kind, [finding for finding in findings if KIND_OF[finding.kind] == kind])

    def _record(self, findings: list[Finding]) -> None:
        if not findings:
            return
        with self._journal.together():
            for finding in findings:
                self._journal.events.record(finding.kind, finding.message, level=finding.level)
            self._journal.key_values.put(REPORTED, self._health.reported)

    def _send_unrecorded(self, kind: NoticeKind, findings: list[Finding]) -> None:
        at = utcnow()
        events = [notice.unrecorded(finding.kind, at, finding.level, finding.message) for finding in findings]
        urgent = notice.compose(self._origin, secrets.token_hex(16), kind, at, len(events), events[: notice.LINES])
        self._unrecorded += [Unrecorded(name, urgent) for name in self._targets.current()]

    def _take_events(self) -> None:
        """Sort new events into groups, if the journal has changed since the last time."""
        if self._writes == self._journal.writes:
            return
        writes, now = self._journal.writes, datetime.now(UTC)
        events = self._journal.events.after(self._read, self._events, MANY)
        fresh = [event for event in events if not self._rules.is_stale(moment(event["at"]), now)]
        self._groups = joined(self._groups, fresh, self._cursors)
        self._read = events[-1]["id"] if events else self._read
        self._writes = -1 if len(events) == MANY else writes

    def _record_notices(self) -> None:
        """Record the groups that are due as notices, and give up those that are too old."""
        now = datetime.now(UTC)
        targets = self._targets.current()
        due = [
            group for group in self._groups.values() if self._rules.is_due(group, self._last_times.get(group.kind), now)
        ]
        if due and targets:
            with self._journal.together():
                for group in due:
                    self._journal.notices.record(group.kind, group.count, group.first, group.last, list(targets))
                self._journal.notices.set_cursors(self._cursors_without(due))
            for group in due:
                del self._groups[group.kind]
                self._last_times[group.kind] = now
            self._due = self._journal.notices.due()
        self._give_up(now, set(targets))

    def _cursors_without(self, due: list[Group]) -> dict[str, int]:
        """The cursors once these groups are notices: before the first event of a group that waits, else after all that were read."""
        waiting = {kind: group.first - 1 for kind, group in self._groups.items() if group not in due}
        return {kind.value: max(waiting.get(kind, self._read), self._cursors[kind]) for kind in self._settings.kinds}

    def _give_up(self, now: datetime, targets: set[str]) -> None:
        too_many = surplus(self._due, MOST_WAITING)
        for row in list(self._due):
            if row["target"] in self._sender.busy:
                continue
            reason = None
            if row["target"] not in targets and not self._targets.problem:
                reason = "Its target is no longer in the settings."
            elif self._rules.is_stale(moment(row["at"]), now):
                reason = "It was too old."
            elif row["delivery"] in too_many:
                reason = f"{MOST_WAITING} newer notices wait for its target."
            if reason is not None:
                log.warning("notice_given_up", notice=row["id"], target=row["target"], reason=reason)
                self._ended.append((row["delivery"], DeliveryState.GIVEN_UP, reason))
                self._due.remove(row)
                self._given_up += 1

    def _dispatch(self, now: float) -> None:
        """Send to each target that is ready its oldest notice."""
        for name, target in self._targets.current().items():
            if name in self._sender.busy or not self._pauses.ready(name, now):
                continue
            unrecorded = next((one for one in self._unrecorded if one.target == name), None)
            if unrecorded is not None:
                self._sender.send(target, None, unrecorded.notice)
                continue
            row = next((row for row in self._due if row["target"] == name), None)
            if row is not None:
                with suppress(Unavailable):  # the check `journal` reports it, and other targets may have other notices
                    composed = self._composed(row)
                    with suppress(Unavailable):  # then a repetition after a kill is not counted
                        self._journal.notices.note(row["delivery"], BEGUN)
                    self._sender.send(target, row["delivery"], composed)

    def _composed(self, row: DeliveryRow) -> Notice:
        events = self._journal.events.after(row["first"] - 1, EVENTS[row["kind"]], notice.LINES, until=row["last"])
        return notice.compose(self._origin, row["token"], row["kind"], row["at"], row["count"], events)
