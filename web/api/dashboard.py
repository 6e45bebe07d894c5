"""The data of the pages over HTTP, and their style sheets, scripts and pictures."""

import sqlite3
from typing import TYPE_CHECKING

from retraind.web.api import health
from retraind.web.api.figures import Figures
from retraind.web.http.problems import Problem
from retraind.web.http.reply import FOR_EVER, Reply, json_object
from retraind.web.worker_state import Worker

if TYPE_CHECKING:
    from retraind.web.dashboard.document import Document
    from retraind.web.dashboard.facts import Facts


class Dashboard:
    """The facts of one worker for its pages.

    The modules for them are imported at the first request.
    """

    def __init__(self, worker: Worker, figures: Figures) -> None:
        self._worker, self._figures = worker, figures

    def root(self, accept: str, up: str) -> Reply:
        """The front page: redirects browsers to the dashboard, and answers liveness to clients of KServe."""
        if "text/html" in accept:
            return Reply(b"", 303, {"Location": f"{up}dashboard"})
        return json_object({"status": "alive"})

    def document(self) -> "Document":
        """The content of the dashboard as data."""
        from retraind.web.dashboard import document

        worker = self._worker
        checks = health.checks(worker)
        try:
            return document.document(
                worker.home, worker.records, worker.slot.status, self._figures.summary(), worker.settings, checks
            )
        except sqlite3.Error as error:
            return document.without_records(worker.home, worker.slot.status, worker.settings, checks, error)

    def facts(self) -> "Facts":
        """The facts behind the state of the service; raises sqlite3.Error if the records can't be read."""
        from retraind.web.dashboard.answers import questions

        worker = self._worker
        return questions.gather(
            worker.home,
            worker.records,
            worker.slot.status,
            self._figures.summary(),
            worker.settings,
            health.checks(worker),
        )

    def asset(self, name: str) -> Reply:
        """A style sheet, script or picture of the pages; its name carries a hash, so it may be cached forever."""
        from retraind.web.pages import templates

        asset = templates.asset(name)
        if asset is None:
            raise Problem(404, f"There is no file {name!r:.200}.")
        body, content_type = asset
        return Reply(body, 200, {"Content-Type": content_type, "Cache-Control": FOR_EVER})
