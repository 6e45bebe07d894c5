"""Requests of commands and HTTP workers to the loop, and its answers."""

from sqlalchemy import select, text

from retraind.daemon.core.journal_rows import RequestRow
from retraind.daemon.core.states import EventKind, RequestState
from retraind.daemon.core.status import utcnow
from retraind.daemon.storage.database import Database
from retraind.daemon.storage.entries.events import record_event
from retraind.daemon.storage.journal_tables import requests

# Upserts are spelt alike in SQLite and PostgreSQL, but SQLAlchemy has a construct of its own for each.
TAKE = text("""
INSERT INTO requests (id, kind, state, detail, at) VALUES (:id, :kind, :state, :detail, :at) ON CONFLICT (id) DO NOTHING""")


class Requests:
    """Requests and their answers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, request: str, kind: str, detail: str, at: str) -> None:
        """Record a request from its file; an already recorded request is not changed."""
        with self._database.writing() as connection:
            values = {"id": request, "kind": kind, "state": RequestState.QUEUED, "detail": detail, "at": at}
            connection.execute(TAKE, values)

    def get(self, request: str) -> RequestRow | None:
        """One request, or None if the loop has not recorded it yet."""
        return self._database.first(RequestRow, select(requests).where(requests.c.id == request))

    def queued(self) -> list[RequestRow]:
        """Requests not yet answered, oldest first."""
        return self._database.typed(
            RequestRow, select(requests).where(requests.c.state == RequestState.QUEUED).order_by(requests.c.at)
        )

    def end(self, request: str, state: RequestState, detail: str) -> None:
        """Answer a request: `done` or `refused`, with the reason."""
        with self._database.writing() as connection:
            values = {"state": state, "detail": detail, "ended_at": utcnow()}
            connection.execute(requests.update().where(requests.c.id == request).values(**values))
            # A refusal is no fault that waits for a person: whoever asked gets the reason.
            record_event(connection, EventKind.REQUEST, f"Request {request[:8]} {state}: {detail}")
