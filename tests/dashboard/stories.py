"""Homes for the tests of the dashboard, written as the daemon would write them. A test module makes fixtures of `story` and `well`."""

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from retraind.daemon.artifacts import bundle
from retraind.daemon.artifacts.bundle import Manifest, Pointer
from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import SegmentRecord
from retraind.daemon.core.states import DropState, RunState, VersionState
from retraind.daemon.core.status import Check, Status
from retraind.daemon.records.records import Records
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.storage.journal import Journal
from retraind.web.dashboard.document import Document, document

HOSTILE = ["<script>alert(1)</script>.csv", "{{7*7}}.csv", "\"'><img src=x onerror=alert(1)>.csv", "a\u202egnp.csv"]
SCHEMA = Schema(
    target="species",
    classes=["setosa", "versicolor"],
    columns=[
        Column(name="petal, length", kind="number", minimum=1.0, maximum=6.9),
        Column(name="it's", kind="category", categories=["red", "blue"]),
    ],
)


def score(n: int, wrong: int) -> dict[str, Any]:
    half = n // 2
    return {
        "n": n,
        "accuracy": (n - wrong) / n,
        "log_loss": 0.2,
        "balanced_accuracy": (n - wrong) / n,
        "recall": {"setosa": 1.0, "versicolor": (half - wrong) / half},
        "support": {"setosa": half, "versicolor": half},
        "confusion": [[half, 0], [wrong, half - wrong]],
    }


class Story:
    """A home that is written as the daemon would write it."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.home.make()
        self.journal = Journal.open(self.home.journal)
        self.champion: int | None = None

    def drop(self, name: str, rows: int = 50, **fields: Any) -> Any:
        common = {"source": "file", "bytes": 10, "settled_at": "2026-01-01T00:00:00.000Z"}
        return {
            "sha256": durable.sha256(name.encode()),
            "name": name,
            **common,
            "rows_read": rows,
            "rows_accepted": rows,
            "rows_refused": 0,
            **fields,
        }

    def accept(self, *names: str) -> int:
        segment = f"{len(self.journal.batches.all())}.parquet"
        batch: SegmentRecord = {
            "segment": segment,
            "sha256": "e" * 64,
            "md5": "0" * 32,
            "rows": 50 * len(names),
            "bytes": 1000,
        }
        seq = self.journal.batches.accept(batch, [self.drop(name) for name in names])
        self.journal.batches.commit(seq, f"{seq:040x}", "d" * 32)
        return seq

    def reject(self, name: str, by: str | None = None) -> None:
        why: dict[str, Any] = {
            "reason": "'abc' is not a number.",
            "line": 17,
            "column": "petal, length",
            "decided_by": by,
        }
        drop = self.drop(name, rows_accepted=0, **why)
        self.journal.drops.refuse(drop, DropState.REJECTED, f"{name} rejected")

    def judge(
        self, version: int, state: str, wrong: int = 1, *, old: int | None = None, n: int = 60, batch: int = 1
    ) -> None:
        self.record(version, state, self.scores(wrong, old, n), SCHEMA, batch)

    def scores(self, wrong: int, old: int | None, n: int) -> dict[str, Any]:
        return {
            "challenger": {"reference": score(30, 1), "rolling": score(n, wrong)},
            "champion": None if old is None else {"reference": score(30, 1), "rolling": score(n, old)},
            "champion_version": self.champion,
            "candidates": [{"name": "forest", "cv_accuracy": 0.95, "cv_log_loss": 0.1, "fit_seconds": 0.5}],
        }

    def record(self, version: int, state: str, scores: dict[str, Any], schema: Schema, batch: int = 1) -> None:
        row: Any = {
            "mlflow_run": "f" * 32,
            "candidate": "forest",
            "backend": "onnx",
            "revision": f"{batch:040x}",
        }
        row |= {"dvc_md5": "d" * 32, "rows": 100, "trained_rows": 80, "trigger": "first model"}
        manifest = self.seal(version, scores, schema)
        row |= {"version": version, "bundle": manifest, "scores": json.dumps(scores)}
        reason = f"The gate's sentence about version {version}."
        self.journal.versions.judge(row, VersionState(state), reason)
        if state == "promoted":
            self.journal.swaps.record(version, self.champion, reason)
            self.point(version, manifest)

    def seal(self, version: int, scores: dict[str, Any], schema: Schema = SCHEMA) -> str:
        folder = self.home.bundle(version)
        folder.mkdir()
        manifest = Manifest(
            run="f" * 32,
            candidate="forest",
            estimator="Pipeline",
            revision=f"{1:040x}",
            dvc_md5="d" * 32,
            rows=100,
            trained_rows=80,
            data_schema=schema,
            backend="onnx",
            input="float64",
            difference=1e-9,
            files={},
            scores=scores,
            reason="first model",
            seed=42,
            libraries={},
            created="2026-01-01T00:00:00Z",
        )
        return bundle.seal(folder, manifest)

    def point(self, version: int, manifest: str) -> None:
        pointer = Pointer(version=version, manifest=manifest, since=now_as_text())
        self.home.pointer.write_bytes(pointer.model_dump_json().encode())
        self.champion = version

    def document(self, status: Status | None, metrics: Any = None, **more: Any) -> Document:
        return document(self.home, Records(self.home), status, metrics if metrics is not None else {}, **more)


def now_as_text() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def alive(**fields: Any) -> Status:
    base = {"pid": os.getpid(), "state": "ready", "heartbeat": time.monotonic(), "at": now_as_text()}
    base |= {"started_at": now_as_text(), "checks": {"disk": Check(ok=True, detail="fine")}, "threshold_rows": 50}
    return Status(**{**base, **fields})


def states(found: Document) -> list[str]:
    return [found["verdict"]["state"], *(tile["state"] for tile in found["tiles"])]


def story(tmp_path: Path) -> Iterator[Story]:
    story = Story(tmp_path)
    yield story
    story.journal.close()


def well(story: Story) -> Story:
    """One drop, one promoted version."""
    story.accept("iris.csv")
    run = story.journal.runs.start("first model", f"{1:040x}", "d" * 32, 50)
    story.journal.runs.end(run, RunState.TRAINED, "forest", version=1, seconds=1.5)
    story.judge(1, "promoted")
    return story


def a_dead_daemon(_: Story) -> Status:
    return alive(heartbeat=time.monotonic() - 60)
