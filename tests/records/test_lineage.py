"""retraind.daemon.records.lineage, `retraind lineage` and `GET /versions/V`: one chain, told in two ways. Real journal, history and bundles."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import bundles
import pytest
from commands import SEEN, forked
from journal_entries import a_batch, a_drop
from sites import Client
from sqlalchemy import text

from retraind.daemon.artifacts import bundle
from retraind.daemon.core import requests
from retraind.daemon.core.errors import Exit
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import DropRow
from retraind.daemon.core.states import DropState, RunState, VersionState
from retraind.daemon.records import lineage
from retraind.daemon.records.lineage_chain import Chain
from retraind.daemon.records.query import typed
from retraind.daemon.storage.history_tables import COLUMNS, INSERT, TABLES
from retraind.daemon.storage.journal import Journal

pytestmark = pytest.mark.engines


def sha(number: int) -> str:
    return f"{number:064x}"


def revision(seq: int) -> str:
    return f"{seq:040x}"


def take(journal: Journal, number: int, rows: int = 5) -> int:
    """One drop in one batch, committed."""
    drop = a_drop(f"{number}.csv", sha256=sha(number), rows_accepted=rows)
    seq = journal.batches.accept(a_batch(number, rows=rows), [drop])
    journal.batches.commit(seq, revision(seq), f"{seq:032x}")
    return seq


def forget(journal: Journal, number: int) -> int:
    """Forget a drop that is a segment of its own."""
    drop = journal.drops.taken(sha(number))
    assert drop is not None
    seq = journal.erasures.forget(drop, f"{number}.parquet", drop["rows_accepted"], None, "cli")
    journal.batches.commit(seq, revision(seq), f"{seq:032x}")
    return seq


def train(home: Home, journal: Journal, version: int, state: str = "promoted") -> None:
    """A run on the newest revision that registered a version, with a real bundle."""
    newest = journal.batches.committed()
    assert newest.revision is not None
    assert newest.dvc_md5 is not None
    run = journal.runs.start("50 new rows", newest.revision, newest.dvc_md5, newest.rows, newest.batch)
    journal.runs.end(run, RunState.TRAINED, "forest", version=version, seconds=1.5)
    sealed = bundles.make(home, version)
    score = {"n": 30, "accuracy": 0.9}
    facts: Any = {
        "version": version,
        "mlflow_run": "f" * 32,
        "bundle": sealed.manifest,
        "candidate": "forest",
        "backend": "onnx",
        "revision": newest.revision,
        "dvc_md5": newest.dvc_md5,
        "rows": newest.rows,
        "trained_rows": newest.rows,
        "trigger": "50 new rows",
        "scores": json.dumps({"challenger": {"reference": score, "rolling": score}, "champion": None}),
    }
    journal.versions.judge(facts, VersionState(state), "First version.")


def predict(home: Home, *versions: int) -> None:
    """Predictions in the history, one for each of `versions`, a second apart."""
    with closing(sqlite3.connect(home.history)) as connection, connection:
        connection.executescript(TABLES)
        for number, version in enumerate(versions):
            values: dict[str, Any] = dict.fromkeys(COLUMNS, "") | {
                "prediction_id": f"p{number}",
                "model_version": version,
            }
            values |= {"timestamp": f"2026-01-01T00:00:{number:02}.000Z"}
            connection.execute(INSERT, [values[name] for name in COLUMNS])


@pytest.fixture
def recorded(home: Home) -> Home:
    """Version 1 was trained on drops 1 and 2; drop 2 was forgotten and drop 3 came before version 2; version 1 served twice."""
    with closing(Journal.open(home.journal)) as journal:
        take(journal, 1)
        take(journal, 2, rows=7)
        train(home, journal, 1)
        journal.swaps.record(1, None, "First version.")
        forget(journal, 2)
        take(journal, 3)
        train(home, journal, 2)
        journal.swaps.record(2, 1, "Better.")
        journal.swaps.record(1, 2, "By request (rollback, cli).")
    predict(home, 1, 1, 2, 1)
    return home


def of(home: Home, version: int, **more: Any) -> Chain:
    chain = lineage.of(home, version, **more)
    assert chain is not None
    return chain


def test_chain_from_the_drops_to_the_predictions(recorded: Home) -> None:
    """Every station names the next one by its identity."""
    chain = of(recorded, 2)
    assert [(drop["name"], drop["sha256"], drop["batch"]) for drop in chain["drops"]["newest"]] == [
        ("3.csv", sha(3), 4),
        ("1.csv", sha(1), 1),
    ]
    assert (chain["drops"]["count"], chain["drops"]["rows"], chain["drops"]["forgotten"]) == (2, 10, 0)
    assert [(one["seq"], one["kind"], one["rows"]) for one in chain["batches"]["newest"]] == [
        (4, "drops", 5),
        (3, "forget", -7),
        (2, "drops", 7),
        (1, "drops", 5),
    ]
    expected = {"commit": revision(4), "dvc_md5": f"{4:032x}", "rows": 10, "batch": 4}
    assert chain["revision"].items() >= expected.items()
    assert (chain["run"]["id"], chain["run"]["reason"], chain["run"]["mlflow_run"]) == (2, "50 new rows", "f" * 32)
    assert set(bundle.summary(recorded.bundle(2), chain["bundle"])["files"] or ()) == {"model.onnx", "probe.json"}
    assert [(one["from"] <= (one["to"] or ""), one["reason"]) for one in chain["served"]] == [(True, "Better.")]
    assert chain["predictions"] == {
        "count": 1,
        "first_at": "2026-01-01T00:00:02.000Z",
        "last_at": "2026-01-01T00:00:02.000Z",
    }


def test_forgotten_drop_is_listed_for_the_versions_before(recorded: Home) -> None:
    """Versions that were trained on a drop still list it after it was forgotten, and say that it is gone."""
    chain = of(recorded, 1)
    assert [(drop["name"], drop["state"]) for drop in chain["drops"]["newest"]] == [
        ("2.csv", "forgotten"),
        ("1.csv", "accepted"),
    ]
    assert (chain["drops"]["count"], chain["drops"]["rows"], chain["drops"]["forgotten"]) == (2, 12, 1)
    assert [(one["to"] is None, one["reason"]) for one in chain["served"]] == [
        (True, "By request (rollback, cli)."),
        (False, "First version."),
    ]
    assert chain["predictions"]["count"] == 3


def test_versions_that_were_trained_on_a_drop(recorded: Home) -> None:
    """The other way round: newest first, none for what was never in the dataset."""
    drops = typed(DropRow, recorded.journal, "SELECT * FROM drops ORDER BY id")
    taught = [[one["version"] for one in lineage.versions_trained_on(recorded, drop)["newest"]] for drop in drops]
    assert taught == [[2, 1], [1], [2]]
    assert lineage.versions_trained_on(recorded, drops[0], limit=1)["count"] == 2
    assert lineage.versions_trained_on(recorded, {**drops[0], "state": DropState.DUPLICATE}) == {
        "count": 0,
        "newest": [],
    }


def test_lists_are_bounded_and_come_in_pages(home: Home, journal: Journal) -> None:
    """However many drops there are; the totals count them all."""
    for number in range(1, 31):
        take(journal, number)
    train(home, journal, 1)
    first = of(home, 1, limit=10)["drops"]
    assert (first["count"], first["rows"], len(first["newest"])) == (30, 150, 10)
    second = of(home, 1, limit=10, before=first["newest"][-1]["id"])["drops"]
    assert [drop["name"] for drop in second["newest"]] == [f"{number}.csv" for number in range(20, 10, -1)]
    assert len(of(home, 1)["batches"]["newest"]) == lineage.SHOWN


def test_version_whose_run_was_cut_off(home: Home, journal: Journal) -> None:
    """A daemon that was killed between registering and noting the run: the chain is the same, from what the version says."""
    take(journal, 1)
    train(home, journal, 1)
    with journal.database.writing() as connection:
        connection.execute(text("UPDATE runs SET state = 'abandoned', version = NULL"))
    chain = of(home, 1)
    assert chain["run"] == {"id": None, "reason": "50 new rows", "mlflow_run": "f" * 32}
    assert chain["drops"]["count"] == 1


def test_merged_batches_bring_nothing(home: Home, journal: Journal) -> None:
    """A version on the revision of a merge was trained on the drops before it; the merge is not one of its batches."""
    take(journal, 1)
    take(journal, 2)
    seq = journal.batches.merge(a_batch(9, rows=10), ["1.parquet", "2.parquet"])
    journal.batches.commit(seq, revision(seq), f"{seq:032x}")
    train(home, journal, 1)
    chain = of(home, 1)
    assert [drop["name"] for drop in chain["drops"]["newest"]] == ["2.csv", "1.csv"]
    assert chain["batches"]["count"] == 2
    assert chain["revision"]["batch"] == 3


def test_bundle_that_is_gone_says_so(recorded: Home) -> None:
    """Its sha256 stays on record; so does everything else."""
    (recorded.bundle(1) / "manifest.json").unlink()
    chain = of(recorded, 1)
    described = bundle.summary(recorded.bundle(1), chain["bundle"])
    assert described["files"] is None
    assert "not a readable bundle" in str(described["problem"])
    assert chain["drops"]["count"] == 2


def test_home_without_anything_has_no_version(tmp_path: Path) -> None:
    assert lineage.of(Home(tmp_path), 1) is None


def test_tree_is_for_people(recorded: Home) -> None:
    """Everything that identifies a station is on it, whole, however narrow the terminal is."""
    text = forked("lineage", 1, home=recorded, env=os.environ | SEEN | {"COLUMNS": "40"}).stdout
    for part in (sha(1), sha(2), "FORGOTTEN", revision(2), f"{2:032x}", "run 1: 50 new rows", "f" * 32, "model.onnx"):
        assert part in text
    assert "version 1 · forest · promoted: First version." in text
    assert "to now: By request (rollback, cli)." in text
    assert "3 predictions in the history" in text
    assert "trained on 12 rows" in text
    assert "accuracy 0.9000 on the reference holdout (n=30)" in text
    short = forked("lineage", 1, "--limit", 1, home=recorded).stdout
    assert "… and 1 older ones (--limit)" in short


def test_command_and_endpoint_tell_the_same(recorded: Home) -> None:
    """`--json` is the answer of `GET /versions/1`; `GET /versions` links to it; a drop names the versions that were trained on it."""
    client = Client(recorded)

    def get(path: str, query: str = "") -> Any:
        status, _, body = client.ask("GET", path, QUERY_STRING=query)
        assert status == 200
        return json.loads(body)

    assert json.loads(forked("lineage", 1, "--json", home=recorded).stdout) == get("/versions/1")
    assert [row["lineage"] for row in get("/versions")["versions"]] == ["/versions/2", "/versions/1"]
    assert [one["version"] for one in get("/drops/1.csv")["taught"]["newest"]] == [2, 1]
    assert len(get("/versions/1", "limit=1")["drops"]["newest"]) == 1
    assert "v2 promoted, v1 promoted" in forked("drops", "1.csv", home=recorded).stdout


@pytest.mark.parametrize("version", ["99", "x", "-1", "1e3", "9" * 40])
def test_version_that_does_not_exist(recorded: Home, version: str) -> None:
    """A sentence and 404, or exit code 6; nothing that a person types is an error of ours."""
    status, headers, body = Client(recorded).ask("GET", f"/versions/{version}")
    assert (status, headers["content-type"]) == (404, "application/problem+json")
    assert "There is no version" in json.loads(body)["detail"]


def test_version_that_does_not_exist_on_the_command_line(recorded: Home) -> None:
    done = forked("lineage", 99, home=recorded)
    assert (done.returncode, done.stdout) == (Exit.NOT_FOUND, "")
    assert "There is no version 99. `retraind versions` lists them." in done.stderr


def test_asking_to_forget(recorded: Home) -> None:
    """By name, id or sha256; what was never in the dataset can't be forgotten; it is said what stays, and how to purge."""
    with closing(Journal.open(recorded.journal)) as journal:
        journal.drops.refuse(a_drop("bad.csv", sha256=sha(9)), DropState.REJECTED, "no")
        journal.drops.refuse(a_drop("copy.csv", sha256=sha(3)), DropState.DUPLICATE, "twice", batch=4)
    for key in ("3.csv", sha(3), 3, "copy.csv"):
        done = forked("forget", key, home=recorded)
        assert done.returncode == Exit.OK
        assert "--purge" in done.stderr
    later = forked("forget", "2.csv", "--purge", "--json", home=recorded)
    assert "--purge" not in later.stderr
    asked = requests.pending(recorded)
    assert [(one.drop, one.purge) for one in asked] == [(sha(3), False)] * 4 + [(sha(2), True)]
    assert json.loads(later.stdout) == {"request": asked[-1].id, "state": "queued", "sentence": None}
    for key, part in (("bad.csv", "it was rejected"), ("none.csv", "no drop 'none.csv'")):
        done = forked("forget", key, home=recorded)
        assert done.returncode == Exit.NOT_FOUND
        assert part in done.stderr
