"""Our own endpoints as paths of an OpenAPI document."""

from collections.abc import Iterable, Mapping
from typing import Any

from daemon.core.requests import LARGEST
from daemon.schema.schema import Schema
from web.http import payload
from web.http.reply import JSON
from web.openapi import model_columns, schemas
from web.openapi.operations import WITH_BODY, answer, body, header, leads, operation, place, query
from web.openapi.schemas import COUNT, TEXT, Json, listing, maybe, ref
from web.predict import ALIASES, MOST_DIGITS
from web.serving.inputs import most_rows

PREDICT, TEACH, LOOK, OPERATE = "predict", "teach", "look", "operate"
TAGS = {
    PREDICT: "Rows in, predictions out.",
    TEACH: "Rows and wishes for the daemon; each is on the disk before the answer.",
    LOOK: "What happened, and why.",
    OPERATE: "For supervisors, scrapers and people.",
}

VERSION_HEADER: Json = {
    "X-Model-Version": {"schema": schemas.VERSION, "required": True, "description": "Who answered."}
}

CHOICE: Json = {"type": "string", "pattern": f"^([1-9][0-9]{{0,{MOST_DIGITS - 2}}}|{'|'.join(ALIASES)})$"}
"""A text, as all parameters are in the end; no schema of several types comes through every tool unharmed."""


def paths(model: Schema | None, data: Schema | None) -> dict[str, Json]:
    """Our own paths: `model` is what the served version takes, `data` what the dataset takes; None: nobody knows yet."""
    return {**_predicting(model), **_teaching(data), **_looking(), **_operating()}


def choosing() -> list[Json]:
    """How a request to predict names another version than the served one."""
    text = "A loaded version that answers instead of the served one, by number or alias."
    return [query("version", CHOICE, text), header("X-Model-Version", CHOICE, text)]


def rows_sample(model: Schema | None) -> Any:
    """A row that the model takes."""
    return model_columns.sample(model) if model else [1.0]


def _predicting(model: Schema | None) -> dict[str, Json]:
    request = {"type": "object", "properties": {"features": ref("Row")}, "required": ["features"]}
    limits = {"minItems": 1, "maxItems": most_rows(model) if model else payload.MOST_ROWS}
    rows = {"type": "array", "items": ref("Row"), **limits}
    many = {"type": "object", "properties": {"instances": rows}, "required": ["instances"]}
    taken = {"oneOf": [{**kind, "additionalProperties": False} for kind in (request, many)]}
    examples: dict[str, Any] = {"one row": {"features": rows_sample(model)}}
    if model:
        examples["one row by name"] = {"features": model_columns.named_sample(model)}
    examples["many rows"] = {"instances": [rows_sample(model)] * 2}
    content = {JSON: {"anyOf": [ref("OneAnswer"), ref("ManyAnswers")]}}
    predict = operation(
        PREDICT,
        "Predict one row or many",
        {200: answer("One answer, or one for each row.", content, VERSION_HEADER)},
        (*WITH_BODY, 404, 507),
        choosing(),
    )
    return {"/predict": {"post": {**predict, **body(taken, examples)}}}


def _teaching(data: Schema | None) -> dict[str, Json]:
    codes = (*WITH_BODY, 507)
    accepted = answer("It is on the disk and will be done.", {JSON: ref("Accepted")})
    accepted |= leads("outcome", "/requests/{key}", "request")
    skipped = answer("There is nothing new to learn from.", {JSON: ref("Skipped")})
    taken = answer("The row is on the disk.", {JSON: ref("Taken")}) | leads("outcome", "/drops/{key}", "drop")
    key = header(
        "Idempotency-Key",
        {"type": "string", "pattern": f"^{payload.VISIBLE.pattern}$"},
        "Rows that are sent with the same key count once.",
    )
    sample = {"features": rows_sample(data), "target": model_columns.target_sample(data) if data else 0}
    labelled = payload.Labelled.model_json_schema()
    labelled["properties"] |= {"features": ref("TrainingRow"), "target": ref("Target")}
    choice = body(payload.Choice.model_json_schema(), {"by itself": {}, "version 1": {"version": 1}})
    trigger = body(payload.Trigger.model_json_schema(), {"if there are new rows": {}, "force": {"force_retrain": True}})
    teach = operation(TEACH, "Add one labelled row", {202: taken}, (*codes, 409), [key])
    retrain = operation(TEACH, "Ask for a training", {202: accepted, 200: skipped}, (*codes, 429))
    choose = {
        name: operation(TEACH, text, {202: accepted}, (*codes, 404, 429))
        for name, text in (
            ("promote", "Serve a version, by default the challenger that waits"),
            ("refuse", "Give up a version that waits, by default the challenger"),
            ("rollback", "Serve an earlier version again, by default the one before"),
        )
    }
    decision = body(payload.Decision.model_json_schema(), {"by name": {"drop": "odd.csv"}})
    decide = {
        name: operation(TEACH, text, {202: accepted}, (*codes, 404, 429))
        for name, text in (
            ("accept", "Let in a suspicious drop that is held: its rows are trained on like any others"),
            ("reject", "Turn away a suspicious drop that is held: it goes to inbox/rejected"),
        )
    }
    return {
        "/add_training_data": {"post": {**teach, **body(labelled, {"one row": sample})}},
        "/trigger_retrain": {"post": {**retrain, **trigger}},
        "/promote": {"post": {**choose["promote"], **choice}},
        "/refuse": {"post": {**choose["refuse"], **choice}},
        "/rollback": {"post": {**choose["rollback"], **choice}},
        "/accept": {"post": {**decide["accept"], **decision}},
        "/reject": {"post": {**decide["reject"], **decision}},
    }


def _looking() -> dict[str, Json]:
    number = {"type": "integer", "minimum": 0, "maximum": LARGEST}
    limit = query("limit", {"type": "integer", "minimum": 1, "maximum": 1000}, "At most so many.")
    before = query("before", number, "Only those with a smaller id, for the next page.")
    earlier = query("before", TEXT, "The prediction_id of the last one seen, for the next page.")
    only = query("version", {**number, "minimum": 1}, "Only predictions of this version.")
    after = query("after", number, "Only those with a larger id.")
    which = place("key", TEXT, "Name, id or sha256.")
    waiting = {
        "waiting": maybe(
            {
                "type": "object",
                "properties": {
                    "files": COUNT,
                    "bytes": COUNT,
                    "not_taken": {"type": "object", "additionalProperties": TEXT},
                },
            }
        )
    }
    exam = {"n": COUNT, "error": {"type": "number"}, "suspicious": COUNT}
    waiting |= {"held": schemas.array(ref("HeldDrop")), "held_total": COUNT}
    waiting |= {"exams": maybe({"type": "object", "properties": exam})}
    champion = {"champion": maybe(schemas.VERSION)}

    def get(summary: str, schema: Json, parameters: Iterable[Json] = (), **more: Json) -> Json:
        all_parameters = list(parameters)
        missing = [404] if any(one["in"] == "path" for one in all_parameters) else []
        wrong = [422] if any(one["in"] == "query" for one in all_parameters) else []
        answers = {200: answer("As asked.", {JSON: schema, **more})}
        return {"get": operation(LOOK, summary, answers, [*missing, *wrong], all_parameters)}

    return {
        "/predictions/history": get(
            "Predictions, newest first", listing("history", ref("Answered")), [limit, earlier, only]
        ),
        "/versions": get(
            "Judged versions, newest first", listing("versions", ref("Version"), **champion), [limit, before]
        ),
        "/versions/{key}": get(
            "One version from its drops to its predictions",
            ref("Lineage"),
            [place("key", schemas.VERSION, "Its number."), limit, before],
        ),
        "/drops": get(
            "Dropped files, newest first, and what waits", listing("drops", ref("Drop"), **waiting), [limit, before]
        ),
        "/drops/{key}": get("What became of one file", {"anyOf": [ref("DropTold"), ref("HeldDrop")]}, [which]),
        "/drift": get("Whether the served version is asked what it was taught", ref("Drift")),
        "/events": get(
            "What happened, oldest first; live as server-sent events",
            listing("events", ref("Event")),
            [after, limit],
            **{"text/event-stream": TEXT},
        ),
        "/requests/{key}": get("What became of a request", ref("Request"), [place("key", TEXT, "Its id.")]),
        "/dashboard/data": get("The dashboard as data", ref("Dashboard")),
    }


def _operating() -> dict[str, Json]:
    page, text, lines = {"text/html": TEXT}, {"text/plain": TEXT}, {"application/openmetrics-text": TEXT}
    unchanged: Json = {"description": "It is what If-None-Match names."}
    tag: Json = {"ETag": {"schema": TEXT, "required": True, "description": "Changes with the served version."}}
    match = header("If-None-Match", TEXT, "The ETag of the document at hand.")
    moved: Json = {"description": "To the dashboard.", "headers": {"Location": {"schema": TEXT, "required": True}}}

    alive = answer("Alive.", {JSON: ref("Alive")})

    def get(summary: str, answers: Mapping[int, Json], *parameters: Json) -> Json:
        return {"get": operation(OPERATE, summary, answers, (), parameters)}

    def both(name: str, good: str, bad: str) -> dict[int, Json]:
        return {200: answer(good, {JSON: ref(name)}), 503: answer(bad, {JSON: ref(name)})}

    return {
        "/": get(
            "The front page for browsers; KServe's clients ask whether the server is alive", {200: alive, 303: moved}
        ),
        "/health": get("Every check", both("Health", "All is well.", "Something is not; `reasons` says what.")),
        "/livez": get("The worker runs", {200: alive}),
        "/readyz": get("The service can do its work", both("Readiness", "It can.", "It can't; `reasons` says why.")),
        "/metrics": get(
            "Figures; for a scraper, told by its Accept header, as exposition",
            {200: answer("Figures.", {JSON: ref("Figures"), **text, **lines})},
        ),
        "/prometheus_metrics": get("Metrics for Prometheus", {200: answer("Metrics.", {**text, **lines})}),
        "/dashboard": get("The dashboard", {200: answer("A page.", page)}),
        "/docs": get("This description as a page", {200: answer("A page.", page)}),
        "/openapi.json": get(
            "This description",
            {200: answer("An OpenAPI document.", {JSON: schemas.OBJECT}, tag), 304: unchanged},
            match,
        ),
    }
