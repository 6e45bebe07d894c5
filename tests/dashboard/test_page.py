"""web.dashboard.page: a real journal and pointer on disk, the document's answers, the page, and the page in a real browser."""

import json
import os
import re
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import bundles
import orjson
import pytest

from daemon.artifacts import bundle
from daemon.artifacts.bundle import Manifest, Pointer
from daemon.core import durable
from daemon.core.home import Home
from daemon.core.journal_rows import SegmentRecord, SwapRow
from daemon.core.scopes import Scope
from daemon.core.settings import Promote, Settings
from daemon.core.states import DropState, EventKind, Level, RunState, VersionState
from daemon.core.status import Check, Status, Training
from daemon.records.query import ask
from daemon.records.records import Records
from daemon.records.versions import JudgedVersion
from daemon.schema.column import Column
from daemon.schema.row_encoding import encode
from daemon.schema.schema import Schema
from daemon.schema.scores import Scores, WorldChange
from daemon.storage.journal import Journal
from web.auth.access import LOCAL
from web.dashboard import chart, health, quality
from web.dashboard import page as dashboard
from web.dashboard import serving as champion
from web.dashboard.document import Document, document, gather
from web.dashboard.page import render
from web.dashboard.pipeline import steps

HOSTILE = ["<script>alert(1)</script>.csv", "{{7*7}}.csv", "\"'><img src=x onerror=alert(1)>.csv", "a\u202egnp.csv"]
SCHEMA = Schema(
    target="species",
    classes=["setosa", "versicolor"],
    columns=[
        Column(name="petal, length", kind="number", minimum=1.0, maximum=6.9),
        Column(name="it's", kind="category", categories=["red", "blue"]),
    ],
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


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

    def judge(self, version: int, state: str, wrong: int = 1, *, old: int | None = None, n: int = 60) -> None:
        self.record(version, state, self.scores(wrong, old, n), SCHEMA)

    def scores(self, wrong: int, old: int | None, n: int) -> dict[str, Any]:
        return {
            "challenger": {"reference": score(30, 1), "rolling": score(n, wrong)},
            "champion": None if old is None else {"reference": score(30, 1), "rolling": score(n, old)},
            "champion_version": self.champion,
            "candidates": [{"name": "forest", "cv_accuracy": 0.95, "cv_log_loss": 0.1, "fit_seconds": 0.5}],
        }

    def record(self, version: int, state: str, scores: dict[str, Any], schema: Schema) -> None:
        row: Any = {
            "mlflow_run": "f" * 32,
            "candidate": "forest",
            "backend": "onnx",
            "revision": f"{1:040x}",
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
        pointer = Pointer(version=version, manifest=manifest, since=verdict_now())
        self.home.pointer.write_bytes(pointer.model_dump_json().encode())
        self.champion = version

    def document(self, status: Status | None, metrics: Any = None, **more: Any) -> Document:
        return document(self.home, Records(self.home), status, metrics if metrics is not None else {}, **more)


def verdict_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def alive(**fields: Any) -> Status:
    base = {"pid": os.getpid(), "state": "ready", "heartbeat": time.monotonic(), "at": verdict_now()}
    base |= {"started_at": verdict_now(), "checks": {"disk": Check(ok=True, detail="fine")}, "threshold_rows": 50}
    return Status(**{**base, **fields})


def states(found: Document) -> list[str]:
    return [found["verdict"]["state"], *(tile["state"] for tile in found["tiles"])]


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    story = Story(tmp_path)
    yield story
    story.journal.close()


@pytest.fixture
def well(story: Story) -> Story:
    """One drop, one promoted version."""
    story.accept("iris.csv")
    run = story.journal.runs.start("first model", f"{1:040x}", "d" * 32, 50)
    story.journal.runs.end(run, RunState.TRAINED, "forest", version=1, seconds=1.5)
    story.judge(1, "promoted")
    return story


# The answers


def test_empty_home_is_unknown_and_shows_the_quick_start(tmp_path: Path) -> None:
    home = Home(tmp_path / "new")
    found = document(home, Records(home), None, {})
    assert states(found) == ["unknown"] * 5
    page = render(found)
    assert str(home.inbox) in page
    assert "retraind init" in page
    assert 'class="tile ok"' not in page


def test_all_well(well: Story) -> None:
    found = well.document(alive())
    assert states(found) == ["ok"] * 5
    assert found["tiles"][1]["sentence"] == "The gate's sentence about version 1."
    assert "n = 30" in str(found["tiles"][3]["facts"])
    assert [station["kind"] for station in found["lineage"]] == [
        "drops",
        "batch",
        "revision",
        "run",
        "version",
        "predictor",
    ]
    assert found["lineage"][0]["name"] == "iris.csv"


def test_version_after_forgetting_comes_from_the_other_drops(story: Story) -> None:
    """The batch that took rows away brought none, and its drop taught nobody."""
    story.accept("iris.csv")
    story.accept("poison.csv")
    drop = story.journal.drops.taken(durable.sha256(b"poison.csv"))
    assert drop is not None
    seq = story.journal.erasures.forget(drop, "1.parquet", 50, None, "cli")
    story.journal.batches.commit(seq, f"{1:040x}", "d" * 32)
    story.judge(1, "promoted")
    drops, batch, *_ = story.document(alive())["lineage"]
    assert (drops["name"], batch["name"], batch["detail"]) == ("iris.csv", "no. 3 after 2 earlier", "50 rows forgotten")


def test_a_rollback_is_shown_once(story: Story) -> None:
    """Why the version is back stands in one place; rows that spoke for the other one say nothing against it."""
    story.accept("iris.csv")
    story.judge(1, "promoted")
    story.judge(2, "promoted", old=30)
    story.journal.versions.roll_back(2, "late labels tell against it")
    first = story.journal.versions.get(1)
    assert first is not None
    story.journal.swaps.record(1, 2, "Version 2 was rolled back: late labels tell against it")
    story.point(1, first["bundle"])
    _, serving, _, good = story.document(alive())["tiles"]
    assert serving["sentence"] == "v2 was rolled back: late labels tell against it"
    assert "rolled back" not in str(serving["facts"])
    assert good["headline"] == "0.983 accuracy"


def test_every_document_is_json(well: Story) -> None:
    well.reject(HOSTILE[0])
    assert orjson.loads(orjson.dumps(well.document(alive(), {"request_count": 1}))) is not None


def a_dead_daemon(_: Story) -> Status:
    return alive(heartbeat=time.monotonic() - 60)


def a_failing_check(_: Story) -> Status:
    return alive(checks={"disk": Check(ok=False, detail="Only 10 MB are left.")})


def a_starting_daemon(_: Story) -> Status:
    return alive(state="starting")


def a_lost_manifest(story: Story) -> Status:
    (story.home.bundle(1) / bundle.MANIFEST).unlink()
    return alive()


def a_changed_manifest(story: Story) -> Status:
    path = story.home.bundle(1) / bundle.MANIFEST
    path.write_bytes(path.read_bytes() + b"\n")
    return alive()


def a_broken_pointer(story: Story) -> Status:
    story.home.pointer.write_bytes(b"{}")
    return alive()


def an_unservable_version(story: Story) -> Status:
    story.judge(2, "held", old=1)
    story.journal.versions.mark_unservable(2, "its probe differs")
    return alive()


def a_version_that_was_rolled_back(story: Story) -> Status:
    story.judge(2, "refused", old=1)
    story.journal.versions.roll_back(2, "late labels tell against it")
    return alive()


def a_held_version(story: Story) -> Status:
    story.judge(2, "held", old=1)
    return alive()


def one_rejected_drop(story: Story) -> Status:
    story.reject("broken.csv")
    return alive()


def a_failed_training(story: Story) -> Status:
    run = story.journal.runs.start("50 new rows", f"{1:040x}", "d" * 32, 50)
    story.journal.runs.end(run, RunState.FAILED, "one class is empty")
    return alive()


def a_champion_that_got_worse(story: Story) -> Status:
    story.judge(2, "refused", wrong=20, old=15)
    return alive()


def three_refusals(story: Story) -> Status:
    for version in (2, 3, 4):
        story.judge(version, "refused", wrong=20, old=1)
    return alive()


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        ("onnx", ("ONNX", "within 1e-09 of scikit-learn")),
        ("treelite", ("treelite", "within 1e-09 of scikit-learn")),
        ("sklearn", ("scikit-learn", "neither ONNX nor treelite answers as it does")),
    ],
)
def test_the_backend_and_its_largest_difference_are_shown(well: Story, backend: str, said: tuple[str, str]) -> None:
    folder = well.home.bundle(1)
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    well.point(1, bundle.seal(folder, manifest.model_copy(update={"backend": backend})))
    [found] = [one for one in well.document(alive())["tiles"][1]["facts"] if one["label"] == "runs on"]
    assert (found["value"], found["note"]) == said


def test_it_is_reported_what_it_was_trained_on_and_whose_score_it_is(well: Story) -> None:
    folder = well.home.bundle(1)
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    twin = bundle.Twin(backend="onnx", input="float64", difference=0.0, trained_rows=80)
    well.point(1, bundle.seal(folder, manifest.model_copy(update={"twin": twin, "trained_rows": 100})))
    [found] = [one for one in well.document(alive())["tiles"][1]["facts"] if one["label"] == "trained on"]
    whose = "scores are of its twin, fitted on 80 rows without the held-out ones"
    assert (found["value"], found["note"]) == ("100 of 100 rows", f"revision {'0' * 10}; {whose}")


@pytest.mark.parametrize(
    ("scene", "tile", "state", "overall", "said"),
    [
        (a_dead_daemon, 0, "act", "act", "not running"),
        (a_failing_check, 0, "act", "act", "Only 10 MB are left."),
        (a_starting_daemon, 0, "watch", "watch", "starting"),
        (a_lost_manifest, 1, "act", "act", "cannot be read"),
        (a_changed_manifest, 1, "act", "act", "not the manifest"),
        (a_broken_pointer, 1, "act", "act", "not a pointer"),
        (an_unservable_version, 1, "act", "act", "its probe differs"),
        (a_version_that_was_rolled_back, 1, "watch", "watch", "v2 was rolled back: late labels tell against it"),
        (a_held_version, 1, "watch", "watch", "retraind promote"),
        (one_rejected_drop, 2, "watch", "watch", "broken.csv was rejected"),
        (a_dead_daemon, 2, "act", "act", "The inbox is not watched"),
        (a_failed_training, 3, "watch", "watch", "one class is empty"),
        (a_champion_that_got_worse, 3, "watch", "watch", "promote.tolerance = 0.02"),
        (three_refusals, 3, "watch", "watch", "3 challengers were refused"),
    ],
)
def test_what_is_wrong_is_shown(
    well: Story, scene: Callable[[Story], Status], tile: int, state: str, overall: str, said: str
) -> None:
    found = well.document(scene(well))
    assert found["tiles"][tile]["state"] == state
    assert found["verdict"]["state"] == overall
    assert said in found["tiles"][tile]["headline"] + found["tiles"][tile]["sentence"]
    assert render(found)


def test_a_start_without_a_model_promises_no_predictions(story: Story) -> None:
    tile = story.document(alive(state="starting"))["tiles"][0]
    assert (tile["headline"], tile["sentence"]) == (
        "The daemon is starting",
        "No model is loaded yet, so /predict answers 503.",
    )


def test_a_daemon_that_never_reported_needs_you_once_there_is_data(well: Story) -> None:
    assert states(well.document(None))[:2] == ["act", "act"]


def test_drops_that_are_all_rejected(story: Story) -> None:
    for number in range(3):
        story.reject(f"{number}.csv")
    assert story.document(alive())["tiles"][2]["state"] == "act"


def test_drops_that_a_person_has_rejected_are_no_failures(well: Story) -> None:
    """They are decisions, and stand between others without a trace in the page's word."""
    for number in range(3):
        well.reject(f"{number}.csv", by="http")
    found = well.document(alive())
    assert (found["tiles"][2]["state"], found["verdict"]["state"]) == ("ok", "ok")
    assert {step["name"]: step["state"] for step in found["now"]["steps"]}["validate"] == "done"
    told = ask(well.home.journal, "SELECT level FROM events WHERE kind = 'rejected'")
    assert [row["level"] for row in told] == ["info"] * 3
    for number in range(3, 6):
        well.reject(f"{number}.csv")
    assert well.document(alive())["tiles"][2]["state"] == "watch"


def test_data_and_quality_alone_never_say_act(well: Story) -> None:
    for _ in range(3):
        a_failed_training(well)
    found = well.document(alive())
    assert found["tiles"][3]["state"] == "act"
    assert found["verdict"]["state"] == "watch"


def test_a_score_on_few_rows_is_not_known(story: Story) -> None:
    story.accept("iris.csv")
    story.judge(1, "promoted", n=10)
    found = story.document(alive())
    assert found["tiles"][3]["state"] == "unknown"
    assert "10 more" in found["tiles"][3]["sentence"]
    assert found["verdict"]["state"] == "ok"


def test_no_data_for_long_is_worth_a_look(well: Story) -> None:
    facts = gather(well.home, Records(well.home), alive(), {}, None)
    late = replace(facts, now=facts.now + timedelta(days=9))
    assert health.flowing(late)["state"] == "watch"
    assert "9 days" in health.flowing(late)["sentence"]


def a_held_drop(story: Story, name: str) -> None:
    about: Any = {"bytes": 10, "rows_read": 60, "version": 1, "seen_at": None}
    held: Any = {"sha256": durable.sha256(name.encode()), "name": name, **about, "reason": "half is wrong"}
    story.journal.held.hold(held)


def test_a_drop_that_waits_for_a_person_is_worth_a_look(well: Story) -> None:
    a_held_drop(well, HOSTILE[0])
    tile = well.document(alive())["tiles"][2]
    assert (tile["state"], tile["headline"]) == ("watch", "1 drop waits for you")
    assert tile["sentence"] == f"{HOSTILE[0]} is held because half is wrong. Accept or reject it."
    a_held_drop(well, "b.csv")
    found = well.document(alive())
    assert found["tiles"][2]["headline"] == "2 drops wait for you"
    assert found["verdict"]["state"] == "watch"
    page = render(found)
    assert HOSTILE[0] not in page
    assert page.count('data-action="accept"') == page.count('data-action="reject"') == 2
    reader = replace(LOCAL, scopes=frozenset({Scope.READ, Scope.WRITE}))
    assert 'data-action="accept"' not in render(found, reader)


def test_tolerance_comes_from_the_settings(well: Story) -> None:
    a_champion_that_got_worse(well)
    settings = Settings(promote=Promote(tolerance=0.5))
    assert well.document(alive(), settings=settings)["tiles"][3]["state"] == "ok"


def test_failing_requests_are_watched_and_refused_ones_are_not(well: Story) -> None:
    refused = well.document(alive(), {"request_count": 100, "errors": {"422": 50}})
    assert refused["tiles"][0]["state"] == "ok"
    failing = well.document(alive(), {"request_count": 100, "errors": {"500": 5, "422": 1}})
    assert failing["tiles"][0]["state"] == "watch"
    assert failing["service"]["failures"] == 5


def test_requests_before_the_first_model_are_no_failures(well: Story) -> None:
    """A client that polls a new home: its page is not marked for ever."""
    polled = {"request_count": 100, "errors": {"503": 90}, "before_first_model": 90}
    page = well.document(alive(), polled)
    assert page["tiles"][0]["state"] == "ok"
    assert (page["service"]["failures"], page["service"]["before_first_model"]) == (0, 90)
    assert "before the first model" in render(page)
    failing = well.document(alive(), {**polled, "errors": {"503": 95}})
    assert failing["tiles"][0]["state"] == "watch"


def test_a_worker_that_lags_behind_the_pointer(well: Story) -> None:
    found = well.document(alive(), {"served_versions": [7]})
    assert found["tiles"][1]["state"] == "watch"
    assert "v7" in found["tiles"][1]["sentence"]


def test_rollback_names_the_version_that_served_before(well: Story) -> None:
    well.judge(2, "promoted", old=1)
    assert well.document(alive())["previous"] == 1
    assert 'data-from="2" data-to="1"' in render(well.document(alive()))


def test_a_version_brought_back_still_says_what_let_it_in(well: Story) -> None:
    well.judge(2, "promoted", old=1)
    well.journal.swaps.record(1, 2, "By request (rollback, http).")
    well.point(1, durable.sha256((well.home.bundle(1) / bundle.MANIFEST).read_bytes()))
    found = well.document(alive())
    assert found["tiles"][1]["sentence"] == "The gate's sentence about version 1."
    assert "By request (rollback, http)." in str(found["tiles"][1]["facts"])
    assert found["previous"] == 2


# Regression


def explained(n: int, r2: float | None) -> dict[str, Any]:
    return {"n": n, "r2": r2, "rmse": 12.25, "mae": 9.5}


def a_regression(
    story: Story, version: int = 1, state: str = "promoted", r2: float | None = 0.8, old: float = 0.8
) -> None:
    now = {"reference": explained(30, 0.75), "rolling": explained(60, r2)}
    before = {"reference": explained(30, 0.75), "rolling": explained(60, old)} if story.champion else None
    fitted = [{"name": "ridge", "cv_r2": 0.79, "cv_rmse": 13.5, "fit_seconds": 0.5}]
    scores = {"challenger": now, "champion": before, "champion_version": story.champion, "candidates": fitted}
    story.record(version, state, scores | {"cv_r2": 0.79}, bundles.PRICES)


def test_a_regression_is_shown_by_its_figures(story: Story) -> None:
    story.accept("prices.csv")
    a_regression(story)
    found = story.document(alive())
    assert states(found) == ["ok"] * 5
    assert found["tiles"][3]["headline"] == "0.800 R²"
    assert "RMSE 12.25, MAE 9.5" in found["tiles"][3]["sentence"]
    assert found["confusion"] is None
    assert found["errors"]
    assert found["errors"]["rows"] == [{"on": "held-out rows", "n": 60, "r2": 0.8, "rmse": 12.25, "mae": 9.5}]
    assert found["candidates"]
    assert (found["candidates"]["figure"], found["candidates"]["fitted"][0]["cv"]) == ("R²", 0.79)
    assert (found["versions"][0]["score"], found["versions"][0]["loss_figure"]) == (0.8, "RMSE")
    page = render(found)
    assert "12.25" in page
    assert "recall" not in page
    assert "The target, the last column, is a number." in page


def test_a_regression_that_got_worse_is_watched(story: Story) -> None:
    story.accept("prices.csv")
    a_regression(story)
    a_regression(story, 2, "refused", r2=0.6, old=0.5)
    tile = story.document(alive())["tiles"][3]
    assert (tile["state"], "It fell from 0.800" in tile["sentence"]) == ("watch", True)


def test_a_score_without_meaning_is_unknown(story: Story) -> None:
    story.accept("prices.csv")
    a_regression(story, r2=None)
    found = story.document(alive())
    assert found["tiles"][3]["state"] == "unknown"
    assert render(found)


def test_examples_hold_for_every_kind(story: Story) -> None:
    a_regression(story)
    lesson = story.document(alive())["teach"]
    said = orjson.loads(shlex.split(lesson["tell"])[0])
    assert encode(bundles.PRICES, said["features"])
    assert said["features"] == {"size": 110.0, "rooms": 4, "garden": True, "built": "2012-12-31", "town": "Aachen"}
    assert bundles.PRICES.label(said["target"]) == "1.5"


@pytest.mark.parametrize(
    ("metric", "then", "now", "headline", "fall"),
    [
        ("balanced_accuracy", 0.84, 0.66, "0.660 balanced accuracy", "It fell from 0.840"),
        ("balanced_accuracy", 0.66, 0.84, "0.840 balanced accuracy", ""),
        ("log_loss", 0.25, 0.5, "0.500 log loss", "It rose from 0.250"),
        ("log_loss", 0.5, 0.25, "0.250 log loss", ""),
    ],
)
def test_headline_is_of_the_metric_that_judges(
    well: Story, metric: str, then: float, now: float, headline: str, fall: str
) -> None:
    """With train.metric the page speaks of that, and of the accuracy beside it."""
    facts = gather(well.home, Records(well.home), alive(), {}, None)
    assert facts.champion is not None
    score: Any = {**facts.champion["scores"]["challenger"]["rolling"], "n": 100, "accuracy": 0.9, "metric": metric}
    first: JudgedVersion = {**facts.champion, "scores": {"challenger": {"rolling": score | {metric: then}}}}
    later: Scores = {"champion": {"rolling": score | {metric: now}}, "champion_version": first["version"]}
    second: JudgedVersion = {**first, "version": 2, "state": "refused", "scores": later}
    tile = quality.good(replace(facts, versions=[second, first]))
    assert tile["headline"] == headline
    assert "accuracy 0.900, 95 % interval" in tile["sentence"]
    assert tile["sentence"].startswith(fall or "On 100")


def test_late_labels_are_shown_and_can_raise_a_doubt(well: Story) -> None:
    facts = gather(well.home, Records(well.home), alive(), {}, None)
    good = quality.good(replace(facts, live={"n": 40, "accuracy": 0.975, "interval": (0.87, 0.99)}))
    assert good["state"] == "ok"
    assert "0.975 accuracy" in str(good["facts"])
    bad = quality.good(replace(facts, live={"n": 40, "accuracy": 0.5, "interval": (0.35, 0.65)}))
    assert (bad["state"], "Late labels say less" in bad["sentence"]) == ("watch", True)


def test_since_when_rows_judge_is_shown(well: Story) -> None:
    """Where the world has changed, the page says what the figures are of."""
    facts = gather(well.home, Records(well.home), alive(), {}, None)
    assert facts.champion is not None
    world: WorldChange = {"since": 1_772_496_000_000, "until": 1_772_668_800_000}
    scores: Scores = {**facts.champion["scores"], "world": world}
    tile = champion.serving(replace(facts, versions=[{**facts.champion, "scores": scores}]))
    assert [one["value"] for one in tile["facts"] if one["label"] == "judged by"] == ["rows since 3 March 2026"]
    assert "judged by" not in str(champion.serving(facts))


def test_trial_of_a_new_champion_is_shown(story: Story) -> None:
    """As soon as there are labels, until there are enough of them; a version that was brought back is on none."""

    def said(number: int, before: int | None, labels: int) -> list[str]:
        facts = gather(story.home, Records(story.home), alive(), {}, None)
        assert facts.pointer is not None
        pointer = facts.pointer.model_copy(update={"version": number})
        swap: SwapRow = {"id": 1, "version": number, "previous": before, "reason": "so", "at": facts.pointer.since}
        tile = champion.serving(replace(facts, pointer=pointer, swaps=[swap], live={"n": labels} if labels else None))
        return [one["value"] for one in tile["facts"] if one["label"] == "on trial"]

    story.accept("a.csv")
    story.judge(1, "promoted")
    story.judge(2, "promoted", old=1)
    assert said(2, 1, 12) == ["12 of 50 late labels"]
    assert said(2, 1, 60) == ["60 late labels"]
    assert said(2, 1, 0) == said(2, 1, 1000) == said(2, None, 12) == said(1, 2, 12) == []


def test_no_button_leads_back_to_what_was_rolled_back(story: Story) -> None:
    story.accept("a.csv")
    story.judge(1, "promoted")
    story.judge(2, "promoted", old=1)
    assert story.document(alive())["previous"] == 1
    story.journal.versions.roll_back(2, "late labels tell against it")
    first = story.journal.versions.get(1)
    assert first is not None
    story.journal.swaps.record(1, 2, "Version 2 was rolled back.")
    story.point(1, first["bundle"])
    assert story.document(alive())["previous"] is None


def test_a_version_that_waits_has_a_button(story: Story) -> None:
    """As long as it waits; who looks at the page need not find a terminal."""
    story.accept("a.csv")
    story.judge(1, "promoted")
    assert 'data-action="promote"' not in render(story.document(alive()))
    story.judge(2, "held", old=1)
    found = story.document(alive())
    assert found["held"] == 2
    assert "Promote v2</button>" in render(found)


# The steps


def test_steps_follow_the_work(story: Story) -> None:
    def work() -> list[str]:
        return [step["state"] for step in story.document(alive())["now"]["steps"]]

    assert work() == ["idle"] * 5
    story.journal.batches.accept(
        {"segment": "s", "sha256": "e", "md5": "0", "rows": 50, "bytes": 1}, [story.drop("a.csv")]
    )
    assert work() == ["done", "active", "idle", "idle", "idle"]
    story.journal.batches.commit(1, "a" * 40, "d" * 32)
    run = story.journal.runs.start("first model", "a" * 40, "d" * 32, 50)
    assert work() == ["done", "done", "active", "idle", "idle"]
    story.journal.runs.end(run, RunState.TRAINED, "forest", version=1)
    assert work() == ["done", "done", "done", "active", "idle"]
    story.judge(1, "promoted")
    assert work() == ["done"] * 5
    story.judge(2, "refused", old=1)
    assert work() == ["done", "done", "done", "failed", "done"]


def test_a_training_shows_its_stage(well: Story) -> None:
    training = Training(run=2, reason="50 new rows", stage="fitting tree", step=3, steps=7, since=verdict_now())
    now = well.document(alive(training=training, backlog_files=2, backlog_bytes=1500))["now"]
    assert now["steps"][2]["detail"] == "fitting tree"
    assert (now["steps"][2]["step"], now["steps"][2]["steps"]) == (3, 7)
    assert now["steps"][0]["detail"] == "2 files, 1.5 kB"
    assert "50 new rows" in now["sentence"]
    dead = gather(well.home, Records(well.home), a_dead_daemon(well), {}, None)
    assert "no daemon" in steps(dead)["sentence"]


@pytest.mark.parametrize(("pending", "said"), [(20, "30 more rows start a training"), (60, "60 new rows are enough")])
def test_what_a_training_waits_for_is_reported(well: Story, pending: int, said: str) -> None:
    """Rows, or the pause between two trainings: nobody should wonder why nothing happens."""
    assert said in well.document(alive(rows_pending=pending))["now"]["sentence"]


# The page


def test_user_text_is_escaped_and_shown(well: Story) -> None:
    well.accept(*HOSTILE)
    for name in HOSTILE:
        well.reject(name)
        well.journal.events.record(EventKind.PROBLEM, name, level=Level.ERROR)
    page = render(well.document(alive()))
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "{{7*7}}" in page
    assert "\u202e" not in page
    assert "a\\u202egnp.csv" in page


def test_the_page_fits_its_content_security_policy(well: Story) -> None:
    page = render(well.document(alive()))
    assert not re.search(r"""\sstyle=|\son\w+=|<style|javascript:""", page)
    sources = re.findall(r'(?:src|href)="([^"#][^"]*)"', page)
    assert sources
    assert all("//" not in source and not source.startswith("/") for source in sources)
    assert all(dashboard.asset(source.removeprefix("static/")) for source in sources if source.startswith("static/"))


def test_curl_lines_survive_a_shell(well: Story) -> None:
    lesson = well.document(alive())["teach"]
    said = subprocess.run(["sh", "-c", f"printf %s {lesson['tell']}"], capture_output=True, check=True).stdout
    assert orjson.loads(said) == {"features": {"petal, length": 3.95, "it's": "red"}, "target": "setosa"}
    assert lesson["header"] == '"petal, length",it\'s,species'


def test_assets_are_a_closed_set() -> None:
    name = dashboard.asset_name("dashboard.css")
    found = dashboard.asset(name)
    assert found is not None
    assert found[1].startswith("text/css")
    assert re.fullmatch(r"dashboard\.[0-9a-f]{12}\.css", name)
    for outside in ("dashboard.css", "../dashboard.py", "", "/etc/passwd"):
        assert dashboard.asset(outside) is None


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "now"), (59, "59 s ago"), (60, "1 min ago"), (7300, "2 h ago"), (-90, "in 1 min")]
)
def test_relative_times(seconds: float, said: str) -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert dashboard.ago(now - timedelta(seconds=seconds), now) == said


def test_wilson_interval_of_29_in_30() -> None:
    low, high = quality.wilson(29 / 30, 30)
    assert (round(low, 3), round(high, 3)) == (0.833, 0.994)
    assert quality.wilson(0.0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("score", "figure"), [(0.0, "accuracy"), (0.5, "accuracy"), (1.0, "accuracy"), (0.999, "R²"), (-3.0, "R²")]
)
@pytest.mark.parametrize("count", [0, 1, 100])
def test_every_dot_is_inside_its_picture(score: float, figure: str, count: int) -> None:
    rows: list[chart.Plotted] = [
        {"number": n, "state": "promoted", "champion": False, "score": score, "figure": figure, "n": 10**6}
        for n in range(count)
    ]
    picture = chart.points(rows, 340, 12)
    assert len(picture["dots"]) == min(count, 12)
    for dot in picture["dots"]:
        assert picture["left"] <= dot["x"] <= picture["right"]
        assert 0 <= dot["high"] <= dot["y"] <= dot["low"] <= picture["base"]


# The page in a browser


@pytest.fixture
def address(well: Story) -> Iterator[str]:
    """The page under the policy of the real server; the stream answers 404, so that the page has to poll."""
    for name in HOSTILE:
        well.reject(name)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, kind = dashboard.asset(self.path.removeprefix("/static/")) or (b"", "text/html; charset=utf-8")
            if self.path == "/dashboard":
                body = render(well.document(alive())).encode()
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", kind)
            policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"
            self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/dashboard"
        server.shutdown()
        thread.join()


@pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="there is no chromium on this machine")
def test_a_browser_shows_the_answers_and_runs_no_foreign_script(address: str, tmp_path: Path) -> None:
    assert CHROMIUM, "CI needs chromium for this test."
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    quiet = "--disable-component-update --disable-sync --enable-logging=stderr --virtual-time-budget=2000 --dump-dom"
    command = [CHROMIUM, *flags.split(), *quiet.split(), f"--user-data-dir={tmp_path / 'browser'}", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    page = done.stdout
    assert re.search(r'<html lang="en" data-up="" class="scripted"', page), done.stderr
    assert address.removesuffix("/dashboard") + "</span>/predict" in page, "the script has not run to its end"
    assert len(re.findall(r'<article class="tile ', page)) == 4
    assert "The gate's sentence about version 1." in page
    assert "&lt;script&gt;alert(1)" in page
    assert "Content Security Policy" not in done.stderr
