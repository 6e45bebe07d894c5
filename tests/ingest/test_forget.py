"""daemon.ingest.erasure.forgetting: a drop's rows leave the dataset, whole and once, wherever the process ends. Real git, DVC, SQLite."""

import io
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import names
from ingesting import HEADER, Killed, Parts, grow, prepare, row

from daemon.core import durable, requests
from daemon.core.errors import NotFound
from daemon.core.home import Home
from daemon.core.requests import Request
from daemon.dataset import segment_tiers, segment_writer, segments
from daemon.dataset.checkout import check_out
from daemon.dataset.repository import Revision
from daemon.inbox.rejected_folder import Rejected
from daemon.schema.schema import Schema


@pytest.fixture
def parts(home: Home, schema: Schema) -> Iterator[Parts]:
    """An ingestion in a new home."""
    assert schema
    parts = Parts(home)
    yield parts
    parts.close()


MANY = range(segment_tiers.FAN)
"""As many drops as a merge needs."""


@pytest.fixture
def merged(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """An ingestion that has taken a drop of one row for each of MANY, and has merged them."""
    grow(home, [(f"f{number}.csv", text(number)) for number in MANY], tmp_path_factory)
    parts = Parts(home)
    parts.run()
    yield parts
    parts.close()


def text(*lengths: float) -> str:
    """An Iris file with one row for each sepal length."""
    return HEADER + "".join(row(float(length)) for length in lengths)


def forget(parts: Parts, *lengths: float, purge: bool = False) -> Request:
    """Ask for the file of these rows to be forgotten."""
    return requests.submit(parts.home, "forget", drop=durable.sha256(text(*lengths).encode()), purge=purge)


def take(parts: Parts, **files: list[float]) -> None:
    """Drop files of these rows and have them taken as one batch."""
    for name, lengths in files.items():
        parts.drop(f"{name}.csv", text(*lengths))
    parts.run()


def answer(parts: Parts, request: Request) -> tuple[str, str]:
    """State and detail of a request that the journal knows."""
    with closing(sqlite3.connect(parts.home.journal)) as connection:
        query = "SELECT state, detail FROM requests WHERE id = ?"
        answer: tuple[str, str] = connection.execute(query, (request.id,)).fetchone()
    return answer


def in_cache(home: Home) -> set[float]:
    """The first column of every row in DVC's cache, of whatever revision."""
    lengths: set[float] = set()
    for path in (home.data / ".dvc/cache/files/md5").glob("*/*"):
        if not path.name.endswith(".dir"):
            lengths |= set(pq.read_table(io.BytesIO(path.read_bytes()))["sepal_length"].to_pylist())
    return lengths


def test_rows_of_one_drop_leave_and_all_others_stay(parts: Parts) -> None:
    """A new revision without them; the journal says who and when; the old revision still has them, and it is said how to purge."""
    take(parts, a=[1, 2], b=[3], c=[4])
    before = parts.dataset.revision()
    request = forget(parts, 3)
    parts.run()
    assert parts.lengths == [1, 2, 4]
    assert ("b.csv", "forgotten") in parts.drops()
    first, second = parts.journal.batches.all()
    assert (second["kind"], second["rows"], second["total_rows"], second["state"]) == ("forget", -1, 3, "committed")
    revision = parts.dataset.revision()
    assert revision is not None
    assert (second["revision"], second["dvc_md5"]) == (revision.commit, revision.dvc_md5)
    assert parts.journal.batches.committed() == (3, revision.dvc_md5, revision.commit, 2)
    drop = parts.journal.drops.taken(durable.sha256(text(3).encode()))
    assert drop is not None
    assert (drop["forgotten_in"], drop["forgotten_by"], drop["rows_accepted"]) == (2, "cli", 1)
    state, detail = answer(parts, request)
    assert state == "done"
    assert detail.startswith(
        "The 1 rows of b.csv were forgotten in batch 2. Older revisions in DVC's cache still hold them"
    )
    assert "--purge" in detail
    assert requests.pending(parts.home) == []
    assert in_cache(parts.home) == {1, 2, 3, 4}
    assert before is not None
    assert checked_out(parts.home, before) == [1, 2, 3, 4]
    assert first["revision"] == before.commit
    subject = subprocess.run(["git", "log", "-1", "--format=%s"], cwd=parts.home.data, capture_output=True, text=True)
    assert subject.stdout.strip() == "Batch 2: 1 row forgotten"


def checked_out(home: Home, revision: Revision) -> list[float]:
    """The first column of a revision that is fetched into a folder of its own."""
    scratch = Home(home.root / "scratch" / revision.commit)
    scratch.make()
    names = check_out(home, scratch, revision)
    return sorted(
        value for name in names for value in pq.read_table(scratch.segments / name)["sepal_length"].to_pylist()
    )


def test_drop_that_is_a_segment_of_its_own(parts: Parts) -> None:
    """Nothing takes its place, and the next drop comes as always."""
    take(parts, a=[1])
    take(parts, b=[2, 3])
    forget(parts, 2, 3)
    parts.run()
    assert parts.lengths == [1]
    assert len(names(parts.home.segments)) == 1
    take(parts, c=[4])
    assert parts.lengths == [1, 4]
    assert [(one["kind"], one["total_rows"]) for one in parts.journal.batches.all()] == [
        ("drops", 1),
        ("drops", 3),
        ("forget", 1),
        ("drops", 2),
    ]
    parts.reopen()
    parts.run()
    assert parts.lengths == [1, 4]


def test_the_last_drop_of_all(parts: Parts) -> None:
    """An empty dataset is a revision too, of no rows; a drop begins it again."""
    take(parts, a=[1])
    forget(parts, 1)
    parts.run()
    assert parts.lengths == []
    assert parts.journal.batches.committed().rows == 0
    assert parts.journal.batches.first_rows() == 0
    parts.reopen()
    take(parts, b=[2])
    assert parts.lengths == [2]
    assert parts.journal.batches.first_rows() == 1


def test_rows_that_begin_the_dataset_stay_known(parts: Parts) -> None:
    """The reference holdout is of the first batch while anything of it is left, then of the oldest that has rows."""
    take(parts, a=[1, 2], b=[3])
    take(parts, c=[4, 5, 6, 7])
    take(parts, d=[8])
    assert parts.journal.batches.first_rows() == 3
    forget(parts, 1, 2)
    parts.run()
    assert parts.journal.batches.first_rows() == 1
    forget(parts, 3)
    parts.run()
    assert parts.journal.batches.first_rows() == 4
    first = parts.journal.segments.current()[0]
    [(_, table)] = segments.read(parts.home.segments, {first["name"]: first["sha256"]})
    assert table["sepal_length"].to_pylist() == [4, 5, 6, 7]


def test_segment_that_was_merged_is_put_in_order(home: Home, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Out of many batches in one segment one drop goes; the others are in the order of their batches, with their tier."""
    grow(home, [(f"f{number}.csv", text(number, number + 0.5)) for number in MANY], tmp_path_factory)
    parts = Parts(home)
    parts.run()
    [merged] = parts.journal.segments.current()
    forget(parts, 0, 0.5)
    parts.run()
    [left] = parts.journal.segments.current()
    assert (left["tier"], left["first"], left["last"]) == (merged["tier"], 2, merged["last"])
    [(_, table)] = segments.read(parts.home.segments, {left["name"]: left["sha256"]})
    assert table["sepal_length"].to_pylist() == [number / 2 for number in range(2, 2 * segment_tiers.FAN)]
    assert parts.journal.batches.first_rows() == 2
    parts.close()


def test_batches_out_of_order_are_sorted() -> None:
    """Rows of an older batch that a merge put behind younger ones come first when the segment is written again."""
    table = pa.table({"x": [1, 2, 3, 4, 5], "_drop": ["a", "c", "c", "b", "a"]})
    left = segments.without(table, "a", {"b": 2, "c": 3})
    assert left.to_pydict() == {"x": [4, 2, 3], "_drop": ["b", "c", "c"]}
    assert sorted(left["_drop"].chunk(0).dictionary.to_pylist()) == ["b", "c"]


def test_rows_come_back_to_an_old_set(
    home: Home, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left may be just the rows of a segment that a merge replaced: it is another segment all the same."""
    monkeypatch.setattr(segment_tiers, "FAN", 4)
    grow(home, [(f"f{number}.csv", text(number)) for number in range(segment_tiers.FAN)], tmp_path_factory)
    parts = Parts(home)
    parts.run()
    assert len(parts.journal.segments.current()) == 1
    for number in range(1, segment_tiers.FAN):
        forget(parts, number)
    parts.run()
    assert parts.lengths == [0]
    assert len({one["segment"] for one in parts.journal.batches.all()}) == len(parts.journal.batches.all())
    parts.close()


def take_two(parts: Parts) -> None:
    """Take two drops as a batch, one of them with a bad row."""
    parts.drop("a.csv", text(1, 2))
    parts.drop("b.csv", text(3) + "x,1,1,1,setosa\n")
    parts.run()


@pytest.fixture
def quarantined(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """An ingestion that has taken two drops, one of them with a bad row."""
    prepare(home, take_two, tmp_path_factory)
    parts = Parts(home)
    yield parts
    parts.close()


@pytest.mark.parametrize("step", [f"{where}{call}" for where in "-+" for call in ("remove", "write", "forget", "dataset_commit", "commit", "purge", "end_request", "consume")])  # fmt: skip
def test_end_at_any_step_forgets_once(quarantined: Parts, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the process ends, the next one finishes: the rows are gone, once, also from the cache, and the request is answered."""
    parts = quarantined
    digest = durable.sha256((text(3) + "x,1,1,1,setosa\n").encode())
    assert names(parts.home.rejected) == [f"b.csv.{digest[:8]}.bad.csv"]
    request = requests.submit(parts.home, "forget", drop=digest, purge=True)
    with monkeypatch.context() as patch:
        cut(parts, step, patch)
        with pytest.raises(Killed):
            parts.run()
    parts.reopen()
    parts.run()
    parts.reopen()
    parts.run()
    assert parts.lengths == [1, 2]
    assert [batch["rows"] for batch in parts.journal.batches.all()] == [3, -1]
    assert {batch["state"] for batch in parts.journal.batches.all()} == {"committed"}
    assert answer(parts, request)[0] == "done"
    assert in_cache(parts.home) == {1, 2}
    assert names(parts.home.rejected) == []
    assert requests.pending(parts.home) == []


def cut(parts: Parts, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process end right after (`+`) or right before (`-`) one call, once."""
    where, name = step[0], step[1:]
    owners: dict[str, Any] = {"write": segment_writer, "dataset_commit": parts.dataset, "purge": parts.dataset}
    owners |= {"remove": Rejected, "consume": requests, "end_request": parts.journal.requests}
    owners |= {"forget": parts.journal.erasures, "commit": parts.journal.batches}
    owner, name = owners[name], name.removeprefix("dataset_").removesuffix("_request")
    real = getattr(owner, name)

    def call(*arguments: Any, **named: Any) -> None:
        if where == "+":
            real(*arguments, **named)
        raise Killed

    monkeypatch.setattr(owner, name, call)


def test_purged_rows_are_in_no_object_of_the_cache(merged: Parts) -> None:
    """Merged and rewritten segments that held them go as well; the revisions before can't be checked out, the newest can."""
    parts = merged
    old = parts.dataset.revision()
    forget(parts, 5)
    parts.run()
    between = parts.dataset.revision()
    request = forget(parts, 7, purge=True)
    parts.run()
    said = answer(parts, request)[1]
    assert said.startswith("The 1 rows of f7.csv were forgotten in batch 19. 3 objects")
    assert said.endswith("No version was trained on them.")
    assert in_cache(parts.home) == {*MANY} - {7}
    newest = parts.dataset.revision()
    assert old is not None
    assert between is not None
    assert newest is not None
    assert checked_out(parts.home, newest) == [number for number in MANY if number not in (5, 7)]
    for revision in (old, between):
        with pytest.raises(NotFound, match="purged"):
            checked_out(parts.home, revision)
    parts.reopen()
    parts.run()
    assert parts.dataset.folder.verify({one["name"]: one["sha256"] for one in parts.journal.segments.current()}) == []


def test_purge_may_come_later(parts: Parts) -> None:
    """A drop that was forgotten can still be purged, and asking twice for anything does no harm."""
    take(parts, a=[1], b=[2])
    forget(parts, 2)
    parts.run()
    assert in_cache(parts.home) == {1, 2}
    later = [forget(parts, 2), forget(parts, 2, purge=True), forget(parts, 2, purge=True)]
    parts.run()
    assert [answer(parts, request)[0] for request in later] == ["done"] * 3
    assert in_cache(parts.home) == {1}
    assert len(parts.journal.batches.all()) == 2


def test_same_bytes_are_not_taken_again(parts: Parts) -> None:
    """They are refused with the reason and kept in rejected/; with one more line they are another drop."""
    take(parts, a=[1], b=[2])
    forget(parts, 2)
    parts.run()
    take(parts, again=[2])
    assert parts.lengths == [1]
    assert parts.drops()[-1] == ("again.csv", "rejected")
    report = (parts.home.rejected / "again.csv.report.json").read_text()
    assert "These bytes were forgotten in batch 2 (cli, 20" in report
    parts.drop("again.csv", text(2) + "\n")
    parts.run()
    assert parts.lengths == [1, 2]


def test_what_is_not_in_the_dataset_is_refused(parts: Parts) -> None:
    """A drop that is unknown or was rejected."""
    parts.drop("bad.csv", "nonsense")
    parts.run()
    asked = [requests.submit(parts.home, "forget", drop=durable.sha256(data)) for data in (b"nonsense", b"else")]
    parts.run()
    for request in asked:
        assert answer(parts, request)[0] == "refused"
        assert "holds no rows" in answer(parts, request)[1]


def test_training_is_not_disturbed(parts: Parts) -> None:
    """While a training reads the segments, forgetting waits; other drops do not."""
    take(parts, a=[1], b=[2])
    forget(parts, 2)
    parts.drop("c.csv", text(3))
    now = 100.0
    while parts.ingestion.step(now, merging=False):
        now += 1
    assert parts.lengths == [1, 2, 3]
    parts.run()
    assert parts.lengths == [1, 3]


def test_labels_and_notes_of_the_drop_go_too(parts: Parts) -> None:
    """A prediction that the drop labelled is without a label again, and what was noted of bad cells is gone; counts stay."""
    take(parts, a=[1], b=[2])
    sha256 = durable.sha256(text(2).encode())
    with closing(sqlite3.connect(parts.home.journal)) as connection, connection:
        label = ("p1", 1, "setosa", "virginica", sha256, 1, "2026-01-01T00:00:00Z")
        connection.execute("INSERT INTO labels VALUES (?, ?, ?, ?, ?, ?, ?)", label)
        connection.execute(
            "INSERT INTO events (at, kind, level, message, \"drop\") VALUES ('', 'quarantined', 'info', 'secret', ?)",
            (sha256,),
        )
    assert parts.journal.labels.truths(["p1"]) == {"p1": "virginica"}
    forget(parts, 2)
    parts.run()
    assert parts.journal.labels.truths(["p1"]) == {}
    with closing(sqlite3.connect(parts.home.journal)) as connection:
        assert connection.execute('SELECT MAX(rowid), MAX(truth), MAX("drop") FROM labels').fetchone() == (1, "", "")
        assert connection.execute("SELECT COUNT(*) FROM events WHERE message = 'secret'").fetchone() == (0,)


def test_folder_that_others_may_write_to_is_no_trap(parts: Parts) -> None:
    """Only the quarantine file that the journal names is removed."""
    take(parts, a=[1], b=[2])
    (parts.home.rejected / "mine.bad.csv").write_text("mine")
    forget(parts, 2)
    parts.run()
    assert names(parts.home.rejected) == ["mine.bad.csv"]
