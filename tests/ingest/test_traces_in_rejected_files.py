"""Traces of forgotten rows in rejected files: which lines match a row, and files that can't be read."""

import gzip
from datetime import UTC, datetime

import forgetting
import pytest
from forgetting import answer, text
from ingesting import HEADER, Parts
from person_rows import PERSON, listed

from retraind.daemon.core import durable, requests
from retraind.daemon.ingest.erasure import row_matching as likeness_module
from retraind.daemon.ingest.erasure.row_matching import RowMatcher
from retraind.daemon.schema.cell_notation import Notation
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema

parts = pytest.fixture(forgetting.parts)

WIDE = Schema(
    target="kind",
    classes=["x", "y"],
    columns=[Column(name="a", kind="number"), Column(name="b", kind="number"), Column(name="c", kind="category", categories=["u"])],
)  # fmt: skip


@pytest.mark.parametrize(
    ("line", "matched"),
    [
        ("1,2,u,x", 1),
        ("1.0,2.00,u,x", 1),
        ("1,2,what,x", 1),  # a cell that was corrected later
        ("1,2,,x", 1),
        ("1,3,u,x", 0),
        ("1,2,u,y", 0),
        ("1,oops,what,x", 0),  # half of the cells are too little to go by
        ("oops,oops,u,x", 0),
        ('"1","2","u","x"', 1),
        ("", 0),
    ],
)
def test_lines_are_like_a_row_in_every_cell_that_can_be_read(line: str, matched: int) -> None:
    """Other people's rows in the same file stay, verbatim."""
    matcher = RowMatcher(WIDE, [{"a": 1.0, "b": 2.0, "c": "u", "kind": "x"}])
    *_, split = matcher.split(f"a,b,c,kind\n{line}\n8,9,u,y\n".encode(), before=True)
    assert split is not None
    assert split.matched == matched
    assert split.rest.endswith(b"8,9,u,y\n")


@pytest.mark.parametrize(("line", "matched"), [("1,2,u,x", 1), ("1,2,what,x", 0), ("1,2,,x", 0), ("5,2,,x", 1)])
def test_what_was_refused_later_is_a_row_in_every_cell(line: str, matched: int) -> None:
    """No row of the drop was corrected there, so a cell that can't be read is another person's."""
    rows: list[dict[str, object]] = [
        {"a": 1.0, "b": 2.0, "c": "u", "kind": "x"},
        {"a": 5.0, "b": 2.0, "c": None, "kind": "x"},
    ]
    *_, split = RowMatcher(WIDE, rows).split(f"a,b,c,kind\n{line}\n".encode(), before=False)
    assert split is not None
    assert split.matched == matched


EUROS = Schema(
    target="kind",
    classes=["x", "y"],
    decimal=",",
    missing_values=["#NV"],
    columns=[
        Column(name="paid", kind="number", notation=Notation(decimal=",", thousands=".", unit="€")),
        Column(name="day", kind="date", missing=True, notation=Notation(order="day/month/year")),
        Column(name="share", kind="number", missing=True),
    ],
)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    ("line", "matched"),
    [
        ("1.680,84 €;31.01.2026;0,5;x", 1),
        ("€1680,84;2026-01-31;0,50;x", 1),
        ("20;#NV;#NV;y", 1),
        ("1,68;31.01.2026;0,5;x", 0),
        ("1.680,84 €;01.02.2026;0,5;x", 0),
    ],
)
def test_cells_are_read_as_in_a_drop(line: str, matched: int, before: bool) -> None:
    """Amounts with a currency, days in the order of the column, and texts for a missing value."""
    rows: list[dict[str, object]] = [
        {"paid": 1680.84, "day": datetime(2026, 1, 31, tzinfo=UTC), "share": 0.5, "kind": "x"},
        {"paid": 20.0, "day": None, "share": None, "kind": "y"},
    ]
    *_, split = RowMatcher(EUROS, rows).split(f"paid;day;share;kind\n{line}\n".encode(), before=before)
    assert split is not None
    assert split.matched == matched


def test_purge_leaves_the_refused_rows_of_later_drops(parts: Parts) -> None:
    """A later row with a cell that can't be read is not one of the drop's, however like them it is."""
    parts.drop("person.csv", PERSON)
    parts.run()
    parts.drop("later.csv", HEADER + "x,3.5,1.25,0.2,setosa\n" + "5.0,3.5,1.25,0.2,setosa\n")
    parts.run()
    request = requests.submit(parts.home, "forget", drop=durable.sha256(PERSON.encode()), purge=True)
    parts.run()
    assert answer(parts, request)[0] == "done"
    [bad_rows] = parts.home.rejected.glob("*.bad.csv")
    assert "x,3.5,1.25,0.2,setosa" in bad_rows.read_text()


def test_lines_in_another_encoding_stay_byte_for_byte() -> None:
    """What is no UTF-8, and the mark of a byte order, is part of other people's rows."""
    matcher = RowMatcher(WIDE, [{"a": 1.0, "b": 2.0, "c": "u", "kind": "x"}])
    *_, split = matcher.split("\ufeffa,b,c,kind\n".encode() + b"1,2,u,x\n3,4,K\xf6ln,y\n", before=True)
    assert split is not None
    assert split.rest == "\ufeffa,b,c,kind\n".encode() + b"3,4,K\xf6ln,y\n"
    assert (split.matched, split.lines) == (1, 2)


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(b"a,b\n1,2\n" * 100)[:-12],
        b"\x1f\x8bhello",
        gzip.compress(b"a\n" * (likeness_module.MOST_BYTES // 2 + 1)),
    ],
    ids=["cut off", "not packed at all", "bomb"],
)
def test_refused_file_that_can_not_be_read_keeps_nothing_waiting(parts: Parts, data: bytes) -> None:
    """It is listed as unread; the drop is purged everywhere else, and other drops are taken."""
    (parts.home.rejected / "broken.csv.gz").write_bytes(data)
    parts.drop("person.csv", PERSON)
    parts.run()
    sha256 = durable.sha256(PERSON.encode())
    assert "inbox/rejected/broken.csv.gz" in listed(parts, sha256)
    request = requests.submit(parts.home, "forget", drop=sha256, purge=True)
    parts.drop("else.csv", text(7))
    parts.run()
    answer = parts.journal.requests.get(request.id)
    assert answer is not None
    assert answer["state"] == "done"
    assert parts.lengths == [7]
