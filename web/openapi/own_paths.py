"""Our own endpoints as paths of an OpenAPI document."""

from collections.abc import Mapping, Sequence
from typing import Any

from retraind.daemon.core.requests import LARGEST
from retraind.daemon.schema.schema import Schema
from retraind.web.downloads.version_archive import FORMATS
from retraind.web.http import payload
from retraind.web.http.reply import JSON
from retraind.web.openapi import list_paths, model_columns, schemas, trend_paths, upload_paths
from retraind.web.openapi.operations import WITH_BODY, answer, body, header, leads, operation, place, query
from retraind.web.openapi.schemas import TEXT, Json, listing, maybe, ref
from retraind.web.predict import ALIASES, MOST_DIGITS
from retraind.web.serving.inputs import most_rows

PREDICT, TRAIN, DECIDE, INSPECT, OPERATE = "predict", "train", "decide", "inspect", "operate"
TAGS = {
    PREDICT: "Rows in, predictions out.",
    TRAIN: "Add rows and request trainings. Each request is on disk before the answer.",
    DECIDE: "Choose the served version, and decide on held drops. Each request is on disk before the answer.",
    INSPECT: "What happened, and why.",
    OPERATE: "Health, metrics and pages.",
}

VERSION_HEADER: Json = {
    "X-Model-Version": {"schema": schemas.VERSION, "required": True, "description": "The version that answered."}
}

CHOICE: Json = {"type": "string", "pattern": f"^([1-9][0-9]{{0,{MOST_DIGITS - 2}}}|{'|'.join(ALIASES)})$"}
"""A text, because every parameter is one; several tools mishandle a schema of more than one type."""

ACCEPTING = (*WITH_BODY, 507)
"""Problems of operations that write to the disk."""

NUMBER: Json = {"type": "integer", "minimum": 0, "maximum": LARGEST}
LIMIT = query("limit", {"type": "integer", "minimum": 1, "maximum": 1000}, "Maximum number of entries.")
VERSIONS: Json = {
    **query("versions", {"type": "string", "pattern": "^[1-9][0-9]{0,8},[1-9][0-9]{0,8}$"}, "Two versions: 3,4."),
    "required": True,
}
BEFORE = query("before", NUMBER, "Only entries with a smaller id: for the next page, the last id of this one.")


def paths(model: Schema | None, data: Schema | None) -> dict[str, Json]:
    """Our own paths. `model` is the schema of the served version, `data` that of the dataset; None while there is none."""
    own = {**_predicting(model), **_writing(data), **_inspecting(), **_operating()}
    own["/drops"]["post"] = upload_paths.post(TRAIN)
    return own


def choosing() -> list[Json]:
    """Parameters by which a prediction selects another version than the served one."""
    text = "A loaded version that answers instead of the served one, by number or alias."
    return [query("version", CHOICE, text), header("X-Model-Version", CHOICE, text)]


def rows_sample(model: Schema | None) -> Any:
    """A valid row."""
    return model_columns.sample(model) if model else [1.0]


def codes(parameters: Sequence[Json]) -> list[int]:
    """The problems of a GET with these parameters: 404 for a key, 422 for a query."""
    places = {parameter["in"] for parameter in parameters}
    return [*([404] if "path" in places else []), *([422] if "query" in places else [])]


def _predicting(model: Schema | None) -> dict[str, Json]:
    request = {"type": "object", "properties": {"features": ref("Row")}, "required": ["features"]}
    limits = {"minItems": 1, "maxItems": most_rows(model) if model else payload.MOST_ROWS}
    rows = {"type": "array", "items": ref("Row"), **limits}
    many = {"type": "object", "properties": {"instances": rows}, "required": ["instances"]}
    taken = {"oneOf": [{**kind, "additionalProperties": False} for kind in (request, many)]}
    examples: Json = {"one row": {"features": rows_sample(model)}}
    if model:
        examples["one row by name"] = {"features": model_columns.named_sample(model)}
    examples["many rows"] = {"instances": [rows_sample(model)] * 2}
    content = {JSON: {"anyOf": [ref("OneAnswer"), ref("ManyAnswers")]}, payload.CSV: TEXT}
    shares = query(
        "proba", {"enum": ["true", "false"], "default": "false"}, "CSV only: add the probability of each class."
    )
    sent = body(taken, examples)
    sent["requestBody"]["content"][payload.CSV] = {"schema": TEXT, "examples": _csv_example(model)}
    predict = operation(
        PREDICT,
        "Predict one row or many",
        {200: answer("One answer, or one for each row.", content, VERSION_HEADER)},
        (*WITH_BODY, 404, 507),
        [*choosing(), shares],
    )
    return {"/predict": {"post": {**predict, **sent}}, **_explaining(model)}


def _explaining(model: Schema | None) -> dict[str, Json]:
    request = {"type": "object", "properties": {"features": ref("Row")}, "required": ["features"]}
    explain = operation(
        PREDICT,
        "What moved the answer to one row, by feature",
        {200: answer("Shapley values, the largest first.", {JSON: ref("Explanation")}, VERSION_HEADER)},
        (*WITH_BODY, 404),
        choosing(),
    )
    sent = body({**request, "additionalProperties": False}, {"one row": {"features": rows_sample(model)}})
    return {"/explain": {"post": {**explain, **sent}}}


def _csv_example(model: Schema | None) -> Json:
    """One row below its header; it comes back with its answer."""
    names = model.features if model else ["length"]
    return {"one_row": {"summary": "one row", "value": model_columns.comma_separated(names, rows_sample(model))}}


def _writing(data: Schema | None) -> dict[str, Json]:
    return {**_adding(data), **_retraining(), **_choices_of_versions(), **_decisions_on_drops()}


def _adding(data: Schema | None) -> dict[str, Json]:
    taken = answer("The row is on disk.", {JSON: ref("Taken")}) | leads("outcome", "/drops/{key}", "drop")
    key = header(
        "Idempotency-Key",
        {"type": "string", "pattern": f"^{payload.VISIBLE.pattern}$"},
        "Rows sent with the same key count once.",
    )
    sample = {"features": rows_sample(data), "target": model_columns.target_sample(data) if data else 0}
    labelled = payload.Labelled.model_json_schema()
    labelled["properties"] |= {"features": ref("TrainingRow"), "target": ref("Target")}
    add = operation(TRAIN, "Add one labelled row", {202: taken}, (*ACCEPTING, 409), [key])
    return {"/add_training_data": {"post": {**add, **body(labelled, {"one row": sample})}}}


def _retraining() -> dict[str, Json]:
    skipped = answer("There are no new rows, so no training was requested.", {JSON: ref("Skipped")})
    trigger = body(payload.Trigger.model_json_schema(), {"if there are new rows": {}, "force": {"force_retrain": True}})
    retrain = operation(TRAIN, "Request a training", {202: _accepted(), 200: skipped}, (*ACCEPTING, 429))
    return {"/trigger_retrain": {"post": {**retrain, **trigger}}}


def _choices_of_versions() -> dict[str, Json]:
    version = body(payload.Choice.model_json_schema(), {"the default": {}, "version 1": {"version": 1}})
    return {
        "/promote": _command("Serve a version; default: the held challenger", version),
        "/refuse": _command("Refuse a held version; default: the challenger", version),
        "/rollback": _command(
            "Serve an earlier version again; default: the one that the served version replaced", version
        ),
    }


def _decisions_on_drops() -> dict[str, Json]:
    shapes = {"one event": {"event": 1}, "all about a drop": {"drop": "odd.csv"}, "all up to an event": {"until": 9}}
    acknowledged = body(payload.Acknowledgement.model_json_schema(), shapes)
    drop = body(payload.Decision.model_json_schema(), {"by name": {"drop": "odd.csv"}})
    return {
        "/accept": _command(
            "Accept a held drop: its rows are trained on like any others",
            drop,
        ),
        "/reject": _command("Reject a held drop: it moves to inbox/rejected", drop),
        "/forget": _command(
            "Remove the rows of a drop from the dataset, and retrain",
            body(payload.Forget.model_json_schema(), {"by name": {"drop": "wrong.csv"}}),
        ),
        "/acknowledge": _command("Say that warnings or errors have been seen to", acknowledged),
    }


def _command(summary: str, content: Json) -> Json:
    """A decision that the daemon carries out later, with this body."""
    return {"post": {**operation(DECIDE, summary, {202: _accepted()}, (*ACCEPTING, 404, 429)), **content}}


def _accepted() -> Json:
    accepted = answer("The request is on disk and will be carried out.", {JSON: ref("Accepted")})
    return accepted | leads("outcome", "/requests/{key}", "request")


def _inspecting() -> dict[str, Json]:
    return {
        **list_paths.paths(INSPECT),
        **_versions(),
        **_drops(),
        **upload_paths.paths(TRAIN),
        **trend_paths.paths(INSPECT),
        **_other_records(),
        **list_paths.others(INSPECT),
    }


def _versions() -> dict[str, Json]:
    versions = listing("versions", ref("Version"), champion=maybe(schemas.VERSION))
    number = place("key", schemas.VERSION, "Its number.")
    form = query("format", {"enum": list(FORMATS), "default": FORMATS[0]}, "The format.")
    archive = answer("A folder with README.md.", {"application/zip": {"type": "string", "format": "binary"}})
    export = operation(
        INSPECT,
        "One version to take away: a ZIP file as `retraind export` writes it",
        {200: archive},
        (404, 409, 422),
        [number, form],
    )
    return {
        "/versions": _inspect("Judged versions, newest first", versions, [LIMIT, BEFORE]),
        "/versions/{key}": _inspect(
            "One version, from its drops to its predictions", ref("Lineage"), [number, LIMIT, BEFORE]
        ),
        "/versions/{key}/export": {"get": export},
    }


def _drops() -> dict[str, Json]:
    either = {"anyOf": [ref("DropTold"), ref("HeldDrop"), ref("WaitingDrop")]}
    key = place("key", TEXT, "Its name, id or sha256.")
    rows = {200: answer("The file in inbox/rejected.", {payload.CSV: TEXT})}
    some = {200: answer("Rows as JSON, or a CSV file.", {JSON: ref("DropRows"), payload.CSV: TEXT})}
    which = [
        key,
        query("offset", {**NUMBER, "minimum": 0, "default": 0}, "Number of rows to leave out."),
        query("limit", {**NUMBER, "minimum": 1, "maximum": 1000, "default": 100}, "Maximum number of rows."),
        query("format", {"enum": ["json", "csv"], "default": "json"}, "The format."),
    ]
    return {
        "/drops/{key}": _inspect("One drop and its outcome", either, [key]),
        "/drops/{key}/columns": _inspect("The columns of a drop beside the usual ones", ref("Distributions"), [key]),
        "/drops/{key}/rows": {
            "get": operation(
                INSPECT, "Rows of an accepted drop as the dataset has them", some, (404, 413, 422, 503), which
            )
        },
        "/drops/{key}/bad.csv": {
            "get": operation(INSPECT, "The rejected rows of a drop as CSV", rows, (404, 413), [key])
        },
    }


def _other_records() -> dict[str, Json]:
    compared = {200: answer("The requested data.", {JSON: ref("Comparison")})}
    return {
        "/predictions/{key}": _inspect(
            "One logged prediction, with its late label", ref("LoggedPrediction"), [place("key", TEXT, "Its id.")]
        ),
        "/drift": _inspect("Drift of inputs and answers from the training data", ref("Drift")),
        "/compare": {
            "get": operation(INSPECT, "Two versions compared", compared, (404, *codes([VERSIONS])), [VERSIONS])
        },
        "/requests/{key}": _inspect("One request and its outcome", ref("Request"), [place("key", TEXT, "Its id.")]),
        "/dashboard/data": _inspect("The data of the dashboard", ref("Dashboard")),
    }


def _inspect(summary: str, schema: Json, parameters: Sequence[Json] = (), **more: Json) -> Json:
    """A GET that returns `schema` as JSON and `more` by content type, with 404 for a key and 422 for a query."""
    answers = {200: answer("The requested data.", {JSON: schema, **more})}
    return {"get": operation(INSPECT, summary, answers, codes(parameters), parameters)}


def _operating() -> dict[str, Json]:
    return {**_checks(), **_figures(), **_description()}


def _checks() -> dict[str, Json]:
    alive = answer("Alive.", {JSON: ref("Alive")})
    moved: Json = {"description": "To the dashboard.", "headers": {"Location": {"schema": TEXT, "required": True}}}
    front = "The dashboard for browsers; liveness for clients of KServe"

    def both(name: str, good: str, bad: str) -> dict[int, Json]:
        return {200: answer(good, {JSON: ref(name)}), 503: answer(bad, {JSON: ref(name)})}

    return {
        "/": _operate(front, {200: alive, 303: moved}),
        "/health": _operate("All checks", both("Health", "All checks pass.", "A check fails; `reasons` says which.")),
        "/livez": _operate("Liveness: the worker runs", {200: alive}),
        "/readyz": _operate(
            "Readiness: the service can do its work", both("Readiness", "Ready.", "Not ready; `reasons` says why.")
        ),
        "/leadz": _operate(
            "Leadership: rows and commands are taken here", both("Leading", "It leads.", "A standby or a serving node.")
        ),
    }


def _figures() -> dict[str, Json]:
    exposition = {"text/plain": TEXT, "application/openmetrics-text": TEXT}
    figures = {200: answer("Figures.", {JSON: ref("Figures"), **exposition})}
    return {
        "/metrics": _operate("Metrics as JSON, or for a scraper (by its Accept header) as text", figures),
        "/prometheus_metrics": _operate("Metrics for Prometheus", {200: answer("Metrics.", exposition)}),
    }


def _description() -> dict[str, Json]:
    page = answer("A page.", {"text/html": TEXT})
    tag: Json = {"ETag": {"schema": TEXT, "required": True, "description": "Changes with the served version."}}
    description = answer("An OpenAPI document.", {JSON: schemas.OBJECT}, tag)
    unchanged: Json = {"description": "Unchanged since the ETag in If-None-Match."}
    match = header("If-None-Match", TEXT, "The ETag of the document that you have.")
    return {
        "/docs": _operate("This document as a page", {200: page}),
        "/openapi.json": _operate("This document", {200: description, 304: unchanged}, match),
    }


def _operate(summary: str, answers: Mapping[int, Json], *parameters: Json) -> Json:
    return {"get": operation(OPERATE, summary, answers, (), parameters)}
