"""The pages for people as paths of an OpenAPI document. The same paths without `/dashboard` have their data."""

from retraind.web.lists import parameters
from retraind.web.openapi import schemas
from retraind.web.openapi.operations import answer, operation, place, query
from retraind.web.openapi.own_paths import BEFORE, LIMIT, OPERATE, VERSIONS, codes
from retraind.web.openapi.schemas import TEXT, Json
from retraind.web.trends import asked


def paths() -> dict[str, Json]:
    """The path of each page."""
    return {
        "/dashboard": _page("The overview"),
        "/dashboard/trends": _trends(),
        "/dashboard/versions": _page("The versions", LIMIT, BEFORE),
        "/dashboard/versions/{key}": _page("One version", place("key", schemas.VERSION, "Its number.")),
        "/dashboard/compare": _page("Two versions compared", VERSIONS, missing=True),
        "/dashboard/drops/{key}": _page("One drop", place("key", TEXT, "Its name, id or sha256.")),
    }


def _trends() -> Json:
    """The page of figures over time has the parameters of its data, but is no file."""
    described = [query(one.name, parameters.schema(one), one.meaning) for one in (asked.RANGE,)]
    page = answer("A page.", {"text/html": TEXT})
    return {"get": operation(OPERATE, "Figures over time", {200: page}, (), described)}


def _page(summary: str, *parameters: Json, missing: bool = False) -> Json:
    """A page with the parameters of its data; with `missing`, what its query names may be missing (404)."""
    page = answer("A page.", {"text/html": TEXT})
    return {
        "get": operation(OPERATE, summary, {200: page}, {*codes(parameters), *([404] if missing else [])}, parameters)
    }
