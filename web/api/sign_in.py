"""Signing in and out with a browser: a form takes a token, and a cookie then replaces it."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qs, unquote
from wsgiref.types import WSGIEnvironment

from retraind.daemon.core.scopes import Scope, granted
from retraind.web.auth.access import CALLER, LOCAL, Access
from retraind.web.http.problems import Problem
from retraind.web.http.reply import Reply
from retraind.web.http.wsgi_environ import up

FORM = "application/x-www-form-urlencoded"
MOST_BYTES = 4096
MOST_GOAL = 2000
"""Maximum length of the address of a page; a query with filters is far shorter."""
ADDRESS = re.compile(rf"/[\w\-.~%!$&'()*+,;=:@/?]{{1,{MOST_GOAL}}}", re.ASCII)
"""The characters of a path with a query; no others may get into a header."""
PATHS = ("/sign-in", "/sign-out")
HTML = {"Content-Type": "text/html; charset=utf-8"}


def page(environ: WSGIEnvironment) -> Reply:
    """The form; a caller that needs no token is redirected."""
    goal = _goal(environ["QUERY_STRING"])
    return _lead(environ, goal) if environ[CALLER] is LOCAL else _form(environ, goal)


def begin(access: Access, environ: WSGIEnvironment) -> Reply:
    """Begin a session with the token in the form; for a wrong one, the form again with the error."""
    text = _body(environ)
    goal, secret = _goal(text), parse_qs(text).get("token", [""])[0].strip()
    try:
        token = access.verify(secret, environ)
    except Problem as problem:
        headers = {"Retry-After": problem.headers["Retry-After"]} if "Retry-After" in problem.headers else {}
        return _form(environ, goal, problem.detail, problem.status_code, headers)
    if Scope.READ not in granted(token.scopes):
        return _form(environ, goal, f"The token {token.name!r} lacks the scope 'read'.", 403)
    _end(access, environ)
    return _lead(environ, goal, access.sessions.cookie(access.sessions.begin(token), secure=access.is_secure(environ)))


def end(access: Access, environ: WSGIEnvironment) -> Reply:
    """End the session, here and in the browser."""
    _end(access, environ)
    return _lead(environ, "/sign-in", access.sessions.cookie("", secure=access.is_secure(environ)))


def too_long(promised: int | None) -> Problem | None:
    """The problem (413) of a form with this Content-Length; `promised` is None for a chunked one."""
    if promised is None or promised > MOST_BYTES:
        return Problem(413, f"A form must have a Content-Length of at most {MOST_BYTES} bytes.")
    return None


def _end(access: Access, environ: WSGIEnvironment) -> None:
    if session := environ[CALLER].session:
        access.sessions.end(session)


def _body(environ: WSGIEnvironment) -> str:
    """The text of a form; raises Problem 413 or 415."""
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if kind != FORM:
        raise Problem(415, f"The body must be {FORM}, not {kind or 'untyped'!r:.80}.")
    body: bytes = environ["wsgi.input"].read(MOST_BYTES + 1)
    if (problem := too_long(len(body))) is not None:
        raise problem
    return body.decode("latin-1")


def _goal(text: str) -> str:
    """The page to redirect to: one of ours, never an address from outside."""
    asked = parse_qs(text).get("next", [""])[0]
    parts = unquote(asked.partition("?")[0]).split("/")[1:]
    # A browser resolves dots in a path, even encoded ones.
    ours = parts in (["dashboard"], ["docs"]) or (parts[:1] == ["dashboard"] and {"", ".", ".."}.isdisjoint(parts))
    return asked if ours and ADDRESS.fullmatch(asked) else "/dashboard"


def _lead(environ: WSGIEnvironment, path: str, cookie: str = "") -> Reply:
    return Reply(b"", 303, {"Location": up(environ) + path.lstrip("/"), **({"Set-Cookie": cookie} if cookie else {})})


def _form(
    environ: WSGIEnvironment,
    goal: str,
    problem: str = "",
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    from retraind.web.pages import templates

    return Reply(templates.render_sign_in(goal, problem, up(environ)).encode(), status, {**HTML, **(headers or {})})
