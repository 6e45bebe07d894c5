"""The pages for people as paths of an OpenAPI document. The same paths without `/dashboard` have their data."""

from retraind.web.openapi import schemas
from retraind.web.openapi.operations import answer, operation, place
from retraind.web.openapi.own_paths import BEFORE, LIMIT, OPERATE, codes
from retraind.web.openapi.schemas import TEXT, Json


def paths() -> dict[str, Json]:
    """The path of each page."""
    return {
        "/dashboard": _page("The overview"),
        "/dashboard/versions": _page("The versions", LIMIT, BEFORE),
        "/dashboard/versions/{key}": _page("One version", place("key", schemas.VERSION, "Its number.")),
    }


def _page(summary: str, *parameters: Json) -> Json:
    """A page with the parameters of its data."""
    page = answer("A page.", {"text/html": TEXT})
    return {"get": operation(OPERATE, summary, {200: page}, codes(parameters), parameters)}
