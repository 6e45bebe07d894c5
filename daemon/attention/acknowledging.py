"""Acknowledging: a person says that a warning or an error has been seen to, so it no longer asks for attention.

Only what is over can be acknowledged. A fault that still holds stays visible until it ends, and a new fault is a new
event, which is not acknowledged yet.
"""

from collections.abc import Callable, Mapping

from retraind.daemon.core import requests
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal.notices import REPORTED
from retraind.daemon.core.journal_rows import EventRow
from retraind.daemon.core.requests import Request
from retraind.daemon.core.states import EventKind, Hold, Level, RequestState, VersionState
from retraind.daemon.schema.score_names import counted
from retraind.daemon.storage.journal import Journal

CHUNK = 2_000
"""Events in memory at a time."""

Answer = tuple[RequestState, str]


class Acknowledging:
    """Answers requests to acknowledge; used by the loop thread."""

    def __init__(self, home: Home, journal: Journal) -> None:
        self._home, self._journal = home, journal

    def answer(self) -> None:
        """Carry out all waiting requests; raises Unavailable."""
        waiting = [item for item in requests.pending(self._home) if item.kind == "acknowledge"]
        if not waiting:
            return
        with self._journal.together():
            for request in waiting:
                self._journal.requests.take(request.id, request.kind, _meant(request), request.at.isoformat())
                entry = self._journal.requests.get(request.id)
                if entry is not None and entry["state"] == RequestState.QUEUED:  # otherwise a kill left only its file
                    self._journal.requests.end(request.id, *self._carry_out(request))
        requests.consume(self._home, *waiting)

    def _carry_out(self, request: Request) -> Answer:
        if request.event is not None:
            return self._one(request.event, request.by)
        if request.drop is not None:
            return self._of_drop(request.drop, request.by)
        return self._all(request.until or 0, request.by)

    def _one(self, number: int, by: str) -> Answer:
        event = self._journal.acknowledgements.event(number)
        if event is None:
            return RequestState.REFUSED, f"There is no event {number}; `retraind events` lists them."
        if event["level"] == Level.INFO:
            return RequestState.REFUSED, f"Event {number} is neither a warning nor an error: nothing to acknowledge."
        if earlier := self._journal.acknowledgements.get(number):
            return RequestState.DONE, f"Event {number} was acknowledged before, by {earlier['by']} at {earlier['at']}."
        return self._some([event], by)

    def _of_drop(self, sha256: str, by: str) -> Answer:
        events = self._journal.acknowledgements.of_drop(sha256, CHUNK)
        earlier = None if events else self._journal.acknowledgements.newest_of_drop(sha256)
        if earlier is not None:
            return RequestState.DONE, f"It was acknowledged before, by {earlier['by']} at {earlier['at']}."
        return self._some(events, by)

    def _some(self, events: list[EventRow], by: str) -> Answer:
        if not events:
            return RequestState.REFUSED, "There is no warning or error to acknowledge."
        count, holding = self._record(events, by)
        if not count:
            return RequestState.REFUSED, f"Not acknowledged, because it is not over: {holding}"
        rest = f" Not the rest, which is not over: {holding}" if holding else ""
        return RequestState.DONE, f"{counted(count, 'event')} acknowledged.{rest}"

    def _all(self, until: int, by: str) -> Answer:
        total, reasons, after = 0, "", 0
        while events := self._journal.acknowledgements.open(after, until, CHUNK):
            count, holding = self._record(events, by)
            total, reasons, after = total + count, reasons or holding, events[-1]["id"]
        rest = f" Not what still holds: {reasons}" if reasons else ""
        return RequestState.DONE, f"{counted(total, 'event')} acknowledged.{rest}"

    def _record(self, events: list[EventRow], by: str) -> tuple[int, str]:
        """Acknowledge the events that are over; returns their number, and why the first of the others is not."""
        reasons = {event["id"]: self._holds(event) for event in events}
        over = [event for event in events if not reasons[event["id"]]]
        self._journal.acknowledgements.record(over, by)
        return len(over), next(filter(None, reasons.values()), "")

    def _holds(self, event: EventRow) -> str:
        """Why a fault still holds, and what ends it; empty if it is over."""
        holds: Mapping[str, Callable[[EventRow], str]] = {
            EventKind.UNHEALTHY: self._fails,
            EventKind.SUSPICIOUS: self._waits,
            EventKind.HELD: self._version_waits,
            EventKind.UNSERVABLE: self._is_unservable,
            EventKind.DRIFT: self._drifts,
            EventKind.SILENT: self._is_silent,
        }
        return holds[event["kind"]](event) if event["kind"] in holds else ""

    def _fails(self, event: EventRow) -> str:
        failing = self._journal.key_values.get(REPORTED) or {}
        name = next((name for name in failing if event["message"].startswith(f"The check {name} fails")), "")
        newest = self._journal.events.newest(EventKind.UNHEALTHY)
        # An earlier failure of the same check may be over; only the newest one tells.
        return f"the check {name} still fails." if name and newest and newest["id"] >= event["id"] else ""

    def _waits(self, event: EventRow) -> str:
        row = self._journal.held.among([event["drop"] or ""]).get(event["drop"] or "")
        waits = row is not None and row["state"] == Hold.WAITING
        return f"{row['name']} still waits; accept or reject it." if row is not None and waits else ""

    def _version_waits(self, event: EventRow) -> str:
        row, swap = self._journal.versions.get(event["version"] or 0), self._journal.swaps.last()
        waits = row is not None and row["state"] == VersionState.HELD
        newer = swap is None or swap["version"] < (event["version"] or 0)
        return f"version {event['version']} still waits; promote or refuse it." if waits and newer else ""

    def _is_unservable(self, event: EventRow) -> str:
        row, swap = self._journal.versions.get(event["version"] or 0), self._journal.swaps.last()
        newer = swap is None or swap["version"] < (event["version"] or 0)
        broken = row is not None and row["state"] == VersionState.UNSERVABLE and newer
        return f"version {event['version']} should serve and still can't." if broken else ""

    def _drifts(self, event: EventRow) -> str:
        check, swap = self._journal.drift_checks.last(), self._journal.swaps.last()
        alarm = check is not None and check["alarm"] and swap is not None and check["version"] == swap["version"]
        return "the inputs still differ from the training data." if alarm else ""

    def _is_silent(self, event: EventRow) -> str:
        last = self._journal.drops.last_decided_at()
        return "no drop has come since." if last is None or last < event["at"] else ""


def _meant(request: Request) -> str:
    """What a request is about, for the journal."""
    if request.event is not None:
        return f"event {request.event}"
    return f"drop {request.drop[:12]}" if request.drop else f"all until {request.until}"
