"""The HTTP routes, as a Bottle application."""

import re
from collections.abc import Callable
from typing import Any

import orjson
from bottle import Bottle, HTTPError, HTTPResponse, request, response

from daemon import lineage
from daemon.bundle import MODEL
from web import docs, doors, health, intake, payload, predicting, reply, security, shapes, totals
from web.problems import Problem, explain
from web.reply import JSON, Reply
from web.worker import Worker

Route = Callable[..., Any]

INLINE = {
    "/health",
    "/livez",
    "/readyz",
    "/",
    "/ping",
    "/v2/health/live",
    "/v2/health/ready",
    f"/v2/models/{MODEL}/ready",
    f"/v1/models/{MODEL}",
}
"""Paths whose routes touch no disk: they run on the loop, as predictions do. All others run in a thread."""

UNMATCHED = "unmatched"
"""Route under which requests to unknown paths are counted: a path is user text and must not become a label."""

EXPOSITIONS = ("application/openmetrics-text", "text/plain")


class App(Bottle):  # type: ignore[misc]
    """Bottle with problems for its own errors, told as the path's clients expect, and security headers on every answer."""

    def default_error_handler(self, res: HTTPError) -> bytes:
        """404 and 405, as Bottle raises them."""
        told = f"There is nothing at {request.path!r:.200}."
        if allowed := response.get_header("Allow"):
            if "GET" in allowed:
                response.set_header("Allow", f"{allowed},HEAD")
            told = f"{request.method} is not possible here; {allowed} is."
        problem = shapes.dress(Problem(res.status_code, told), request.path)
        res.content_type = response.content_type = problem.content_type
        return bytes(problem.body)

    def wsgi(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """The WSGI interface."""

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            kept = any(name == "Cache-Control" for name, _ in headers)
            return start_response(
                status, [*headers, *security.HEADERS, *([] if kept else [security.NO_STORE])], exc_info
            )

        return super().wsgi(environ, start)


def make_app(worker: Worker) -> App:
    """The application of one worker."""
    # What nobody expected goes up to the server, which logs it and answers 500.
    app = App()
    app.config["catchall"] = False
    guard = security.Guard(worker.settings.server, worker.home.token)
    app.add_hook("before_request", _checked(lambda: guard.host(request.environ)))
    views, pages = Views(worker), docs.Pages(worker)
    reading: dict[str, Route] = {
        "/": views.root,
        "/health": lambda: _json(*health.health(worker)),
        "/livez": lambda: _json(200, {"status": "alive"}),
        "/readyz": lambda: _json(*health.readiness(worker)),
        "/metrics": views.metrics,
        "/prometheus_metrics": views.exposition,
        "/dashboard": views.page,
        "/dashboard/data": lambda: _json(200, views.document()),
        "/static/<name>": views.asset,
        "/openapi.json": lambda: _reply(pages.description(request.get_header("If-None-Match", ""))),
        "/docs": lambda: _reply(pages.page()),
        "/docs/<release>/<name>": lambda release, name: _reply(pages.asset(release, name)),
        "/predictions/history": views.history,
        "/versions": views.versions,
        "/versions/<key>": views.version,
        "/drops": views.drops,
        "/drops/<key>": views.drop,
        "/drift": lambda: _json(200, views.drift()),
        "/events": views.events,
        "/requests/<key>": lambda key: _json(*intake.find_request(worker, key)),
    }
    writing: dict[str, Route] = {
        "/add_training_data": lambda: _json(*intake.add_training_data(worker, request.environ)),
        "/trigger_retrain": lambda: _json(*intake.trigger_retrain(worker, request.environ)),
        "/promote": lambda: _json(*intake.choose(worker, request.environ, "promote")),
        "/refuse": lambda: _json(*intake.choose(worker, request.environ, "refuse")),
        "/rollback": lambda: _json(*intake.choose(worker, request.environ, "rollback")),
    }
    for path, route in reading.items():
        app.route(path, "GET", _checked(route))
    for path, route in writing.items():
        app.route(path, "POST", _checked(route, guard.write, guard.token))
    app.route(
        "/predict",
        "POST",
        _checked(lambda: _reply(predicting.predict(worker, request.environ)), guard.write, payload.uncompressed),
    )
    app.router.add_filter("part", lambda _: (r"[^/:]+", None, None))
    for path, door in doors.READING.items():
        app.route(_rule(path), "GET", _checked(_door(worker, door)), name=path)
    for path, door in doors.POSTING.items():
        app.route(_rule(path), "POST", _checked(_door(worker, door), guard.site, payload.uncompressed), name=path)
    return app


class Views:
    """The reading routes; each returns bytes or an HTTPResponse, or raises Problem."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def root(self) -> HTTPResponse:
        """The dashboard is the front page for people; KServe's clients ask here whether the server is alive."""
        if "text/html" in request.get_header("Accept", "text/html"):
            return HTTPResponse(b"", 303, {"Location": "/dashboard"})
        return _json(200, {"status": "alive"})

    def metrics(self) -> HTTPResponse:
        """Figures as JSON; for a scraper, told by its Accept header, as exposition."""
        accept = request.get_header("Accept", "")
        return self.exposition() if any(kind in accept for kind in EXPOSITIONS) else _json(200, self._figures())

    def exposition(self) -> HTTPResponse:
        """Figures for Prometheus."""
        from web import exposition

        worker, records = self._worker, self._worker.records
        last, predictor = records.swaps(1), worker.slot.current
        report = exposition.Report(
            worker.totals(),
            records.counts(),
            last[0]["id"] if last else 0,
            records.labels(),
            records.live(predictor.version) if predictor else None,
            self.drift(),
            worker.slot.status,
            predictor,
            records.agreements(predictor.version).get(worker.slot.challenger or 0) if predictor else None,
        )
        body, content_type = exposition.expose(report, request.get_header("Accept", ""))
        return HTTPResponse(body, 200, {"Content-Type": content_type})

    def document(self) -> dict[str, Any]:
        """What the dashboard shows, as data."""
        from web import dashboard

        worker = self._worker
        return dashboard.document(worker.home, worker.records, worker.slot.status, self._figures(), worker.settings)

    def page(self) -> HTTPResponse:
        """The dashboard."""
        from web import dashboard

        return HTTPResponse(dashboard.render(self.document()), 200, {"Content-Type": "text/html; charset=utf-8"})

    def asset(self, name: str) -> HTTPResponse:
        """A style sheet, script or picture of the dashboard; its name carries a hash, so it may be kept for ever."""
        from web import dashboard

        found = dashboard.asset(name)
        if found is None:
            raise Problem(404, f"There is nothing at {request.path!r:.200}.")
        body, content_type = found
        return HTTPResponse(body, 200, {"Content-Type": content_type, "Cache-Control": reply.FOR_EVER})

    def history(self) -> HTTPResponse:
        """Predictions, newest first."""
        limit = payload.number(request.query, "limit", 100, 1, 1000)
        version = payload.number(request.query, "version", None, 1)
        return _list("history", self._worker.records.history(limit or 100, request.query.get("before"), version))

    def versions(self) -> HTTPResponse:
        """All judged versions with their live scores (null before the first late label), newest first.

        `shadow` is how far one that was held agreed with the champion. `lineage` is where the whole chain of a version is told.
        """
        records = self._worker.records
        live = records.live_scores()
        more = ((row, row["version"]) for row in records.versions())
        agreements = records.agreements(self._worker.slot.version)
        rows = [
            {**row, "live": live.get(version), "shadow": agreements.get(version), "lineage": f"/versions/{version}"}
            for row, version in more
        ]
        return _list("versions", rows, champion=self._worker.slot.version)

    def version(self, key: str) -> HTTPResponse:
        """One version, from the drops that taught it to the predictions that it made; `before` is the last drop seen."""
        limit = payload.number(request.query, "limit", lineage.SHOWN, 1, 1000)
        before = payload.number(request.query, "before", None, 0)
        number = int(key) if key.isdecimal() and len(key) < 10 else 0
        found = self._worker.records.lineage(number, limit or lineage.SHOWN, before)
        if found is None:
            raise Problem(404, f"There is no version {key!r:.60}.", hint="GET /versions lists them.")
        return _json(200, found)

    def drops(self) -> HTTPResponse:
        """Drops and what became of them, newest first; `before` is the id of the last one seen.

        `waiting` is what lies in the inbox, as the daemon last saw it (null: no daemon has said).
        """
        limit = payload.number(request.query, "limit", 100, 1, 1000)
        rows = self._worker.records.drops(limit or 100, payload.number(request.query, "before", None, 0))
        status = self._worker.slot.status
        waiting = {"files": status.backlog_files, "bytes": status.backlog_bytes} if status else None
        return _list("drops", rows, waiting=waiting)

    def drop(self, key: str) -> HTTPResponse:
        """What became of one drop, by sha256, id or name, and the versions that it taught."""
        found = self._worker.records.drop(key)
        if found is None:
            hint = "A file that has just been dropped appears once it is decided."
            raise Problem(404, f"There is no drop {key!r:.100}.", hint=hint)
        return _json(200, {**found, "taught": self._worker.records.taught(found)})

    def events(self) -> HTTPResponse:
        """Events after an id, oldest first; with Accept: text/event-stream the server streams them instead."""
        after = payload.number(request.query, "after", 0, 0)
        limit = payload.number(request.query, "limit", 200, 1, 1000)
        return _list("events", self._worker.records.events(after or 0, limit or 200))

    def drift(self) -> dict[str, Any]:
        """Whether the served version is asked what it was taught: the newest check, feature by feature."""
        from web import drift

        return drift.newest(self._worker.records, self._worker.slot.version, self._worker.settings)

    def _figures(self) -> dict[str, Any]:
        worker = self._worker
        figures = totals.summary(worker.totals(), worker.records.counts(), worker.slot.status, worker.uptime)
        return {**figures, "model_version": worker.slot.version}


def _checked(route: Route, *checks: Callable[[Any], None]) -> Route:
    def call(**arguments: str) -> Any:
        try:
            for check in checks:
                check(request.environ)
            return route(**arguments)
        except Problem as problem:
            raise shapes.dress(problem, request.path) from None
        except HTTPResponse:
            raise
        # Everything that is expected has an explanation; the rest goes on to Bottle, the log and a 500.
        except Exception as error:
            explained = explain(error)
            if explained is None:
                raise
            raise shapes.dress(explained, request.path) from error

    return call


def _rule(path: str) -> str:
    """A door's path as a rule of Bottle: what a place takes ends at a colon, which begins the verb behind it."""
    # A bare colon in a rule is an old way to write a name, of which Bottle warns even if it is escaped.
    return re.sub(r"(:\w+)$", r"<:re:\1>", path.replace(">", ":part>"))


def _door(worker: Worker, door: doors.Door) -> Route:
    return lambda **place: _reply(door(worker, request.environ, **place))


def _reply(given: Reply) -> bytes:
    if given.status != 200:  # which Bottle starts with
        response.status = given.status
    for name, value in given.headers.items():
        response.set_header(name, value)
    return given.body


def _json(status: int, content: dict[str, Any]) -> HTTPResponse:
    return HTTPResponse(orjson.dumps(content), status, {"Content-Type": JSON})


def _list(name: str, rows: list[dict[str, Any]], **more: Any) -> HTTPResponse:
    return _json(200, {name: rows, "count": len(rows), **more})
