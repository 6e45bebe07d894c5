"""The pages for people as paths of an OpenAPI document. The same paths without `/dashboard` have their data."""

from retraind.web.http.problems import PROBLEM
from retraind.web.lists import drops, events, parameters, predictions, settings
from retraind.web.openapi import list_paths, schemas
from retraind.web.openapi.operations import WITH_BODY, answer, operation, place, query
from retraind.web.openapi.own_paths import BEFORE, LIMIT, NUMBER, OPERATE, VERSIONS, codes
from retraind.web.openapi.schemas import TEXT, Json, ref
from retraind.web.trends import asked

FORM = "application/x-www-form-urlencoded"

VERSION = query("version", {**NUMBER, "minimum": 1}, "The version that answers; without it the served one.")


def paths() -> dict[str, Json]:
    """The path of each page."""
    return {
        "/dashboard": _page("The overview"),
        "/dashboard/trends": _trends(),
        "/dashboard/drops": _page("The drops", *list_paths.described(drops.PARAMETERS)),
        "/dashboard/events": _page("The events", *list_paths.described(events.PARAMETERS)),
        "/dashboard/predictions": _page("The predictions", *list_paths.described(predictions.PARAMETERS)),
        "/dashboard/queue": _page("Everything that waits"),
        "/dashboard/settings": _page("The settings in force", *list_paths.described(settings.PARAMETERS)),
        "/dashboard/versions": _page("The versions", LIMIT, BEFORE),
        "/dashboard/versions/{key}": _page("One version", place("key", schemas.VERSION, "Its number.")),
        "/dashboard/compare": _page("Two versions compared", VERSIONS, missing=True),
        "/dashboard/drops/{key}": _page("One drop", place("key", TEXT, "Its name, id or sha256.")),
        "/dashboard/drops/{key}/rows": _rows(),
        "/dashboard/predict": {**_page("Type a row", VERSION, missing=True), **_typed_row()},
        "/dashboard/predictions/{key}": _page("A logged prediction, and what moved it", place("key", TEXT, "Its id.")),
    }


def _typed_row() -> Json:
    """The form that is sent to a page: a version, and the texts of the columns, `column:NAME`."""
    page = answer("The page with the answer and what moved it; nothing is logged.", {"text/html": TEXT})
    shown = answer("The page with the reason why there is no answer.", {"text/html": TEXT, PROBLEM: ref("Problem")})
    answers = {200: page, 422: shown}
    operation_ = operation(OPERATE, "Answer a typed row on the page", answers, (*WITH_BODY, 404))
    form: Json = {"type": "object", "properties": {"version": {"type": "string", "pattern": r"^[1-9]\d{0,8}$"}}}
    return {"post": {**operation_, "requestBody": {"required": True, "content": {FORM: {"schema": form}}}}}


def _rows() -> Json:
    """The page of the rows of a drop; they may be too large to be read, or be read by another request."""
    key = place("key", TEXT, "Its name, id or sha256.")
    places = [
        query("offset", {**NUMBER, "minimum": 0, "default": 0}, "Number of rows to leave out."),
        query("limit", {**NUMBER, "minimum": 1, "maximum": 1000, "default": 100}, "Maximum number of rows."),
    ]
    page = answer("A page.", {"text/html": TEXT})
    return {"get": operation(OPERATE, "The rows of a drop", {200: page}, (404, 413, 422, 503), [key, *places])}


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
