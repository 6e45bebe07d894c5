"""The pages for people over HTTP: one route for each path of `retraind.web.auth.path_scopes.PAGES`, and errors as pages."""

from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote
from wsgiref.types import WSGIEnvironment

from retraind.web.api.dashboard import Dashboard
from retraind.web.auth import path_scopes
from retraind.web.auth.access import CALLER
from retraind.web.http import wsgi_environ
from retraind.web.http.problems import Problem
from retraind.web.http.reply import Reply
from retraind.web.worker_state import Worker

if TYPE_CHECKING:
    from retraind.web.pages.frame import Place
    from retraind.web.pages.table import Page

HTML = "text/html; charset=utf-8"


class Pages:
    """The pages of one worker.

    Their modules are imported at the first request for one, because they need Jinja.
    """

    def __init__(self, worker: Worker, dashboard: Dashboard) -> None:
        self._worker, self._dashboard = worker, dashboard

    def routes(self) -> dict[str, Callable[..., Reply]]:
        """The pages by path; each takes environment, query and the variable part of its path, if there is one."""
        others = path_scopes.PAGES - {"/dashboard"}
        return {"/dashboard": self._overview, **{path: partial(self._page, path) for path in others}}

    def _overview(self, environ: WSGIEnvironment, _query: Mapping[str, str]) -> Reply:
        """The overview also works while the records can't be read."""
        from retraind.web.pages import overview

        return _html(overview.render(self._dashboard.document(), environ[CALLER], _place(environ)))

    def _page(self, path: str, environ: WSGIEnvironment, query: Mapping[str, str], key: str = "") -> Reply:
        """A page of `retraind.web.pages.table`; raises Problem, and sqlite3.Error if the records can't be read."""
        from retraind.web.pages import table

        return self.framed(environ, table.PAGES[path], query, key)

    def framed(self, environ: WSGIEnvironment, page: "Page", query: Mapping[str, str], key: str = "") -> Reply:
        """A page in its frame; raises what its content raises."""
        from retraind.web.dashboard import health
        from retraind.web.dashboard.answers import questions
        from retraind.web.pages import frame

        facts = self._dashboard.facts()
        worker = self._worker
        asked = frame.PageRequest(
            worker.home, worker.records, facts, environ[CALLER], key, query, worker.old_predictions
        )
        data = page.data.format(key=quote(key, safe=""))
        if data and environ["QUERY_STRING"]:
            data += f"?{environ['QUERY_STRING']}"
        return _html(
            frame.render(
                page.template,
                page.content(asked),
                questions.time_of(facts),
                questions.verdict(facts),
                _place(environ),
                environ[CALLER],
                data,
                health.stopped(facts),
            )
        )


def wanted(environ: WSGIEnvironment) -> bool:
    """Whether an error is shown as a page: a browser is at an address of the pages."""
    path = f"{environ['PATH_INFO']}/"
    return path.startswith("/dashboard/") and "text/html" in environ.get("HTTP_ACCEPT", "")


def in_html(problem: Problem, environ: WSGIEnvironment) -> Problem:
    """A problem as a page with its sentence, if that is `wanted`; redirects stay as they are."""
    if not wanted(environ) or problem.status_code < HTTPStatus.BAD_REQUEST:
        return problem
    from retraind.web.pages import frame

    status = HTTPStatus(problem.status_code)
    page = frame.render_problem(status, status.phrase, problem.detail, problem.hint, _place(environ))
    problem.body, problem.content_type = page.encode(), HTML
    return problem


def _place(environ: WSGIEnvironment) -> "Place":
    from retraind.web.pages.frame import Place

    query = environ["QUERY_STRING"]
    path = quote(environ["PATH_INFO"].encode("latin-1"))
    return Place(f"{path}?{query}" if query else path, wsgi_environ.up(environ))


def _html(text: str) -> Reply:
    return Reply(text.encode(), headers={"Content-Type": HTML})
