"""Requests to train: they stay files until the journal has them, so that requests during a training share the next one."""

from collections.abc import Sequence

from retraind.daemon.core import requests
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import RequestRow
from retraind.daemon.core.requests import Request
from retraind.daemon.core.states import RequestState
from retraind.daemon.storage.journal import Journal

KIND = "retrain"


class TrainingRequests:
    """Takes and answers requests to train; used by the loop thread."""

    def __init__(self, home: Home, journal: Journal) -> None:
        self._home, self._journal = home, journal

    def waiting(self) -> list[Request]:
        """Requests that are still files."""
        return [request for request in requests.pending(self._home) if request.kind == KIND]

    def take(self) -> list[RequestRow]:
        """Record the waiting requests; returns all recorded, unanswered ones."""
        waiting = self.waiting()
        if waiting:
            with self._journal.together():
                for request in waiting:
                    detail = "forced" if request.force else "if there are new rows"
                    self._journal.requests.take(request.id, KIND, detail, request.at.isoformat())
            requests.consume(self._home, *waiting)
        return [request for request in self._journal.requests.queued() if request["kind"] == KIND]

    def end(self, queued: Sequence[RequestRow], state: RequestState, detail: str) -> None:
        """Answer all of them."""
        with self._journal.together():
            for request in queued:
                self._journal.requests.end(request["id"], state, detail)
