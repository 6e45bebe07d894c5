"""The description of the service: `/openapi.json` for programs, and `/docs`, a page of Swagger UI over it.

The package flask-swagger-ui carries Swagger UI as released. It is located without importing it, because its Python part needs Flask.
"""

from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from retraind import release
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.schema import schema
from retraind.web.http.problems import Problem
from retraind.web.http.reply import FOR_EVER, JSON, Reply
from retraind.web.worker_state import Worker

if TYPE_CHECKING:
    from retraind.web.openapi.document import Description

TYPES = {"swagger-ui.css": "text/css; charset=utf-8", "swagger-ui-bundle.js": "text/javascript; charset=utf-8"}
"""The files of Swagger UI that the page uses, and their content types."""


class Pages:
    """The OpenAPI document of one worker, and the page over it.

    Their modules are imported at the first request for them.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    @cached_property
    def _description(self) -> "Description":
        from retraind.web.openapi import document

        server, promote = self._worker.settings.server, self._worker.settings.promote
        sticky = promote.canary_header if promote.mode == "manual" and promote.canary_share > 0 else ""
        return document.Description(
            program=release.VERSION, sticky=sticky, public=server.public_url, root=server.root_path
        )

    def description(self, etag: str, *, secured: bool) -> Reply:
        """The document; 304 if `etag` (the header If-None-Match) has its ETag.

        `secured`: for a caller who needs a token.
        """
        data = schema.load(self._worker.home.schema)
        made = self._description.now(self._worker.slot.current, data, secured=secured)
        headers = {"ETag": made.tag, "Cache-Control": "no-cache"}
        if etag.strip() == "*" or made.tag in (tag.strip().removeprefix("W/") for tag in etag.split(",")):
            return Reply(b"", 304, headers)
        return Reply(made.body, 200, {**headers, "Content-Type": JSON})

    def page(self, up: str) -> Reply:
        """Swagger UI over the document; links start with `up`."""
        from retraind.web.pages import templates

        page = templates.render_docs(swagger_release(), up)
        return Reply(page.encode(), headers={"Content-Type": "text/html; charset=utf-8"})

    def asset(self, release: str, name: str) -> Reply:
        """A file of Swagger UI; its release is part of the address, so it may be cached forever."""
        if name not in TYPES or release != swagger_release():
            raise Problem(404, f"There is no file {name!r:.60} of Swagger UI {release!r:.60}.")
        headers = {"Content-Type": TYPES[name], "Cache-Control": FOR_EVER}
        return Reply((_folder() / name).read_bytes(), headers=headers)


@cache
def swagger_release() -> str:
    """The release of Swagger UI; raises RetraindError without the package."""
    return (_folder() / "VERSION").read_text().strip().lstrip("v")


@cache
def _folder() -> Path:
    spec = find_spec("flask_swagger_ui")
    if spec is None or not spec.submodule_search_locations:
        hint = "Install the packages of requirements.lock. GET /openapi.json works without it."
        raise RetraindError("Swagger UI is not installed.", hint=hint)
    return Path(spec.submodule_search_locations[0]) / "dist"
