"""retraind.daemon.ingest.ingestion, with batch_intake, batch_record, batch_commit, drop_opening, read_attempts and refused_drops: drops become rows exactly once.

Also retraind.daemon.ingest.reading (reader, reading, quarantine_file, joined_files). Real git, DVC, SQLite and folders.
"""

import os

import interrupting
import orjson
import pytest
from ingesting import HEADER, Parts, row

from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Inbox as Limits
from retraind.daemon.core.settings import Settings
from retraind.daemon.dataset import segments
from retraind.daemon.schema import labelled_row
from retraind.daemon.schema.schema import Schema

pytestmark = pytest.mark.engines(full=True)

parts = pytest.fixture(interrupting.parts)


def test_drop_becomes_a_revision_and_leaves_the_inbox(parts: Parts, iris: bytes) -> None:
    """150 rows, one batch, one commit, nothing left in the inbox."""
    parts.drop("iris.csv", iris)
    parts.run()
    assert len(parts.lengths) == 150
    [batch] = parts.journal.batches.all()
    revision = parts.dataset.revision()
    assert revision is not None
    assert (batch["state"], batch["revision"], batch["dvc_md5"]) == ("committed", revision.commit, revision.dvc_md5)
    assert parts.waiting == []
    [drop] = parts.journal.drops.of_batch(1)
    assert (drop["rows_read"], drop["rows_accepted"], drop["rows_refused"]) == (150, 150, 0)


def test_many_drops_are_one_batch(parts: Parts, schema: Schema) -> None:
    """What is ready together, files and samples, is committed together; each row knows its drop and its source."""
    for number in range(5):
        parts.drop(f"{number}.csv", HEADER + row(number) + row(number + 0.5))
    labelled_row.drop(parts.home, labelled_row.make(schema, [9, 1, 1, 1], "virginica"))
    parts.run()
    assert parts.lengths == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 9]
    [batch] = parts.journal.batches.all()
    [(_, table)] = segments.read(parts.home.segments, {batch["segment"]: batch["sha256"]})
    assert len(set(table["_drop"].to_pylist())) == 6
    assert table["_source"].to_pylist().count("http") == 1


def test_batches_are_bounded(home: Home, parts: Parts) -> None:
    """More drops than a batch may hold become several batches, and each drop is taken once."""
    parts.close()
    parts.settings = Settings(inbox=Limits(settle_seconds=0.0, batch_drops=2))
    parts.open()
    for number in range(5):
        parts.drop(f"{number}.csv", HEADER + row(number))
    parts.run()
    assert parts.lengths == [0, 1, 2, 3, 4]
    assert [batch["rows"] for batch in parts.journal.batches.all()] == [2, 2, 1]


def test_same_bytes_count_once(parts: Parts) -> None:
    """A copy beside the first, and one dropped later under another name, are duplicates of its batch."""
    parts.drop("a.csv", HEADER + row(1))
    parts.drop("b.csv", HEADER + row(1))
    parts.run()
    parts.drop("c.csv", HEADER + row(1))
    parts.drop("d.csv", HEADER + row(2))
    parts.run()
    assert parts.lengths == [1, 2]
    assert sorted(parts.drops()) == [
        ("a.csv", "accepted"),
        ("b.csv", "duplicate"),
        ("c.csv", "duplicate"),
        ("d.csv", "accepted"),
    ]
    assert parts.waiting == []


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("", None, None),
        (HEADER + "x,1,1,1,setosa\n", 2, "sepal_length"),
        (b"\xff\xfe", 1, None),
        ("a,b\n1,2\n", 1, "sepal_length"),
    ],
)
def test_bad_drop_is_kept_with_a_report_and_holds_nothing_back(
    parts: Parts, text: str | bytes, line: int | None, column: str | None
) -> None:
    """The good drop beside it is taken; the bad one lies in rejected/ whole, with line, column and reason."""
    parts.drop("bad.csv", text)
    parts.drop("good.csv", HEADER + row(7))
    parts.run()
    assert parts.lengths == [7]
    assert parts.waiting == []
    kept = (parts.home.rejected / "bad.csv").read_bytes()
    assert kept == (text if isinstance(text, bytes) else text.encode())
    report = orjson.loads((parts.home.rejected / "bad.csv.report.json").read_bytes())
    assert (report["line"], report["column"], report["sha256"]) == (line, column, durable.sha256(kept))
    assert report["reason"]
    assert ("bad.csv", "rejected") in parts.drops()


def test_rejected_bytes_may_come_again(parts: Parts) -> None:
    """Dropping a bad file twice is rejected twice, and nothing is lost or replaced."""
    for _ in range(2):
        parts.drop("bad.csv", "nonsense")
        parts.run()
    assert parts.drops() == [("bad.csv", "rejected")] * 2
    assert (parts.home.rejected / "2-bad.csv").exists()


def test_drop_over_the_size_limit_is_rejected_unread(parts: Parts) -> None:
    """A file that is too large for memory goes to rejected/ without having been read."""
    parts.close()
    parts.settings = Settings(inbox=Limits(settle_seconds=0.0, max_bytes=100))
    parts.open()
    parts.drop("big.csv", HEADER + row(1) * 10)
    parts.drop("small.csv", HEADER + row(2))
    parts.run()
    assert parts.lengths == [2]
    assert ("big.csv", "rejected") in parts.drops()


@pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9.csv"), "\N{HERB}" * 60 + ".csv", "a b'\"; DROP.csv"])
def test_any_name_goes_through(parts: Parts, name: str) -> None:
    """Accepted, dropped again as a duplicate, and rejected: names of any kind end nowhere but in the journal."""
    for text in (HEADER + row(1), HEADER + row(1), "nonsense"):
        parts.drop(name, text)
        parts.run()
    assert parts.lengths == [1]
    assert parts.waiting == []


def test_without_a_schema_drops_wait(home: Home, parts: Parts) -> None:
    """Until `init` has written one, nothing is judged; then the drop is taken."""
    text = home.schema.read_bytes()
    home.schema.unlink()
    parts.drop("a.csv", HEADER + row(1))
    parts.run()
    assert parts.waiting == ["a.csv"]
    durable.write(home.schema, text)
    parts.run()
    assert parts.lengths == [1]


def test_file_that_is_replaced_while_it_is_taken_is_another_drop(parts: Parts) -> None:
    """Bytes that come under the same name between reading and clearing are neither lost nor removed."""
    parts.drop("a.csv", HEADER + row(1))
    while not parts.journal.batches.all():
        parts.ingestion.step(100.0)
    parts.drop("a.csv", HEADER + row(2))
    parts.run()
    assert parts.lengths == [1, 2]


def test_name_that_is_not_utf8_with_a_bad_row(home: Home, parts: Parts) -> None:
    """The good rows are taken; the quarantine file has the drop's own name."""
    parts.drop(os.fsdecode(b"caf\xe9.csv"), HEADER + row(1) + "x,1,1,1,setosa\n")
    parts.run()
    assert parts.lengths == [1]
    assert len(list(home.rejected.iterdir())) == 1


def test_name_that_is_not_utf8_is_one_record(home: Home, parts: Parts) -> None:
    """The file goes once its rows are committed; it does not come again as a duplicate of itself."""
    parts.drop(os.fsdecode(b"caf\xe9.csv"), HEADER + row(1))
    parts.run()
    parts.run()
    assert parts.drops() == [("caf\N{REPLACEMENT CHARACTER}.csv", "accepted")]
    assert [path for path in home.inbox.iterdir() if path.is_file()] == []


def test_same_bytes_of_which_the_first_is_refused(parts: Parts) -> None:
    """A CSV text under the name of a sample is no sample; the same bytes under a good name are a good drop."""
    parts.drop("a.sample.json", HEADER + row(1))
    parts.drop("b.csv", HEADER + row(1))
    parts.run()
    assert parts.lengths == [1]
    assert sorted(parts.drops()) == [("a.sample.json", "rejected"), ("b.csv", "accepted")]
