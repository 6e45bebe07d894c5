"""The text of a notice, for people and as JSON."""

import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from retraind.daemon.core.journal.notices import NoticeKind
from retraind.daemon.core.journal_rows import EventRow
from retraind.daemon.core.states import EventKind, Level

LINES = 10
"""Maximum number of events whose texts are part of a notice."""

LONGEST = 500
"""Maximum length of the text of one event."""

TITLES: dict[NoticeKind, tuple[str, str]] = {
    NoticeKind.REJECTED: ("a file has rejected rows", "{} files have rejected rows"),
    NoticeKind.UNANSWERED: ("a file was not answered", "{} files were not answered"),
    NoticeKind.HELD: ("a drop or version needs a look", "{} drops or versions need a look"),
    NoticeKind.REFUSED: ("a version was refused", "{} versions were refused"),
    NoticeKind.ROLLED_BACK: ("a version was rolled back", "{} versions were rolled back"),
    NoticeKind.FAILED: ("a training or version failed", "{} trainings or versions failed"),
    NoticeKind.UNHEALTHY: ("a check fails", "{} checks fail"),
    NoticeKind.HEALED: ("a check passes again", "{} checks pass again"),
    NoticeKind.DRIFT: ("drift", "{} changes of drift"),
    NoticeKind.PROMOTED: ("a version was promoted", "{} versions were promoted"),
    NoticeKind.SILENT: ("no drop has come", "no drop has come, {} times"),
}
"""Titles for one event and for several."""

GOOD = (NoticeKind.HEALED, NoticeKind.PROMOTED)


class Origin(NamedTuple):
    """The service that notices come from."""

    home: str
    url: str
    """`server.public_url`; may be empty."""


@dataclass(frozen=True)
class Notice:
    """A notice as it is sent."""

    token: str
    """Its name, the same at every attempt, so that a receiver can recognise a repetition."""
    kind: NoticeKind | None
    """None for a test."""
    at: str
    count: int
    title: str
    events: Sequence[EventRow]
    """Its first events."""
    origin: Origin

    @property
    def level(self) -> Level:
        """The worst level of its events; a bad kind is at least a warning."""
        levels = {event["level"] for event in self.events}
        if self.kind in GOOD or self.kind is None:
            return Level.INFO
        return Level.ERROR if Level.ERROR in levels else Level.WARNING

    @property
    def text(self) -> str:
        """The body for people: a line for each event."""
        lines = [f"{event['at']}  {_cut(event['message'])}" for event in self.events]
        more = self.count - len(self.events)
        lines += [f"… and {more} more; `retraind status` and GET /events have all of them."] if more > 0 else []
        place = [f"Dashboard: {self.origin.url}/dashboard"] if self.origin.url else []
        return "\n".join([*lines, "", *place, f"Home: {self.origin.home}"])

    def body(self) -> bytes:
        """The notice as JSON, for the webhook and the command; docs/operations.md has the fields."""
        document: dict[str, Any] = {
            "id": self.token,
            "kind": self.kind.value if self.kind else "test",
            "level": self.level.value,
            "at": self.at,
            "host": socket.gethostname(),
            "home": self.origin.home,
            "url": self.origin.url,
            "title": self.title,
            "text": self.text,
            "count": self.count,
            "events": [{**event, "message": _cut(event["message"])} for event in self.events],
        }
        return json.dumps(document, ensure_ascii=False).encode()


def compose(origin: Origin, token: str, kind: NoticeKind, at: str, count: int, events: Sequence[EventRow]) -> Notice:
    """A notice of `count` events, of which `events` are the first."""
    single, several = _titles(kind, events)
    words = single if count == 1 else several.format(count)
    return Notice(token, kind, at, count, _titled(words), events, origin)


def _titles(kind: NoticeKind, events: Sequence[EventRow]) -> tuple[str, str]:
    """The titles for one event and for several; a file that was rejected whole is more than one with rejected rows."""
    if kind == NoticeKind.REJECTED and any(event["kind"] == EventKind.REJECTED for event in events):
        whole = all(event["kind"] == EventKind.REJECTED for event in events)
        return (
            "a file was rejected",
            "{} files were rejected" if whole else "{} files were rejected or have rejected rows",
        )
    return TITLES[kind]


def trial(origin: Origin, token: str, at: str) -> Notice:
    """The notice that `retraind notify test` sends."""
    message = "This is a test of retraind's notifications: nothing has happened."
    event = unrecorded("test", at, Level.INFO, message)
    return Notice(token, None, at, 1, _titled("a test"), [event], origin)


def unrecorded(kind: str, at: str, level: Level, message: str) -> EventRow:
    """An event that is not in the journal."""
    return {
        "id": 0,
        "at": at,
        "kind": kind,
        "level": level,
        "message": message,
        "drop": None,
        "batch": None,
        "run": None,
        "version": None,
    }


def _titled(words: str) -> str:
    return f"retraind on {socket.gethostname()}: {words}"


def _cut(message: str) -> str:
    return message if len(message) <= LONGEST else f"{message[:LONGEST]}…"
