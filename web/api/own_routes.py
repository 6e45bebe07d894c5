"""The tables of our own routes: what answers each path. `app.py` puts the checks in front and adds them to Bottle."""

from collections.abc import Callable, Mapping
from typing import Any

from bottle import request, response

from retraind.daemon.core.scopes import Scope
from retraind.web.api import commands, docs, explain, health, node, pages, sign_in
from retraind.web.api.dashboard import Dashboard
from retraind.web.api.figures import Figures
from retraind.web.api.views import Views
from retraind.web.auth.access import CALLER, LOCAL
from retraind.web.http.reply import Reply, json_object
from retraind.web.http.wsgi_environ import up
from retraind.web.worker_state import Worker

Route = Callable[..., Any]


def read(worker: Worker, figures: Figures) -> dict[str, Route]:
    """GET: pages, health, metrics and records, by the template of the path."""
    return {**_pages(worker, figures), **_status(worker, figures), **_records(worker)}


def _pages(worker: Worker, figures: Figures) -> dict[str, Route]:
    """GET: pages for browsers, and their files."""
    dashboard, described = Dashboard(worker, figures), docs.Pages(worker)
    return {
        "/": lambda: send(dashboard.root(request.get_header("Accept", "text/html"), up(request.environ))),
        "/sign-in": lambda: send(sign_in.page(request.environ)),
        **{
            path: _replying(page)
            for path, page in pages.Pages(worker, dashboard).routes().items()
            if path not in explain.WAITING
        },
        "/dashboard/data": lambda: _json(200, dashboard.document()),
        "/static/<name>": lambda name: send(dashboard.asset(name)),
        "/openapi.json": lambda: send(
            described.description(request.get_header("If-None-Match", ""), secured=request.environ[CALLER] is not LOCAL)
        ),
        "/docs": lambda: send(described.page(up(request.environ))),
        "/docs/<release>/<name>": lambda release, name: send(described.asset(release, name)),
    }


def _status(worker: Worker, figures: Figures) -> dict[str, Route]:
    """GET: health and metrics, for supervisors and scrapers."""
    return {
        "/health": lambda: _json(*health.health(worker, full=_may_read())),
        "/livez": lambda: _json(200, {"status": "alive"}),
        "/readyz": lambda: _json(*health.readiness(worker, full=_may_read())),
        "/leadz": lambda: _json(*node.leading(worker)),
        "/metrics": lambda: send(figures.metrics(request.get_header("Accept", ""))),
        "/prometheus_metrics": lambda: send(figures.exposition(request.get_header("Accept", ""))),
    }


def _records(worker: Worker) -> dict[str, Route]:
    """GET: the records."""
    views = Views(worker)
    return {
        "/predictions/history": lambda: send(views.history(request.query)),
        "/predictions/<key>": lambda key: send(views.prediction(key)),
        "/versions": lambda: send(views.versions(request.query)),
        "/versions/<key>": lambda key: send(views.version(key, request.query)),
        "/versions/<key>/export": lambda key: send(views.export(key, request.query)),
        "/drops": lambda: send(views.drops(request.query)),
        "/drops/<key>": lambda key: send(views.drop(key)),
        "/drops/<key>/columns": lambda key: send(views.columns(key)),
        "/drops/<key>/rows": lambda key: send(views.rows(key, request.query)),
        "/drops/<key>/bad.csv": lambda key: send(views.bad_rows(key)),
        "/compare": lambda: send(views.compare(request.query)),
        "/drift": lambda: _json(200, views.drift()),
        "/trends": lambda: send(views.trends(request.query)),
        "/events": lambda: send(views.events(request.query)),
        "/queue": lambda: send(views.queue(request.query)),
        "/settings": lambda: send(views.settings(request.query)),
        "/uploads/<key>": lambda key: send(views.upload(key)),
        "/requests/<key>": lambda key: _json(*commands.find_request(worker, key)),
    }


def write(worker: Worker) -> dict[str, Route]:
    """POST: rows and requests for the daemon."""
    return {
        "/add_training_data": lambda: _json(*commands.add_training_data(worker, request.environ)),
        "/trigger_retrain": lambda: _json(*commands.trigger_retrain(worker, request.environ)),
        "/promote": lambda: _json(*commands.choose(worker, request.environ, "promote")),
        "/refuse": lambda: _json(*commands.choose(worker, request.environ, "refuse")),
        "/rollback": lambda: _json(*commands.choose(worker, request.environ, "rollback")),
        "/accept": lambda: _json(*commands.decide(worker, request.environ, "accept")),
        "/reject": lambda: _json(*commands.decide(worker, request.environ, "reject")),
        "/forget": lambda: _json(*commands.forget(worker, request.environ)),
        "/acknowledge": lambda: _json(*commands.acknowledge(worker, request.environ)),
    }


def uploading(worker: Worker) -> Route:
    """POST /drops: a file for the inbox."""

    def take() -> bytes:
        from retraind.web.uploads import receiving  # at the first of them

        return send(receiving.send(worker, request.environ))

    return take


def send(reply: Reply) -> bytes:
    """The body of a reply, for Bottle; status and headers go to the answer under way."""
    if reply.status != 200:  # Bottle's default
        response.status = reply.status
    for name, value in reply.headers.items():
        response.set_header(name, value)
    return reply.body


def _json(status: int, content: Mapping[str, object]) -> bytes:
    return send(json_object(content, status))


def _may_read() -> bool:
    return Scope.READ in request.environ[CALLER].scopes


def _replying(page: Callable[..., Reply]) -> Route:
    return lambda **parts: send(page(request.environ, request.query, **parts))
