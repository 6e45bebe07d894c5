"""retraind.daemon.ingest.reading.late_labels: late labels joined with real predictions, real bundles and a real journal."""

import time
from contextlib import closing
from typing import Any

import bundles
import orjson
import pytest
from ingesting import HEADER, Parts, row
from label_schemas import PRICES, WIDE

from retraind.daemon.artifacts import bundle
from retraind.daemon.core import durable
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import DropRecord
from retraind.daemon.core.settings import Inbox, Settings
from retraind.daemon.core.states import VersionState
from retraind.daemon.ingest import label_wait
from retraind.daemon.ingest.label_wait import AGAIN_SECONDS
from retraind.daemon.ingest.reading.late_labels import Joined, Labels
from retraind.daemon.records.records import Records
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.prediction_history import HistoryCopier
from retraind.daemon.tabular import rows

pytestmark = pytest.mark.engines(full=True)

FEATURES = [1.5, 3, True, "red", "2026-01-31"]


@pytest.fixture
def labels(home: Home, journal: Journal) -> Labels:
    return Labels(home, journal)


def trained(home: Home, journal: Journal, version: int, schema: Schema) -> None:
    """A judged version whose manifest has this schema; labels need no more of a bundle than that."""
    pointer = bundles.make(home, version)
    manifest = bundle.read_manifest(home.bundle(version), pointer.manifest).model_copy(update={"data_schema": schema})
    facts = dict.fromkeys(("mlflow_run", "revision", "dvc_md5", "trigger", "candidate", "backend"), "test")
    row: Any = {**facts, "rows": 150, "trained_rows": 120, "scores": "{}", "version": version}
    journal.versions.judge(
        row | {"bundle": bundle.seal(home.bundle(version), manifest)}, VersionState.PROMOTED, "For a test."
    )


def predicted(home: Home, *entries: dict[str, Any]) -> None:
    """Predictions as a worker logs them, copied into the history."""
    common = {"timestamp": "2026-01-01T00:00:00.000Z", "confidence": 0.9, "latency_ms": 0.5, "model_version": 1}
    common |= {"features": FEATURES, "prediction": 0, "prediction_name": "low"}
    lines = [orjson.dumps({**common, **entry}) + b"\n" for entry in entries]
    log = home.logs / "predictions-0-20260101T000000000000-1.jsonl"
    log.write_bytes(b"".join(lines))
    with closing(HistoryCopier(home, Settings())) as history_copier:
        assert history_copier.copy() == len(entries)


def accepted(journal: Journal, joined: Joined) -> None:
    """What ingestion does with the records of a join."""
    sha256 = durable.sha256(b"labels")
    drop: DropRecord = {"sha256": sha256, "name": "labels.csv", "source": "label", "bytes": 6, "settled_at": "now"}
    batch: Any = {
        "segment": f"{sha256}.parquet",
        "sha256": sha256,
        "md5": "0" * 32,
        "rows": len(joined.rows),
        "bytes": 1,
    }
    journal.batches.accept(batch, [drop], [{**record, "drop": sha256} for record in joined.records])


def test_a_label_makes_a_row_of_what_was_predicted_on(home: Home, journal: Journal, labels: Labels) -> None:
    trained(home, journal, 1, WIDE)
    missing = [None, 4.0, None, "blue", "2026-01-31T12:00:00Z"]
    predicted(home, {"prediction_id": "a"}, {"prediction_id": "b", "features": missing})
    joined = labels.join([" b ", "a"], ["high", " low"], WIDE)
    assert joined.cells.to_pylist() == [
        {
            "weight": "",
            "count": "4",
            "fresh": "",
            "colour": "blue",
            "day": "2026-01-31T12:00:00+00:00",
            "grade": "high",
        },
        {
            "weight": "1.5",
            "count": "3",
            "fresh": "true",
            "colour": "red",
            "day": "2026-01-31T00:00:00",
            "grade": " low",
        },
    ]
    assert joined.cells.column_names == [*WIDE.features, "grade"]
    assert joined.rows.tolist() == [0, 1]
    assert (joined.bad, joined.duplicates) == ([], 0)
    assert joined.records == [
        {"prediction_id": "b", "version": 1, "prediction": "low", "truth": "high"},
        {"prediction_id": "a", "version": 1, "prediction": "low", "truth": "low"},
    ]


def test_every_reason_is_reported_and_the_good_rows_go_on(home: Home, journal: Journal, labels: Labels) -> None:
    trained(home, journal, 1, WIDE)
    predicted(
        home,
        {"prediction_id": "good"},
        {"prediction_id": "short", "features": [1.0]},
        {"prediction_id": "lost", "model_version": 9},
        {"prediction_id": "none"},
    )
    ids = ["nobody", "", "none", "good", "good", "good", "short", "lost"]
    joined = labels.join(ids, ["low", "low", " ", "low", "high", " low", "low", "low"], WIDE)
    assert joined.rows.tolist() == [3]
    assert joined.duplicates == 1
    reasons = {bad.row: (bad.column, bad.reason) for bad in joined.bad}
    assert list(reasons) == [0, 1, 2, 4, 6, 7]
    assert [column for column, _ in reasons.values()] == ["prediction_id"] * 2 + ["grade"] * 2 + ["prediction_id"] * 2
    assert "'nobody' is not in the prediction history" in reasons[0][1]
    assert "give the prediction_id" in reasons[1][1]
    assert "leave the row out" in reasons[2][1]
    assert "labelled 'low' already" in reasons[4][1]
    assert "1 values" in reasons[6][1]
    assert "version 9" in reasons[7][1]
    assert all(reason.endswith(".") for _, reason in reasons.values())


def test_a_prediction_is_labelled_once(home: Home, journal: Journal, labels: Labels) -> None:
    trained(home, journal, 1, WIDE)
    predicted(home, {"prediction_id": "a"}, {"prediction_id": "b"})
    first = labels.join(["a"], [" high"], WIDE)
    assert first.records[0]["truth"] == "high"
    pending = {str(record["prediction_id"]): str(record["truth"]) for record in first.records}
    assert labels.join(["a"], ["high"], WIDE, pending).duplicates == 1
    assert len(labels.join(["a"], ["low"], WIDE, pending).bad) == 1
    accepted(journal, first)
    again = labels.join(["a", "a", "b"], ["high", "low", "low"], WIDE)
    assert (again.duplicates, [bad.row for bad in again.bad], again.rows.tolist()) == (1, [1], [2])


def test_label_that_stands_for_a_missing_value_is_none(home: Home, journal: Journal, labels: Labels) -> None:
    """It is said to be missing, and the prediction may be labelled later; features asked with a marker are missing, too."""
    trained(home, journal, 1, WIDE)
    predicted(home, {"prediction_id": "a", "features": ["NA", *FEATURES[1:]]})
    marked = Schema(**(WIDE.model_dump() | {"missing_values": ["NA"]}))
    [bad] = labels.join(["a"], ["NA"], marked).bad
    assert (bad.column, bad.reason.partition(":")[0]) == ("grade", "The row has no label")
    joined = labels.join(["a"], ["low"], marked)
    assert rows.check(joined.cells, marked, Inbox()).table.to_pylist()[0]["weight"] is None


def test_columns_come_and_go(home: Home, journal: Journal, labels: Labels) -> None:
    trained(home, journal, 1, WIDE)
    predicted(home, {"prediction_id": "a"})
    size = Column(name="size", kind="number", missing=True)
    now = WIDE.model_copy(update={"columns": [size, WIDE.columns[3], WIDE.columns[0]], "decimal": ","})
    joined = labels.join(["a"], ["low"], Schema.model_validate(now.model_dump()))
    assert joined.cells.to_pylist() == [{"size": "", "colour": "red", "weight": "1,5", "grade": "low"}]


def test_numbers_are_labelled_too(home: Home, journal: Journal, labels: Labels) -> None:
    trained(home, journal, 1, PRICES)
    predicted(home, {"prediction_id": "a", "features": [80], "prediction": 200, "prediction_name": None})
    comma = PRICES.model_copy(update={"decimal": ","})
    joined = labels.join(["a", "a", "a"], ["210,50", "2.105e2", "211"], comma)
    assert joined.cells.to_pylist() == [{"area": "80", "price": "210,50"}]
    assert joined.records == [{"prediction_id": "a", "version": 1, "prediction": "200.0", "truth": "210.5"}]
    assert (joined.duplicates, len(joined.bad)) == (1, 1)


def test_a_tampered_manifest_is_not_believed(home: Home, journal: Journal, labels: Labels) -> None:
    trained(home, journal, 1, WIDE)
    predicted(home, {"prediction_id": "a"})
    manifest = home.bundle(1) / bundle.MANIFEST
    manifest.write_bytes(manifest.read_bytes().replace(b"weight", b"height"))
    reasons = [bad.reason for bad in labels.join(["a"], ["low"], WIDE).bad]
    assert len(reasons) == 1
    assert "is not the manifest that was recorded" in reasons[0]


@pytest.mark.parametrize("damage", ["absent", "no database"])
def test_labels_wait_while_the_history_cannot_be_read(home: Home, labels: Labels, damage: str) -> None:
    if damage == "no database":
        home.history.write_bytes(b"no database at all " * 100)
    with pytest.raises(Unavailable, match=r"predictions\.db"):
        labels.join(["a"], ["low"], WIDE)


def test_no_labels_give_no_rows(home: Home, labels: Labels) -> None:
    predicted(home)
    joined = labels.join([], [], WIDE)
    assert (joined.cells.num_rows, len(joined.rows), joined.bad, joined.records) == (0, 0, [], [])
    assert joined.cells.column_names == [*WIDE.features, "grade"]


def test_thousands_of_ids_are_looked_up(home: Home, journal: Journal, labels: Labels) -> None:
    trained(home, journal, 1, WIDE)
    predicted(home, *({"prediction_id": f"p{number}"} for number in range(1201)))
    joined = labels.join([f"p{number}" for number in range(1300)], ["low"] * 1300, WIDE)
    assert joined.rows.tolist() == list(range(1201))
    assert [bad.row for bad in joined.bad] == list(range(1201, 1300))


@pytest.mark.engines(server=False)  # its bundle is recorded by a second writer
def test_labels_come_as_a_drop_and_become_rows_once(home: Home, iris: bytes) -> None:
    parts = Parts(home)
    bundles.point(home, bundles.make(home, 1))
    setosa = {"features": bundles.SETOSA, "prediction_name": "setosa"}
    predicted(home, *({**setosa, "prediction_id": one} for one in ("p1", "p2", "p3")))
    parts.drop("labels.csv", "species,prediction_id\nvirginica,p1\nsetosa,p9\nsetosa,p2\n0,p2\n")
    parts.run()
    assert parts.lengths == [5.1, 5.1]
    records = Records(home)
    outcome = records.drops.newest()[0]
    counts = {"rows_read": 4, "rows_accepted": 2, "rows_refused": 1, "rows_duplicate": 1}
    assert (
        outcome.items()
        >= {**counts, "state": "accepted", "source": "label", "line": 3, "column": "prediction_id"}.items()
    )
    assert outcome["bad_file"] is not None
    quarantine = (home.rejected / outcome["bad_file"]).read_text().splitlines()
    assert quarantine[1].startswith("3,prediction_id,")
    assert quarantine[1].endswith(",setosa,p9")
    live = records.versions.live(1)
    assert live is not None
    assert (live["n"], live["accuracy"]) == (2, 0.5)
    parts.drop("again.csv", "prediction_id,species\np1,virginica\np2,setosa\n")
    parts.drop("more.csv", "prediction_id,species\np2,setosa\np3,setosa\n")
    parts.reopen()
    parts.run()
    assert parts.lengths == [5.1] * 3
    assert records.totals.labels() == 3
    assert sorted((drop["name"], drop["state"], drop["rows_duplicate"]) for drop in records.drops.newest(2)) == [
        ("again.csv", "duplicate", 2),
        ("more.csv", "accepted", 1),
    ]
    parts.drop("odd.csv", "prediction_id,species\np1,virginica\np8,setosa\n")
    parts.run()
    odd = records.drops.newest(1)[0]
    assert (odd["state"], odd["line"], odd["rows_read"]) == ("rejected", 3, 2)
    assert (home.rejected / "odd.csv").exists()
    parts.close()


EARLY = "species,prediction_id\nvirginica,p1\nsetosa,p2\n"
"""Labels for two predictions."""


@pytest.mark.engines(server=False)
def test_labels_wait_for_the_log_of_a_node_and_other_drops_do_not(home: Home, iris: bytes) -> None:
    """Until the node has shipped all that it logged before they came; they are quarantined only for what is unknown then."""
    parts = Parts(home)
    wait = parts.ingestion.intake.label_wait
    complete = [time.monotonic() - 10.0]
    wait.complete_until = lambda: complete[0]
    bundles.point(home, bundles.make(home, 1))
    setosa = {"features": bundles.SETOSA, "prediction_name": "setosa"}
    predicted(home, {**setosa, "prediction_id": "p1"})
    parts.drop("early.csv", EARLY)
    parts.drop("rows.csv", HEADER + row(1.0))
    parts.run()
    assert (parts.waiting, parts.lengths) == (["early.csv"], [1.0])
    assert wait.sentence() == "1 file of late labels waits for predictions of nodes."
    parts.run()
    assert parts.waiting == ["early.csv"]
    predicted(home, {**setosa, "prediction_id": "p2"})
    parts.drop("unknown.csv", "species,prediction_id\nsetosa,p9\n")
    parts.now += AGAIN_SECONDS
    parts.run()
    assert (parts.waiting, parts.lengths) == (["unknown.csv"], [1.0, 5.1, 5.1])
    complete[0] = time.monotonic()
    parts.now += AGAIN_SECONDS
    parts.run()
    assert (parts.waiting, wait.sentence()) == ([], "")
    assert parts.drops()[-1] == ("unknown.csv", "rejected")


@pytest.mark.engines(server=False)
def test_labels_do_not_wait_for_a_lost_node_for_ever(home: Home, iris: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Parts(home)
    parts.ingestion.intake.label_wait.complete_until = lambda: float("-inf")
    bundles.point(home, bundles.make(home, 1))
    predicted(home, {"prediction_id": "p1", "features": bundles.SETOSA, "prediction_name": "setosa"})
    parts.drop("early.csv", EARLY)
    parts.run()
    assert parts.waiting == ["early.csv"]
    monkeypatch.setattr(label_wait, "MOST_SECONDS", 0.0)
    parts.now += AGAIN_SECONDS
    parts.run()
    assert (parts.waiting, parts.lengths) == ([], [5.1])
