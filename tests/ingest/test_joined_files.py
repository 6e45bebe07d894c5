"""retraind.daemon.ingest.reading.joined_files: many small files read as one text come to what each of them comes to alone."""

from datetime import UTC, datetime

import pytest

from retraind.daemon.core import durable
from retraind.daemon.core.settings import Inbox
from retraind.daemon.inbox.drop import Drop
from retraind.daemon.inbox.settling import Stamp
from retraind.daemon.ingest.reading import reading
from retraind.daemon.ingest.reading.late_labels import Joined
from retraind.daemon.ingest.reading.reader import Reader
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular.file_content import Content

SCHEMA = Schema(columns=[Column(name="a", kind="number")], target="y", classes=["n", "p"])


def drop(name: str, text: str) -> Drop:
    data = text.encode()
    return Drop(name, Stamp(1, len(data), 1), Content(durable.sha256(data), len(data), data), "")


def no_labels(*_: object) -> Joined:
    raise AssertionError("No drop has late labels.")


def test_file_with_too_many_bad_rows_leaves_none_of_its_good_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is rejected whole beside a good file with the same header, as it is alone."""
    monkeypatch.setattr(reading, "MOST_BAD", 3)
    good, bad = drop("a.csv", "a,y\n1,n\n2,p\n"), drop("b.csv", "a,y\n3,n\n" + "x,p\n" * 4)
    readings, table = Reader(SCHEMA, Inbox(), no_labels, datetime.now(UTC)).read([good, bad])
    assert table is not None
    assert table["a"].to_pylist() == [1, 2]
    assert [(read.drop.name, read.rows_accepted, read.error is None) for read in readings] == [
        ("a.csv", 2, True),
        ("b.csv", 0, False),
    ]
