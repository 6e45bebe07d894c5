"""Views: what is looked at, by people and by programs: figures, the dashboard, what happened and what became of it."""

import sqlite3
from collections.abc import Mapping
from typing import Any

import orjson

from daemon.core.status import Status
from daemon.records import lineage
from web.api import health
from web.auth.access import Caller
from web.http import payload
from web.http.problems import Problem
from web.http.reply import FOR_EVER, Reply
from web.metrics import totals
from web.worker import Worker

Query = Mapping[str, str]


class Views:
    """What one worker shows; each raises Problem or what the records raise. `query` is the query string's, read."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def root(self, accept: str, up: str) -> Reply:
        """The dashboard is the front page for people; KServe's clients ask here whether the server is alive."""
        return Reply(b"", 303, {"Location": f"{up}dashboard"}) if "text/html" in accept else told({"status": "alive"})

    def metrics(self, accept: str) -> Reply:
        """Figures as JSON; for a scraper, told by its Accept header, as exposition."""
        # Clients that want JSON may name text as well: axios does in all its requests.
        plain = "text/plain" in accept and "application/json" not in accept
        scraped = plain or "application/openmetrics-text" in accept
        return self.exposition(accept) if scraped else told(self._figures())

    def exposition(self, accept: str) -> Reply:
        """Figures for Prometheus."""
        from web.api import prometheus

        worker, records = self._worker, self._worker.records
        last, predictor = records.swaps.newest(1), worker.slot.current
        report = prometheus.Report(
            worker.totals(),
            records.totals.counts(),
            last[0]["id"] if last else 0,
            records.totals.labels(),
            records.versions.live(predictor.version) if predictor else None,
            self.drift(),
            worker.slot.status,
            predictor,
            self._agreement(predictor.version) if predictor else None,
            records.drops.prequential(),
            records.held.total(),
        )
        body, content_type = prometheus.expose(report, accept)
        return Reply(body, 200, {"Content-Type": content_type})

    def document(self) -> dict[str, Any]:
        """What the dashboard shows, as data."""
        from web.dashboard import page as dashboard

        worker = self._worker
        checks = health.checks(worker)
        try:
            return dashboard.document(
                worker.home, worker.records, worker.slot.status, self._figures(), worker.settings, checks
            )
        except sqlite3.Error as error:
            return dashboard.without_records(worker.home, worker.slot.status, worker.settings, checks, error)

    def page(self, caller: Caller, up: str) -> Reply:
        """The dashboard, with the buttons that the caller may use; links go by way of `up`."""
        from web.dashboard import page as dashboard

        return Reply(
            dashboard.render(self.document(), caller, up).encode(), 200, {"Content-Type": "text/html; charset=utf-8"}
        )

    def asset(self, name: str) -> Reply:
        """A style sheet, script or picture of the dashboard; its name carries a hash, so it may be kept for ever."""
        from web.dashboard import page as dashboard

        found = dashboard.asset(name)
        if found is None:
            raise Problem(404, f"There is no file {name!r:.200}.")
        body, content_type = found
        return Reply(body, 200, {"Content-Type": content_type, "Cache-Control": FOR_EVER})

    def history(self, query: Query) -> Reply:
        """Predictions, newest first."""
        limit = payload.number(query, "limit", 100, 1, 1000)
        version = payload.number(query, "version", None, 1)
        return _list("history", self._worker.records.predictions.newest(limit or 100, query.get("before"), version))

    def versions(self, query: Query) -> Reply:
        """Judged versions with their live scores (null before the first late label), newest first; `before` is the last one seen.

        `shadow` is how far one that was held agreed with the champion. `lineage` is where the whole chain of a version is told.
        """
        limit = payload.number(query, "limit", 100, 1, 1000)
        records = self._worker.records
        judged = records.versions.newest(limit or 100, payload.number(query, "before", None, 0))
        numbers = [row["version"] for row in judged]
        live, agreements = (
            records.versions.live_scores(judged),
            records.versions.agreements(self._worker.slot.version, numbers),
        )
        root = self._worker.settings.server.root_path
        rows = [
            {
                **row,
                "live": live.get(version),
                "shadow": agreements.get(version),
                "lineage": f"{root}/versions/{version}",
            }
            for row, version in zip(judged, numbers, strict=True)
        ]
        return _list("versions", rows, champion=self._worker.slot.version)

    def version(self, key: str, query: Query) -> Reply:
        """One version, from the drops of its training to the predictions that it made; `before` is the last drop seen."""
        limit = payload.number(query, "limit", lineage.SHOWN, 1, 1000)
        before = payload.number(query, "before", None, 0)
        number = payload.whole(key, 9) or 0
        found = self._worker.records.versions.lineage(number, limit or lineage.SHOWN, before)
        if found is None:
            raise Problem(404, f"There is no version {key!r:.60}.", hint="GET /versions lists them.")
        return told(found)

    def drops(self, query: Query) -> Reply:
        """Drops and what became of them, newest first; `before` is the id of the last one seen.

        `held` are those that wait for a person, longest first, of `held_total`. `waiting` is what else lies in the inbox, as the daemon last saw it (null: no
        daemon has said); `not_taken` is no file.
        """
        limit = payload.number(query, "limit", 100, 1, 1000) or 100
        records = self._worker.records
        rows = records.drops.newest(limit, payload.number(query, "before", None, 0))
        status = self._worker.slot.status
        waiting = _waiting(status) if status else None
        held = {"held": records.held.oldest(limit), "held_total": records.held.total()}
        return _list("drops", rows, **held, waiting=waiting, exams=records.drops.prequential())

    def drop(self, key: str) -> Reply:
        """What became of one drop, by sha256, id or name, and the versions trained on it; one that waits for a person comes first."""
        if held := self._worker.records.held.like(key):
            return told(held[0])
        found = self._worker.records.drops.find(key)
        if found is None:
            hint = "A file that has just been dropped appears once it is decided."
            raise Problem(404, f"There is no drop {key!r:.100}.", hint=hint)
        return told({**found, "taught": self._worker.records.drops.taught(found)})

    def events(self, query: Query) -> Reply:
        """Events after an id, oldest first; with Accept: text/event-stream the server streams them instead."""
        after = payload.number(query, "after", 0, 0)
        limit = payload.number(query, "limit", 200, 1, 1000)
        return _list("events", self._worker.records.events.after(after or 0, limit or 200))

    def drift(self) -> dict[str, Any]:
        """Whether the served version is asked what it was taught: the newest check, feature by feature."""
        from web.dashboard import drift

        return drift.newest(self._worker.records, self._worker.slot.version, self._worker.settings)

    def _agreement(self, champion: int) -> dict[str, Any] | None:
        """How far the held version agrees with the served one."""
        held = self._worker.slot.challenger
        return self._worker.records.versions.agreements(champion, [held]).get(held) if held else None

    def _figures(self) -> dict[str, Any]:
        worker = self._worker
        figures = totals.summary(worker.totals(), worker.records.totals.counts(), worker.slot.status, worker.uptime)
        return {**figures, "model_version": worker.slot.version}


def _waiting(status: Status) -> dict[str, Any]:
    """What lies in the inbox: drops that are to be read, and what is none (a link, a folder, a pipe), by name."""
    return {"files": status.backlog_files, "bytes": status.backlog_bytes, "not_taken": status.not_taken}


def told(content: dict[str, Any], status: int = 200) -> Reply:
    """A JSON object."""
    return Reply(orjson.dumps(content), status)


def _list(name: str, rows: list[dict[str, Any]], **more: Any) -> Reply:
    return told({name: rows, "count": len(rows), **more})
