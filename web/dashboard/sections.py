"""The sections of the dashboard below its four answers: versions, scores, lineage, service, how to begin."""

import math
import shlex
from datetime import date, timedelta
from typing import Any

import orjson

from daemon.core.errors import BadSchema
from daemon.core.home import Home
from daemon.core.settings import Settings
from daemon.core.states import BatchKind, VersionState
from daemon.records.query import Row
from daemon.records.records import Records
from daemon.schema import score_names
from daemon.schema.column import Column
from daemon.schema.schema import Task
from daemon.schema.schema import load as load_schema
from daemon.schema.score_names import TITLES
from web.dashboard import health
from web.dashboard.facts import Facts
from web.dashboard.quality import held_out, wilson

EPOCH = date(1970, 1, 1)


def champion(facts: Facts) -> Row | None:
    """The served version and the sentence that let it in; None if there is none."""
    if facts.pointer is None:
        return None
    row = facts.champion or {}
    return {
        "version": facts.pointer.version,
        "since": facts.pointer.since,
        "candidate": row.get("candidate") or (facts.manifest.candidate if facts.manifest else None),
        "reason": row.get("reason"),
        "trigger": row.get("trigger"),
    }


def previous(facts: Facts) -> int | None:
    """The version that a rollback brings back: the one that served before the champion, unless it was taken back itself."""
    swap = next((row for row in facts.swaps if row["version"] == facts.number), None)
    before = swap["previous"] if swap else None
    taken = any(row["version"] == before and row["state"] == VersionState.ROLLED_BACK for row in facts.versions)
    return None if taken else before


def version(row: Row, facts: Facts) -> Row:
    """One version of the table and the chart; its score and loss are on the held-out rows (None: not scored)."""
    score, reference = held_out(row) or {}, (row["scores"].get("challenger") or {}).get("reference") or {}
    decides, settles = _names(score)
    return {
        "number": row["version"],
        "state": row["state"],
        "champion": row["version"] == facts.number,
        "candidate": row["candidate"],
        "figure": TITLES[decides],
        "score": score.get(decides),
        "n": score.get("n", 0),
        "loss_figure": TITLES[settles],
        "loss": score.get(settles),
        "reference": score_names.value(reference),
        "reference_n": reference.get("n", 0),
        "cv": row["scores"].get(f"cv_{decides}"),
        "trained_rows": row["trained_rows"],
        "rows": row["rows"],
        "revision": row["revision"],
        "mlflow_run": row["mlflow_run"],
        "trigger": row["trigger"],
        "reason": row["reason"],
        "judged_at": row["judged_at"],
    }


def _names(score: Row) -> tuple[str, str]:
    """The figure that decides and the one that settles, of the task that a score belongs to."""
    task: Task = "regression" if score_names.deciding(score) == "r2" else "classification"
    return score_names.DECIDES[task], score_names.SETTLES[task]


def candidates(facts: Facts) -> dict[str, Any] | None:
    """The candidates that the champion was chosen from, best first; None if nothing is known of them."""
    row = facts.champion
    if row is None or not row["scores"].get("candidates"):
        return None
    decides, settles = _names(held_out(row) or {})
    fitted = [
        {
            "name": one["name"],
            "cv": one.get(f"cv_{decides}"),
            "loss": one.get(f"cv_{settles}"),
            "fit_seconds": one.get("fit_seconds"),
        }
        for one in row["scores"]["candidates"]
    ]
    return {
        "version": row["version"],
        "chosen": row["candidate"],
        "rows": (row["scores"].get("taught") or {}).get("n", row["trained_rows"]),
        "figure": TITLES[decides],
        "loss_figure": TITLES[settles],
        "fitted": sorted(fitted, key=lambda one: -(one["cv"] or 0)),
    }


def errors(facts: Facts) -> dict[str, Any] | None:
    """How far a regression is off: figures of the champion in the target's unit, on held-out rows and on late labels."""
    score = held_out(facts.champion)
    if score is None or score_names.deciding(score) != "r2":
        return None
    measured = [("held-out rows", score), ("late labels", facts.live)]
    rows = [{"on": on, **{key: one.get(key) for key in ("n", "r2", "rmse", "mae")}} for on, one in measured if one]
    return {"rows": rows, "target": facts.manifest.data_schema.target if facts.manifest else "target"}


def confusion(facts: Facts) -> dict[str, Any] | None:
    """The champion's confusion matrix (rows: true, columns: predicted) with recall and its 95 % interval per class."""
    score = held_out(facts.champion)
    if score is None or not score.get("confusion"):
        return None
    recall, support = score.get("recall") or {}, score.get("support") or {}
    classes = facts.manifest.data_schema.classes if facts.manifest else list(recall)
    if len(classes) != len(score["confusion"]):
        classes = [str(code) for code in range(len(score["confusion"]))]
    rows = []
    for name, counts in zip(classes, score["confusion"], strict=True):
        total = sum(counts)
        low, high = wilson(recall.get(name) or 0.0, support.get(name) or 0)
        cells = [{"n": n, "share": n / total if total else 0.0} for n in counts]
        rows.append({"name": name, "cells": cells, "n": total, "recall": recall.get(name), "low": low, "high": high})
    return {"classes": classes, "rows": rows, "n": score["n"], "accuracy": score["accuracy"]}


def lineage(facts: Facts, records: Records) -> list[dict[str, Any]]:
    """The champion's way from the drops to the service: kind, name and detail of each station."""
    row = facts.champion
    if row is None or facts.pointer is None:
        return []
    batch = records.batches.at(row["revision"])
    run = records.runs.of_version(row["version"])
    stations = [
        _station("revision", row["revision"][:10], f"{row['rows']:,} rows, DVC {row['dvc_md5'][:10]}", row["revision"])
    ]
    if batch:
        earlier = f" after {batch['seq'] - 1} earlier" if batch["seq"] > 1 else ""
        stations.insert(0, _station("batch", f"no. {batch['seq']}{earlier}", _brought(batch), batch["sha256"]))
        stations.insert(0, _dropped(records.drops.until(batch["seq"], 4)))
    seconds = f", {run['seconds']:.1f} s" if run and run["seconds"] else ""
    stations.append(_station("run", row["mlflow_run"][:8], f"{row['trigger']}{seconds}", row["mlflow_run"]))
    stations.append(_station("version", f"v{row['version']} · {row['candidate']}", row["reason"], row["bundle"]))
    stations.append(_station("predictor", f"since {facts.pointer.since[:16].replace('T', ' ')} UTC", row["backend"]))
    return stations


def _dropped(drops: list[Row]) -> dict[str, Any]:
    """The station of the newest drops, of which the first three are named."""
    names = ", ".join(drop["name"] for drop in drops[:3]) + (", …" if len(drops) > 3 else "")
    at = f"accepted {drops[0]['decided_at'][:16].replace('T', ' ')} UTC" if drops else ""
    return _station("drops", names or "all forgotten", at)


def _brought(batch: Row) -> str:
    return f"{-batch['rows']:,} rows forgotten" if batch["kind"] == BatchKind.FORGET else f"{batch['rows']:,} rows"


def _station(kind: str, name: str, detail: str, identity: str = "") -> dict[str, Any]:
    return {"kind": kind, "name": name, "detail": detail, "id": identity}


def service(facts: Facts) -> dict[str, Any]:
    """Figures of the HTTP side since the beginning; times in milliseconds, None where nothing was counted."""
    metrics = facts.metrics
    names = ("request_count", "prediction_count", "average_latency_ms", "p50_ms", "p95_ms", "p99_ms")
    by_version = metrics.get("predictions_by_version") or {}
    total = sum(by_version.values())
    uses = [{"version": str(name), "n": n, "share": n / total if total else 0.0} for name, n in by_version.items()]
    return {
        **{name: metrics.get(name) for name in names},
        "failures": health.failures(metrics),
        "refusals": health.failures(metrics, 400, 499),
        "lost": metrics.get("predictions_lost"),
        "by_version": sorted(uses, key=lambda use: -use["n"]),
        "workers": metrics.get("workers"),
        "runs": facts.counts["runs"],
        "rows": facts.counts["rows"],
    }


def teach(home: Home, facts: Facts) -> dict[str, Any]:
    """How to drop a file and ask for a prediction, with the columns of this home."""
    try:
        schema = facts.manifest.data_schema if facts.manifest else load_schema(home.schema)
    except BadSchema:
        schema = None
    settings = facts.settings or Settings()
    lesson: dict[str, Any] = {
        "ask": None,
        "tell": None,
        "inbox": str(home.inbox),
        "origin": f"http://{settings.server.host or 'localhost'}:{settings.server.port}",
        "header": None,
        "bootstrap": settings.bootstrap,
    }
    if schema is not None:
        features = {column.name: _example(column) for column in schema.columns}
        lesson["header"] = ",".join(_cell(name) for name in [*schema.features, schema.target])
        lesson["classes"] = schema.classes
        lesson["ask"] = _argument({"features": features})
        lesson["tell"] = _argument({"features": features, "target": schema.classes[0] if schema.classes else 1.5})
    return lesson


def _argument(body: dict[str, Any]) -> str:
    # Names of columns and classes are user text, and people paste these lines into a shell.
    return shlex.quote(orjson.dumps(body).decode())


def _cell(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if any(mark in name for mark in ',"\r\n') else name


def _example(column: Column) -> Any:
    """A value of JSON that the column takes."""
    if column.kind == "category":
        return column.categories[0] if column.categories else ""
    if column.kind == "text":
        return "a few words"
    if column.kind == "boolean":
        return True
    bounded = column.minimum is not None and column.maximum is not None
    middle = ((column.minimum or 0.0) + (column.maximum or 0.0)) / 2 if bounded else 1.0
    if column.kind == "date":
        return (EPOCH + timedelta(days=math.floor(middle))).isoformat()
    return math.floor(middle) if column.kind == "integer" else round(middle, 2)
