"""retraind.daemon.drift.watch: a real bundle, history and journal; checks run beside the loop and are recorded by it."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import bundles
import numpy as np
import orjson
import pytest
from service import wait_until
from sites import Client
from test_records import labelled

from retraind.daemon.artifacts import bundle, reference_sample
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import DriftRecord
from retraind.daemon.core.settings import Drift, Settings
from retraind.daemon.core.states import DriftState, VersionState
from retraind.daemon.drift.watch import DriftWatch
from retraind.daemon.storage import history_tables
from retraind.daemon.storage.journal import Journal

DRIFT = Drift(check_seconds=5, window_rows=200, min_rows=50)


class Stage:
    """A home with a version, its predictions and a watch whose clock is moved by hand."""

    def __init__(self, home: Home, journal: Journal, settings: Drift = DRIFT) -> None:
        self.home, self.journal = home, journal
        self.watch = DriftWatch(home, settings, journal)
        self.now = 100.0
        self.history = history_tables.connect(home.history)
        self.random = random.Random(1)
        self.champion = self.make(1)
        self.step()

    def make(self, version: int, *, known: bool = True) -> tuple[int, str]:
        """Seal a bundle of Iris and let it serve; without `known` it has no reference."""
        pointer = bundles.make(self.home, version)
        folder = self.home.bundle(version)
        if known:
            rows = np.array([self.flower() for _ in range(300)])
            sealed = bundle.read_manifest(folder, pointer.manifest)
            files = reference_sample.write(folder, rows, rows[:150], bundle.load(folder, pointer.manifest).answers, 1)
            sha256 = bundle.seal(folder, sealed.model_copy(update={"files": {**sealed.files, **files}}))
            pointer = pointer.model_copy(update={"manifest": sha256})
        self.home.pointer.write_bytes(pointer.model_dump_json().encode())
        row = dict.fromkeys(("mlflow_run", "revision", "dvc_md5", "trigger", "candidate", "backend"), "test")
        facts: Any = {
            **row,
            "rows": 150,
            "trained_rows": 120,
            "scores": "{}",
            "version": version,
            "bundle": pointer.manifest,
        }
        self.journal.versions.judge(facts, VersionState.PROMOTED, "For a test.")
        return version, pointer.manifest

    def flower(self, shift: float = 0.0) -> list[float]:
        return [self.random.gauss(mean, 0.5) + shift for mean in bundles.SETOSA]

    def ask(self, count: int, shift: float = 0.0, version: int | None = None) -> None:
        """Predictions as the copier copies them."""
        for _ in range(count):
            row = (
                "id",
                "t",
                orjson.dumps(self.flower(shift)).decode(),
                0,
                "setosa",
                0.9,
                version or self.champion[0],
                0.1,
                "local",
            )
            self.history.execute(history_tables.INSERT, row)

    def step(self) -> None:
        self.watch.step(self.now, self.champion)

    def check(self) -> dict[str, Any]:
        """Let the next check become due, run and be recorded."""
        before = self.newest()
        self.now += DRIFT.check_seconds
        self.step()
        self.finish()
        report = self.newest()
        assert report != before, "nothing was recorded"
        return report

    def finish(self) -> None:
        running = self.watch._running
        if running is not None:
            wait_until(running.done, what="the check")
            self.step()

    def newest(self) -> dict[str, Any]:
        report = self.journal.drift_checks.last()
        return dict(report) if report else {}

    def events(self) -> list[tuple[str, str]]:
        with closing(sqlite3.connect(self.home.journal)) as connection:
            return connection.execute("SELECT level, message FROM events WHERE kind = 'drift' ORDER BY id").fetchall()

    def close(self) -> None:
        self.watch.close()
        self.history.close()


@pytest.fixture
def stage(home: Home, journal: Journal) -> Iterator[Stage]:
    stage = Stage(home, journal)
    yield stage
    stage.close()


def test_the_first_check_waits_for_its_time(stage: Stage) -> None:
    """A service that starts is not held up, and without a champion there is nothing to check."""
    stage.now += 4.9
    stage.step()
    stage.watch.step(stage.now + 1, None)
    assert stage.watch._running is None


def test_shifted_predictions_raise_an_alarm_and_the_usual_ones_end_it(stage: Stage) -> None:
    assert (stage.check()["state"], stage.newest()["n"]) == ("waiting", 0)
    stage.ask(200)
    assert stage.check()["state"] == "ok"
    assert stage.events() == []
    stage.ask(200, shift=2.0)
    report = stage.check()
    assert [report[key] for key in ("state", "alarm", "version", "n", "drifted")] == ["drift", 1, 1, 200, 4]
    assert orjson.loads(report["detail"])["features"][0]["drifted"]
    stage.ask(10, shift=2.0)
    assert stage.check()["alarm"] == 1
    assert stage.events() == [("warning", report["reason"])]
    stage.ask(200)
    assert stage.check()["alarm"] == 0
    assert stage.events()[1:] == [
        (
            "info",
            "The alarm for drift has ended: In the last 200 predictions no feature differs from the training data.",
        )
    ]


def test_only_the_window_of_the_served_version_counts(stage: Stage) -> None:
    stage.ask(100, shift=2.0)
    stage.ask(200)
    stage.ask(200, shift=2.0, version=9)
    assert stage.check()["state"] == "ok"


def test_nothing_is_recorded_when_nothing_came(stage: Stage) -> None:
    stage.ask(60)
    before = stage.check()
    stage.now += 100
    stage.step()
    stage.finish()
    assert stage.newest() == before


def test_an_alarm_ends_with_its_version(stage: Stage) -> None:
    stage.ask(200, shift=2.0)
    assert stage.check()["alarm"] == 1
    stage.champion = stage.make(2)
    assert stage.check()["reason"].startswith("Version 2 has made 0 of the 50 predictions")
    assert len(stage.events()) == 2


def test_a_bundle_from_before_has_no_reference_and_no_alarm(stage: Stage) -> None:
    stage.champion = stage.make(2, known=False)
    stage.ask(200, shift=5.0)
    report = stage.check()
    assert (report["state"], report["alarm"]) == ("waiting", 0)
    assert "no reference" in report["reason"]


def test_a_damaged_reference_stops_nothing_and_is_tried_again(stage: Stage) -> None:
    path = stage.home.bundle(1) / reference_sample.FILE
    whole = path.read_bytes()
    path.write_bytes(b"nonsense")
    stage.now += 5
    stage.step()
    stage.finish()
    assert stage.newest() == {}
    path.write_bytes(whole)
    stage.ask(60)
    assert stage.check()["state"] == "ok"


def test_a_risen_error_is_found_again_after_a_restart(stage: Stage) -> None:
    """The detector has no file of its own: the labels in the journal make it again."""
    labelled(stage.journal, 1, *[("setosa", "setosa")] * 200)
    assert stage.check()["state"] == "waiting"
    labelled(stage.journal, 1, *[("virginica", "setosa")] * 100, start=200)
    report = stage.check()
    assert (report["state"], report["alarm"]) == ("drift", 1)
    assert "The error on late labels changed from" in report["reason"]
    stage.watch.close()
    stage.watch, stage.now = DriftWatch(stage.home, DRIFT, stage.journal), 0.0
    stage.step()
    again = stage.check()
    assert (again["reason"], orjson.loads(again["detail"])["error"]["n"]) == (report["reason"], 300)


def test_errors_of_a_regression_are_absolute(home: Home, journal: Journal) -> None:
    """They are told in the target's unit, also where they are far beyond the usual ones."""
    pointer = bundles.make_prices(home, 1)
    known = bundle.read_manifest(home.bundle(1), pointer.manifest)
    scores = {"challenger": {"rolling": {"n": 30, "mae": 1.0}}}
    sha256 = bundle.seal(home.bundle(1), known.model_copy(update={"scores": scores}))
    labelled(journal, 1, *[("100.0", repr(100.0 + number % 3)) for number in range(200)])
    labelled(journal, 1, *[("100.0", "60.0")] * 60, start=200)
    with closing(DriftWatch(home, DRIFT, journal)) as watch:
        report = watch._check(1, sha256)
    assert report is not None
    assert report["error"] is not None
    assert (report["state"], report["error"]["n"], report["error"]["rose"]) == ("drift", 260, True)
    assert report["error"]["before"] == pytest.approx(1.0, abs=0.5)
    assert report["error"]["now"] == pytest.approx(40.0, abs=10)


def test_the_journal_keeps_the_newest_checks(home: Home, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retraind.daemon.storage.entries.drift_checks.DRIFTS_KEPT", 20)
    row: DriftRecord = {
        "version": 1,
        "n": 0,
        "drifted": 0,
        "state": DriftState.OK,
        "alarm": 0,
        "reason": "Fine.",
        "detail": "{}",
    }
    for _ in range(30):
        journal.drift_checks.record(row)
    with closing(sqlite3.connect(home.journal)) as connection:
        kept = connection.execute("SELECT id, detail IS NULL FROM drifts ORDER BY id").fetchall()
    assert [number for number, _ in kept] == list(range(11, 31))
    assert sum(bare for _, bare in kept) == 10


def test_checks_can_be_switched_off(home: Home, journal: Journal) -> None:
    with closing(DriftWatch(home, Drift(check_seconds=0), journal)) as watch:
        watch.step(0.0, (1, "none"))
        watch.step(1e9, (1, "none"))
        assert watch._running is None


# As the workers show it


def asked(client: Client, path: str) -> Any:
    status, _, body = client.ask("GET", path)
    assert status == 200
    return body


def test_drift_is_answered_scraped_and_shown(stage: Stage) -> None:
    client = Client(stage.home)
    waiting = orjson.loads(asked(client, "/drift"))
    assert (waiting["state"], waiting["features"]) == ("waiting", [])
    assert waiting["reason"].startswith("Version 1 has not been compared")
    scraped = asked(client, "/prometheus_metrics").decode()
    assert "retraind_drift_alarm 0.0\n" in scraped
    assert "\nretraind_drift_share " not in scraped
    stage.ask(200, shift=2.0)
    stage.check()
    answer = orjson.loads(asked(client, "/drift"))
    assert (answer["state"], answer["version"], answer["n"], answer["window"]) == ("drift", 1, 200, 200)
    assert [one["name"] for one in answer["features"]] == bundles.NAMES
    scraped = asked(client, "/prometheus_metrics").decode()
    for line in ("alarm 1.0", "features 4.0", "share 1.0"):
        assert f"retraind_drift_{line}\n" in scraped
    assert scraped.count("\nretraind_drift{feature=") == 4
    page = asked(client, "/dashboard").decode()
    assert answer["reason"].replace("'", "&#39;") in page
    assert page.count('class="state drifted"') == 4


def test_an_alarm_is_worth_a_look_and_no_more(stage: Stage) -> None:
    stage.ask(200, shift=2.0)
    stage.check()
    shown = orjson.loads(asked(Client(stage.home), "/dashboard/data"))
    good = shown["tiles"][3]
    assert (good["id"], good["state"]) == ("good", "watch")
    assert good["sentence"] == shown["drift"]["reason"]
    assert shown["drift"]["word"] == "WATCH"


def test_switched_off_is_reported(stage: Stage) -> None:
    client = Client(stage.home, Settings(drift=Drift(check_seconds=0)))
    assert orjson.loads(asked(client, "/drift"))["reason"] == "Drift is not checked: drift.check_seconds = 0."
