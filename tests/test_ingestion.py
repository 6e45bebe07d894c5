"""daemon.ingestion: settled drops become rows exactly once. Real git, DVC, SQLite and folders."""

import itertools
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing

import orjson
import pytest
from conftest import names

from daemon import dataset, durable, sample
from daemon.dataset import Dataset
from daemon.home import Home
from daemon.inbox import Inbox
from daemon.ingestion import Ingestion
from daemon.journal import Journal
from daemon.schema import Schema
from daemon.settings import Inbox as Limits
from daemon.settings import Settings

SETTINGS = Settings(inbox=Limits(settle_seconds=0.0))
HEADER = "sepal_length,sepal_width,petal_length,petal_width,species\n"


class Parts:
    """What ingestion works with; `reopen` is what a restart does after a kill."""

    def __init__(self, home: Home, settings: Settings = SETTINGS) -> None:
        self.home, self.settings = home, settings
        self.open()

    def open(self) -> None:
        self.journal = Journal.open(self.home.journal)
        self.dataset = Dataset(self.home)
        self.dataset.open({batch["segment"]: batch["md5"] for batch in self.journal.batches()})
        self.inbox = Inbox(self.home, self.settings.inbox, lambda: None)
        self.ingestion = Ingestion(self.home, self.settings, self.inbox, self.dataset, self.journal)

    def close(self) -> None:
        self.dataset.close()
        self.journal.close()

    def reopen(self) -> None:
        self.close()
        self.open()

    def run(self) -> None:
        """Step until nothing is left to do."""
        for now in itertools.count(100.0):
            assert now < 200, "ingestion never comes to rest"
            if not self.ingestion.step(now):
                return

    def drop(self, name: str, text: str | bytes) -> None:
        durable.write(self.home.inbox / name, text if isinstance(text, bytes) else text.encode())

    @property
    def lengths(self) -> list[float]:
        """The first column of every row of the dataset, as a trainer would read it."""
        known = {batch["segment"]: batch["sha256"] for batch in self.journal.batches()}
        tables = [table for _, table in dataset.read(self.home.segments, known)]
        return sorted(length for table in tables for length in table["sepal_length"].to_pylist())

    @property
    def waiting(self) -> list[str]:
        return sorted(set(names(self.home.inbox)) - {"rejected"})

    def drops(self) -> list[tuple[str, str]]:
        """Name and state of every drop that was decided."""
        with closing(sqlite3.connect(self.home.journal)) as connection:
            return connection.execute("SELECT name, state FROM drops ORDER BY id").fetchall()


@pytest.fixture
def parts(home: Home, schema: Schema, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    assert schema
    for name in ("DVC_NO_ANALYTICS", "DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    parts = Parts(home)
    yield parts
    parts.close()


def row(length: float) -> str:
    return f"{length},3.5,1.4,0.2,setosa\n"


def test_drop_becomes_a_revision_and_leaves_the_inbox(parts: Parts, iris: bytes) -> None:
    """150 rows, one batch, one commit, nothing left in the inbox."""
    parts.drop("iris.csv", iris)
    parts.run()
    assert len(parts.lengths) == 150
    [batch] = parts.journal.batches()
    revision = parts.dataset.revision()
    assert revision is not None
    assert (batch["state"], batch["revision"], batch["dvc_md5"]) == ("committed", revision.commit, revision.dvc_md5)
    assert parts.waiting == []
    [drop] = parts.journal.drops_in(1)
    assert (drop["rows_read"], drop["rows_accepted"], drop["rows_refused"]) == (150, 150, 0)


def test_many_drops_are_one_batch(parts: Parts, schema: Schema) -> None:
    """What is ready together, files and samples, is committed together; each row knows its drop and its source."""
    for number in range(5):
        parts.drop(f"{number}.csv", HEADER + row(number) + row(number + 0.5))
    sample.drop(parts.home, sample.make(schema, [9, 1, 1, 1], "virginica"))
    parts.run()
    assert parts.lengths == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 9]
    [batch] = parts.journal.batches()
    [(_, table)] = dataset.read(parts.home.segments, {batch["segment"]: batch["sha256"]})
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
    assert [batch["rows"] for batch in parts.journal.batches()] == [2, 2, 1]


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
        (HEADER + row(1) + "x,1,1,1,setosa\n", 3, "sepal_length"),
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
    assert parts.drops()[0] == ("big.csv", "rejected")


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
    while not parts.journal.batches():
        parts.ingestion.step(100.0)
    parts.drop("a.csv", HEADER + row(2))
    parts.run()
    assert parts.lengths == [1, 2]


class Killed(BaseException):
    """The process ends here: nothing catches it."""


def cut(parts: Parts, step: str) -> None:
    """Let the process end right after (`+`) or right before (`-`) one call, once."""
    where, name = step[0], step[1:]
    owner = {"write": parts.dataset, "commit": parts.dataset, "clear": parts.inbox, "reject": parts.inbox}.get(
        name, parts.journal
    )
    name = name.removeprefix("journal_")
    real: Callable[..., object] = getattr(owner, name)

    def call(*arguments: object, **named: object) -> object:
        if where == "+":
            real(*arguments, **named)
        raise Killed

    setattr(owner, name, call)


@pytest.mark.parametrize(
    "step",
    ["-write", "+write", "-accept", "+accept", "-commit", "+commit", "-journal_commit", "+journal_commit", "-clear", "+clear", "-refuse", "+refuse", "-reject", "+reject"],
)  # fmt: skip
def test_end_at_any_step_loses_and_doubles_nothing(parts: Parts, step: str) -> None:
    """Wherever the process ends, the next one finishes: each row once, the bad file rejected, the inbox empty."""
    parts.drop("a.csv", HEADER + row(1) + row(2))
    parts.drop("b.csv", HEADER + row(3))
    parts.drop("bad.csv", "nonsense")
    cut(parts, step)
    with pytest.raises(Killed):
        parts.run()
    parts.reopen()
    parts.run()
    assert parts.lengths == [1, 2, 3]
    assert {batch["state"] for batch in parts.journal.batches()} == {"committed"}
    assert parts.waiting == []
    assert (parts.home.rejected / "bad.csv").exists()
    parts.reopen()
    parts.run()
    assert parts.lengths == [1, 2, 3]
