"""JSON Schemas of answers, on which clients may rely. Objects are open, because later releases may add keys."""

from collections.abc import Mapping
from typing import Any

from retraind.daemon.core.states import DriftState, EventKind, Hold, Level, RequestState
from retraind.daemon.core.status import Check
from retraind.daemon.records.totals import STATES
from retraind.daemon.schema.schema import Schema
from retraind.web.lists.unread_files import WAITING

Json = dict[str, Any]
"""An object of the document, usually a JSON Schema: free in form, and composed from parts."""

TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": "number"}
OBJECT: Json = {"type": "object"}
COUNT: Json = {"type": "integer", "minimum": 0}
MOMENT: Json = {"type": "string", "format": "date-time", "description": "UTC."}
SHARE: Json = {"type": "number", "description": "From 0 to 1."}
VERSION: Json = {"type": "integer", "minimum": 1}


def ref(name: str) -> Json:
    """A reference to the schema of that name."""
    return {"$ref": f"#/components/schemas/{name}"}


def maybe(schema: Json) -> Json:
    """That schema, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def array(items: Json) -> Json:
    """A list of any length."""
    return {"type": "array", "items": items}


def table(values: Json) -> Json:
    """An object whose keys are data."""
    return {"type": "object", "additionalProperties": values}


def record(description: str, properties: Mapping[str, Json], *optional: str) -> Json:
    """An object with these properties; all are always present except those named as optional."""
    needed = [name for name in properties if name not in optional]
    return {"type": "object", "description": description, "properties": dict(properties), "required": needed}


def listing(name: str, items: Json, **more: Json) -> Json:
    """An object with a list and its length."""
    return record(f"A list of {name}.", {name: array(items), "count": COUNT, **more})


def own() -> dict[str, Json]:
    """The schemas that do not depend on the model, by name."""
    return {**_problems(), **_states(), **_loop(), **_history()}


def predictions(schema: Schema | None) -> dict[str, Json]:
    """The schemas of the answers of `/predict` for a model with this schema; None while no model is served."""
    prediction: Json = {"prediction_id": {**TEXT, "description": "Send it back with the true value: a late label."}}
    if schema is None:
        prediction |= {"prediction": NUMBER}
    elif schema.task == "regression":
        prediction |= {"prediction": {**NUMBER, "title": schema.target}}
        prediction |= {"prediction_name": {"type": "null"}, "confidence": {"type": "null"}}
    else:
        classes: Json = {"type": "object", "required": schema.classes, "additionalProperties": False}
        classes |= {"properties": dict.fromkeys(schema.classes, SHARE)}
        code: Json = {"type": "integer", "minimum": 0, "maximum": len(schema.classes) - 1}
        prediction |= {"prediction": {**code, "description": "The code of the class, from 0."}}
        prediction |= {"prediction_name": {"enum": schema.classes}, "confidence": SHARE, "probabilities": classes}
    common: Json = {"model_version": VERSION, "latency_ms": {**NUMBER, "minimum": 0}}
    moved = {"feature": TEXT, "value": {}, "contribution": NUMBER, "error": NUMBER}
    explained = {"version": VERSION, "prediction": {"type": ["string", "number"]}, "answer": NUMBER, "base": NUMBER}
    shares: Json = {"type": "object", "additionalProperties": SHARE}
    scales: Json = {"enum": ["probability", "value", "log-odds", "score"]}
    explained |= {"scale": scales, "probabilities": shares, "method": TEXT}
    return {
        "Explanation": record(
            "Contributions that add up to `answer` minus `base`, the mean answer to training rows, in units of `scale`.",
            {**explained, "features": array(record("One feature.", moved, "error"))},
            "probabilities",
        ),
        "Prediction": record("The answer to one row of many.", prediction),
        "OneAnswer": record("The answer to one row.", {**prediction, **common}),
        "ManyAnswers": record(
            "An answer to each row, in their order.", {"predictions": array(ref("Prediction")), **common}
        ),
    }


def _problems() -> dict[str, Json]:
    field = record("One error.", {"field": TEXT, "detail": TEXT})
    problem = {"type": TEXT, "title": TEXT, "status": {"type": "integer"}, "detail": TEXT, "hint": TEXT}
    return {
        "Problem": record(
            "What went wrong, where, and what to do (RFC 9457).", {**problem, "errors": array(field)}, "hint", "errors"
        )
    }


def _states() -> dict[str, Json]:
    checks = {"checks": table(ref("Check")), "reasons": array(TEXT), "model_version": maybe(VERSION)}
    health = {"status": {"enum": ["healthy", "unhealthy"]}, "timestamp": MOMENT, "uptime_seconds": NUMBER, **checks}
    counts = {
        name: record(f"{name.capitalize()} by state.", dict.fromkeys(states, COUNT)) for name, states in STATES.items()
    }
    times = {name: maybe(NUMBER) for name in ("average_latency_ms", "p50_ms", "p95_ms", "p99_ms")}
    figures = (
        *("request_count", "prediction_count", "predictions_lost", "load_failures", "rows", "rows_pending"),
        *("shadow_dropped", "auth_failures", "before_first_model"),
        *("refusals", "rows_accepted", "rows_refused", "workers"),
    )
    return {
        "Check": Check.model_json_schema(),
        "Health": record("All checks; `reasons` is empty when all pass.", health),
        "Readiness": record(
            "Whether the service can do its work.", {"status": {"enum": ["ready", "not ready"]}, **checks}
        ),
        "Alive": record("The worker runs.", {"status": {"const": "alive"}}),
        "Leading": record("Whether this machine leads.", {"status": {"enum": ["leads", "does not lead"]}}),
        "Figures": record(
            "Metrics of all workers since the home was created; times in milliseconds.",
            {
                **dict.fromkeys(figures, COUNT),
                **times,
                "errors": table(COUNT),
                "predictions_by_version": table(COUNT),
                "retrainings": counts["runs"],
                "versions": counts["versions"],
                "drops": counts["drops"],
                "uptime_seconds": NUMBER,
                "served_versions": array(VERSION),
                "model_version": maybe(VERSION),
            },
        ),
    }


def _loop() -> dict[str, Json]:
    accepted: Json = {"const": "accepted"}
    asked = {"id": TEXT, "kind": TEXT, "state": {"enum": [*RequestState]}, "detail": TEXT}
    return {
        "Accepted": record(
            "The request is on disk; GET /requests/ID returns its outcome.", {"status": accepted, "request": TEXT}
        ),
        "Skipped": record("Nothing was requested.", {"status": {"const": "skipped"}, "reason": TEXT}),
        "Taken": record(
            "The row is on disk; GET /drops/ID returns its outcome.", {"status": accepted, "drop": TEXT, "name": TEXT}
        ),
        "Request": record("A request and its outcome.", {**asked, "at": MOMENT, "ended_at": maybe(MOMENT)}),
    }


def _history() -> dict[str, Json]:
    return {**_drops(), **_versions(), **_predictions_and_events()}


def _drops() -> dict[str, Json]:
    drop = _drop()
    return {
        "Drop": record("A drop and its outcome.", drop),
        "DropTold": record("A drop, its outcome and the versions that were trained on it.", {**drop, "taught": OBJECT}),
        "WaitingDrop": record(
            "A file that lies in the inbox and is not decided.", {"name": TEXT, "state": {"const": WAITING}}
        ),
        "HeldDrop": record("A suspicious drop that waits for a decision; none of its rows are used yet.", _held_drop()),
    }


def _drop() -> dict[str, Json]:
    counts = ("id", "bytes", "rows_read", "rows_accepted", "rows_refused", "rows_duplicate", "rows_known")
    texts = ("reason", "column", "bad_file", "revision", "decided_by", "forgotten_by", "origin")
    return {
        **dict.fromkeys((*counts, "rows_relabelled"), COUNT),
        "sha256": TEXT,
        "name": TEXT,
        "source": TEXT,
        "state": {"enum": [*STATES["drops"]]},
        **dict.fromkeys(texts, maybe(TEXT)),
        **dict.fromkeys(("seen_at", "committed_at", "forgotten_at"), maybe(MOMENT)),
        "exam": maybe(OBJECT),
        **dict.fromkeys(("line", "batch"), maybe(COUNT)),
        **dict.fromkeys(("settled_at", "decided_at"), MOMENT),
    }


def _held_drop() -> dict[str, Json]:
    return {
        "sha256": TEXT,
        "name": TEXT,
        "state": {"const": Hold.WAITING},
        **dict.fromkeys(("bytes", "rows_read", "rows_known"), COUNT),
        "version": VERSION,
        "reason": TEXT,
        "seen_at": maybe(MOMENT),
        "held_at": MOMENT,
    }


def _versions() -> dict[str, Json]:
    version = _version()
    chain = dict.fromkeys(("drops", "batches", "revision", "run", "bundle", "predictions"), OBJECT)
    texts = dict.fromkeys(("bundle", "revision", "lineage"), TEXT)
    return {
        "Version": record("A judged version.", {**version, **texts}),
        "Lineage": record(
            "A version from the drops of its training to its predictions.",
            {**version, **chain, "served": array(OBJECT), "evaluation": maybe(OBJECT)},
        ),
        "Distributions": record(
            "The columns of a drop's rows beside those of the rows that trained a version; a `problem` says why not.",
            {"rows": COUNT, "version": maybe(VERSION), "columns": array(OBJECT), "problem": TEXT},
        ),
        "Comparison": record(
            "Two versions; `same` is on the rows that both held out, null with a `problem`.",
            {
                **dict.fromkeys(("left", "right", "added", "removed"), OBJECT),
                "champion": maybe(VERSION),
                "same": maybe(OBJECT),
                "regression": {"type": "boolean"},
                **dict.fromkeys(("problem", "evidence"), TEXT),
                **dict.fromkeys(("candidates", "differing", "importance"), array(OBJECT)),
            },
        ),
        "Drift": record("The newest check of the served version.", _drift()),
    }


def _version() -> dict[str, Json]:
    facts = ("mlflow_run", "candidate", "backend", "dvc_md5", "trigger", "reason")
    return {
        "version": VERSION,
        **dict.fromkeys(facts, TEXT),
        **dict.fromkeys(("rows", "trained_rows"), COUNT),
        "scores": OBJECT,
        "judged_at": MOMENT,
        "state": {"enum": [*STATES["versions"]]},
        "live": maybe(OBJECT),
    }


def _drift() -> dict[str, Json]:
    return {
        "at": maybe(MOMENT),
        **dict.fromkeys(("alarm", "n", "reference", "tested", "drifted"), COUNT),
        "version": maybe(VERSION),
        "state": {"enum": [*DriftState]},
        "reason": TEXT,
        "features": array(OBJECT),
        **dict.fromkeys(("prediction", "error"), maybe(OBJECT)),
    }


def _predictions_and_events() -> dict[str, Json]:
    event = {"id": COUNT, "at": MOMENT, "kind": {"enum": [*EventKind]}, "level": {"enum": [*Level]}, "message": TEXT}
    event |= {"drop": maybe(TEXT), **dict.fromkeys(("batch", "run", "version"), maybe(COUNT))}
    return {
        "Answered": record("A prediction in the history.", _answered(), "caller"),
        "LoggedPrediction": record("A prediction by its id.", {**_answered(), "doubt": TEXT}, "caller"),
        "DropRows": record(
            "Rows of a drop, of `total` ones.",
            {
                **dict.fromkeys(("id", "total", "offset", "limit"), COUNT),
                "name": TEXT,
                "columns": array(TEXT),
                "rows": array({"type": "array"}),
            },
        ),
        "Event": record("An event.", {**event, "acknowledged_at": maybe(MOMENT), "acknowledged_by": maybe(TEXT)}),
        "Dashboard": record(
            "The data of the dashboard.", {"at": MOMENT, "verdict": OBJECT, "stopped": TEXT, "tiles": array(OBJECT)}
        ),
    }


def _answered() -> dict[str, Json]:
    return {
        "seq": COUNT,
        "prediction_id": TEXT,
        "timestamp": MOMENT,
        "features": {"type": "array"},
        "prediction": NUMBER,
        "prediction_name": maybe(TEXT),
        "confidence": maybe(SHARE),
        "label": maybe(TEXT),
        "model_version": VERSION,
        "latency_ms": NUMBER,
        "caller": {**TEXT, "description": "Name of the token, or `anonymous`; empty for programs on the same machine."},
    }
