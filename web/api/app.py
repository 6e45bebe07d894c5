"""The HTTP routes, as a Bottle application. `web/openapi/own_paths.py` describes the same paths for OpenAPI."""

import contextlib
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from wsgiref.types import WSGIEnvironment

from bottle import Bottle, HTTPError, request, response

from retraind.daemon.artifacts.manifest import MODEL
from retraind.web.api import direct_route, explain, node, own_routes, pages, predict, sign_in
from retraind.web.api.dashboard import Dashboard
from retraind.web.api.direct_route import Answer, Check, DirectRoute
from retraind.web.api.figures import Figures
from retraind.web.api.own_routes import Route
from retraind.web.auth import path_scopes
from retraind.web.auth.access import CALLER, LOCAL, Access
from retraind.web.http import decompression, payload, security_headers
from retraind.web.http.problems import Problem
from retraind.web.http.reply import Reply
from retraind.web.http.wsgi_environ import content_length
from retraind.web.protocols import errors, routes
from retraind.web.serving.call import Call
from retraind.web.worker_state import Worker

INLINE = {
    "/health",
    "/livez",
    "/readyz",
    "/leadz",
    "/",
    "/ping",
    "/v2/health/live",
    "/v2/health/ready",
    f"/v2/models/{MODEL}/ready",
    f"/v1/models/{MODEL}",
}
"""Paths whose routes do not use the disk: answered at once, like predictions. All others run in a lane."""


NOTHING: Mapping[str, str] = {}
"""The named parts of a path that has none."""


class App(Bottle):  # type: ignore[misc]
    """Bottle with problems for its own errors, in the format of the path, and security headers on every answer."""

    def __init__(self) -> None:
        super().__init__()
        self._direct: dict[tuple[str, str], Any] = {}
        """The direct routes whose rule is their only path, by method and path; the router would find the same."""

    def add_route(self, route: Any) -> None:
        """Add a route of Bottle's."""
        super().add_route(route)
        if isinstance(route.callback, DirectRoute) and "<" not in route.rule:
            self._direct[route.method, route.rule] = route

    def default_error_handler(self, res: HTTPError) -> bytes:
        """404 and 405, as Bottle raises them."""
        problem = pages.in_html(_missing(res, request.environ), request.environ)
        problem = errors.in_format_of(problem, request.path)
        if allowed := problem.get_header("Allow"):
            response.set_header("Allow", allowed)
        res.content_type = response.content_type = problem.content_type
        return bytes(problem.body)

    def unwanted(self, environ: WSGIEnvironment) -> Problem | None:
        """The problem of a POST that is refused without its body: no route (404, 405), or a form that is too long (413)."""
        try:
            self.match(environ)
        except HTTPError as error:
            return _missing(error, environ)
        has_body = "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ
        return sign_in.too_long(content_length(environ)) if has_body and environ["PATH_INFO"] in sign_in.PATHS else None

    def template(self, environ: WSGIEnvironment) -> str:
        """The path template under which a request is counted, even if it is refused before routing."""
        route = environ.get("bottle.route")
        if route is None:
            try:
                route = self.match(environ)[0]
            except HTTPError:
                return path_scopes.UNMATCHED
        return str(route.name or route.rule)

    def answer(self, environ: WSGIEnvironment) -> Answer:
        """Status, headers and body, in this thread; raises Deferred, and unexpected errors."""
        route, parts = self._direct.get((environ["REQUEST_METHOD"], environ["PATH_INFO"])), NOTHING
        # Bottle decodes other paths, and takes the body from the answer to HEAD.
        if route is None and environ["REQUEST_METHOD"] != "HEAD" and environ["PATH_INFO"].isascii():
            with contextlib.suppress(HTTPError):
                route, parts = self.match(environ)
        if route is None or not isinstance(route.callback, DirectRoute):
            return answer_by_wsgi(self, environ)
        environ["bottle.route"] = route
        return _secured(route.callback.answer(environ, parts))

    def resume(self, environ: WSGIEnvironment, call: Call) -> Answer:
        """Status, headers and body from the rest of a call; raises Deferred if it must wait again."""
        return _secured(direct_route.resume(call, environ))

    def wsgi(self, environ: WSGIEnvironment, start_response: Callable[..., Any]) -> Any:
        """The WSGI interface."""

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            kept = any(name == "Cache-Control" for name, _ in headers)
            return start_response(
                status, [*headers, *security_headers.HEADERS, *([] if kept else [security_headers.NO_STORE])], exc_info
            )

        return super().wsgi(environ, start)


def answer_by_wsgi(app: Bottle, environ: WSGIEnvironment) -> Answer:
    """Status, headers and body of any Bottle application."""
    answer: list[Any] = []
    body = app(environ, lambda status, headers, exc_info=None: answer.extend((int(status[:3]), headers)))
    return answer[0], answer[1], b"".join(body)


def make_app(worker: Worker) -> App:
    """The application of one worker; raises KeyError for a route without an entry in `retraind.web.auth.path_scopes`."""
    app, access = App(), worker.access
    # An unexpected error goes up to the server, which logs it and answers 500.
    app.config["catchall"] = False
    figures = Figures(worker)
    for path, route in _own(worker, own_routes.read(worker, figures)).items():
        app.route(path, "GET", _checked(route, _permit(access, path)))
    upload = node.refuse(worker, "/drops") if node.is_node(worker) else own_routes.uploading(worker)
    if worker.settings.leader.standby:
        upload = node.guarded(worker, "/drops", upload)
    app.route("/drops", "POST", _checked(upload, _permit(access, "/drops"), access.hosts.site))
    inflate = partial(decompression.inflate, most=worker.settings.server.max_body_bytes)
    for path, route in _own(worker, own_routes.write(worker)).items():
        app.route(path, "POST", _checked(route, _permit(access, path), payload.typed, access.hosts.site, inflate))
    checks = _permit(access, "/predict"), payload.typed_rows, access.hosts.site, inflate
    app.route("/predict", "POST", DirectRoute(worker, predict.predict, *checks))
    checks = _permit(access, "/explain"), payload.typed, access.hosts.site, inflate
    app.route("/explain", "POST", DirectRoute(worker, explain.explain, *checks))
    for (method, path), page in explain.routes(pages.Pages(worker, Dashboard(worker, figures))).items():
        asked = (
            (_permit(access, "/explain"), explain.typed_form, access.hosts.site, inflate) if method == "POST" else ()
        )
        app.route(path, method, DirectRoute(worker, page, _permit(access, path), *asked))
    for path, sign in zip(sign_in.PATHS, (sign_in.begin, sign_in.end), strict=True):
        app.route(path, "POST", _checked(_signing(access, sign), _permit(access, path), access.hosts.site))
    _add_protocols(app, worker, inflate)
    return app


def _own(worker: Worker, routes: dict[str, Route]) -> dict[str, Route]:
    """The routes of a node, which refuses those of its leader; on a standby, those that write are guarded."""
    if worker.settings.leader.standby:
        guarded = routes.keys() & node.COMMANDS
        routes = routes | {path: node.guarded(worker, path, routes[path]) for path in guarded}
    if not node.is_node(worker):
        return routes
    return routes | {path: node.refuse(worker, path) for path in routes.keys() & node.LEADERS}


def _add_protocols(app: App, worker: Worker, inflate: Check) -> None:
    """Add the endpoints of the protocols."""
    access = worker.access
    app.router.add_filter("part", lambda _: (r"[^/:]+", None, None))
    for path, endpoint in routes.GET_ENDPOINTS.items():
        app.route(_rule(path), "GET", DirectRoute(worker, endpoint, _permit(access, path)), name=path)
    for path, endpoint in routes.POST_ENDPOINTS.items():
        checks = _permit(access, path), access.hosts.site, inflate
        app.route(_rule(path), "POST", DirectRoute(worker, endpoint, *checks), name=path)


def _missing(error: HTTPError, environ: WSGIEnvironment) -> Problem:
    """The problem for Bottle's 404 or 405."""
    allowed = error.get_header("Allow")
    if not allowed:
        return Problem(error.status_code, f"There is nothing at {environ['PATH_INFO']!r:.200}.")
    detail = f"{environ['REQUEST_METHOD']} is not allowed here; allowed: {allowed}."
    return Problem(error.status_code, detail, Allow=f"{allowed},HEAD" if "GET" in allowed else allowed)


def _permit(access: Access, template: str) -> Check:
    """A check of the scope, repeated after the bridge's, in case the two parse a path differently."""
    path_scopes.needed(template)

    def check(environ: WSGIEnvironment) -> None:
        caller = environ.get(CALLER)
        if caller is not LOCAL:
            access.admit(caller or access.recognise(environ), template, environ)

    return check


def _checked(route: Route, *checks: Check) -> Route:
    def call(**arguments: str) -> Any:
        try:
            environ = request.environ
            for check in checks:
                check(environ)
            return route(**arguments)
        except HTTPError:  # of Bottle itself
            raise
        except Exception as error:  # noqa: BLE001 - unexpected ones are raised again
            problem = direct_route.problem_of(error, request.path)
            raise pages.in_html(problem, request.environ) from problem.__cause__

    return call


def _secured(answer: Answer) -> Answer:
    status, headers, body = answer
    return status, headers + security_headers.SECURED, body


def _rule(path: str) -> str:
    """The path of a protocol as a rule of Bottle: a parameter ends at the colon in front of the verb."""
    # A bare colon in a rule is an old notation for a parameter; Bottle warns of it even if it is escaped.
    return re.sub(r"(:\w+)$", r"<:re:\1>", path.replace(">", ":part>"))


def _signing(access: Access, sign: Callable[[Access, WSGIEnvironment], Reply]) -> Route:
    return lambda: own_routes.send(sign(access, request.environ))
