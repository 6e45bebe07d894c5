"""The page of what waits: files, held drops, requests, the training that runs, and what happens next."""

from collections.abc import Mapping

from retraind.daemon.core.settings import Settings
from retraind.web.lists import queue
from retraind.web.lists.parameters import read
from retraind.web.pages.frame import PageRequest


def content(request: PageRequest) -> Mapping[str, object]:
    """The queue now; raises Problem 400 for a query, sqlite3.Error."""
    read(request.query, ())
    facts = request.facts
    waiting = queue.read(request.home, request.records, facts.settings or Settings(), facts.status)
    # The frame has its own time.
    return {"queue": waiting}
