"""retraind.daemon.tabular.rows: single cells, compared with what Python makes of them."""

import csv
import io
import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pyarrow as pa
import pytest
from checking import EPOCH, HEADER, NOTE, POLICY, SCHEMA, SIZE, check, columns, good
from example_counts import some
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from retraind.daemon.schema.cell_notation import Notation
from retraind.daemon.schema.column import BOUND, EXACT, Column, Kind
from retraind.daemon.schema.labelled_row import Sample
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import column_types, csv_table, rows
from retraind.daemon.tabular.checks.cells import BadCell
from retraind.daemon.tabular.file_content import Content

# Kinds


def by_python(cell: str, kind: Kind, decimal: str) -> Any:
    """The value of a cell, None if it is empty; raises ValueError."""
    cell = cell.strip()
    if not cell:
        return None
    if kind == "category":
        if any((ord(char) < 32 and char not in "\t\n\r") or char == "\x7f" for char in cell):
            raise ValueError
        return cell
    if kind == "boolean":
        return {"true": True, "1": True, "false": False, "0": False}.get(cell.lower()) if _word(cell) else _no()
    return date_by_python(cell) if kind == "date" else number_by_python(cell, kind, decimal)


def _word(cell: str) -> bool:
    return cell.lower() in {"true", "false", "0", "1"}


def _no() -> None:
    raise ValueError


def number_by_python(cell: str, kind: Kind, decimal: str) -> float:
    if re.search(r"[^0-9+\-eE" + re.escape(decimal) + "]", cell) or not cell.isascii():
        raise ValueError
    number = float(cell.replace(decimal, "."))
    if not math.isfinite(number) or (kind == "integer" and (number != int(number) or abs(number) > EXACT)):
        raise ValueError
    return number


def date_by_python(cell: str) -> datetime:
    """datetime.fromisoformat, where the cell has hyphens and colons and no week."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?)?", cell, re.ASCII):
        raise ValueError
    moment = datetime.fromisoformat(cell)
    if re.search(r"[+-]\d\d:?[6-9]\d$", cell[11:]):  # which Python takes
        raise ValueError
    try:
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise ValueError from None
    return EPOCH + (moment - EPOCH) // timedelta(milliseconds=1) * timedelta(milliseconds=1)


@settings(max_examples=some(200), deadline=None)
@given(columns(), st.booleans(), st.integers(1, 3))
@example((["\x1f1"], "number", "."), False, 1)
@example((["2024-02-29T00:00-00:30"], "date", "."), False, 1)
def test_every_cell_is_what_python_makes_of_it(column: tuple[list[str], Kind, str], missing: bool, times: int) -> None:
    """Value or reason of a cell depend on nothing but the cell: not on its company, nor on which way it was read."""
    texts, kind, decimal = column
    definition = Column(name="c", kind=kind, missing=missing)
    together = column_types.coerce(pa.array(texts * times, pa.string()), definition, decimal)
    assert together.values.type == column_types.TYPES[kind]
    values = together.values.to_pylist()
    reasons = dict(zip(together.bad.tolist(), together.reasons, strict=True))
    assert list(reasons) == sorted(reasons)
    for i, text in enumerate(texts * times):
        alone = column_types.coerce(pa.array([text]), definition, decimal)
        assert (alone.values.to_pylist(), alone.reasons) == ([values[i]], [reasons[i]] if i in reasons else [])
        try:
            expected = by_python(text, kind, decimal)
        except ValueError:
            assert i in reasons
            assert values[i] is None
        else:
            assert (i in reasons) == (expected is None and not missing)
            assert values[i] == expected


HINT = "If it means a missing value: retraind schema --missing"


@pytest.mark.parametrize(
    ("kind", "cell", "reason"),
    [
        ("number", "x", "'x' is not a number."),
        ("number", "1e999", "'1e999' is too large for a number."),
        ("number", "NA", f"'NA' is not a number. {HINT} NA."),
        ("boolean", "?", f"'?' is neither true nor false. {HINT} '?'."),
        ("date", "null", f"'null' is not a date such as 2026-01-31 or 2026-01-31T12:00:00Z. {HINT} null."),
        ("integer", "5.5", "'5.5' is not a whole number, at most 2**53."),
        ("integer", "1e300", "'1e300' is not a whole number, at most 2**53."),
        ("integer", "3,5", "'3,5' is not a whole number."),
        ("number", "3,5", "'3,5' is not a number with a decimal point."),
        ("boolean", "yes", "'yes' is neither true nor false."),
        ("date", "2026-02-29", "'2026-02-29' is written like a date, but there is no such day or time."),
        ("category", "a\x00", "The cell holds a control character."),
        ("category", " ", f"The cell is empty and the schema allows no missing value here. {column_types.ALLOW}"),
    ],
)
def test_reason_says_what_the_cell_should_be(kind: Kind, cell: str, reason: str) -> None:
    """A sentence of plain English, with the cell."""
    assert column_types.coerce(pa.array([cell]), Column(name="c", kind=kind)).reasons == [reason]


def test_date_of_an_order_is_explained_in_its_own_notation() -> None:
    """A day that the calendar lacks, and a cell that is no date at all, with the separator of the cell."""
    column = Column(name="c", kind="date", notation=Notation(order="day/month/year"))
    reasons = column_types.coerce(pa.array(["31.02.2024", "31.2.", "soon"]), column).reasons
    assert (
        reasons[0] == "'31.02.2024' is written like a date, but there is no such day or time (read as day/month/year)."
    )
    assert reasons[1] == "'31.2.' is not a date such as 31.01.2026 or 2026-01-31."
    assert reasons[2] == "'soon' is not a date such as 31/01/2026 or 2026-01-31."


MARKED = Schema(
    target="kind",
    classes=["a", "none"],
    missing_values=["NA", "none"],
    columns=[
        SIZE,
        NOTE.model_copy(update={"missing_values": ["-"]}),
        Column(name="colour", kind="category", missing=True, categories=["red", "NA"]),
    ],
)
"""Markers of the file and of a column; `NA` is a category, and `none` a class."""


@pytest.mark.parametrize("filler", ["", "2,3,red,a\n" * 100], ids=["few", "many"])
def test_markers_are_missing_values(filler: str) -> None:
    """Those of the file everywhere, those of a column there; a category or class of that name is none. Case and text count."""
    checked = check(HEADER + "1,-,red,a\n1, NA ,NA,a\n1,none,none,none\n" + filler, MARKED)
    assert not checked.bad
    expected = [("red", "a"), ("NA", "a"), (None, "none")]
    assert [(row["note"], (row["colour"], row["kind"])) for row in checked.table.to_pylist()[:3]] == [
        (None, pair) for pair in expected
    ]
    bad = {bad.row: bad.reason for bad in check(HEADER + "-,1,red,a\nNA,1,red,a\n1,na,red,a\n" + filler, MARKED).bad}
    assert bad == {
        0: f"'-' is not a number. {HINT} -.",
        1: f"'NA' means a missing value, and the schema allows none here. {column_types.ALLOW}",
        2: f"'na' is not a number. {HINT} na.",
    }


@pytest.mark.parametrize("accepted", ["accept", "quarantine"])
def test_row_without_a_label_is_counted_as_such(accepted: str) -> None:
    """An empty target and one that stands for a missing value are no class, nor a number, whatever the policy says."""
    checked = check(HEADER + "1,1,red,a\n1,1,red,NA\n1,1,red,\n1,1,red, NA\n", MARKED, new_classes=accepted)
    assert checked.schema is MARKED
    blank = "The row has no label: the cell is empty."
    marked = "The row has no label: 'NA' means a missing value."
    assert [bad.reason for bad in checked.bad] == [marked, blank, marked]
    values = Schema(task="regression", target="y", missing_values=["?"], columns=[SIZE])
    checked = check("size,y\n1,2\n1,?\n1,\n1,x\n", values)
    assert [bad.reason for bad in checked.bad] == [marked.replace("NA", "?"), blank, "'x' is not a number."]


def test_sample_may_have_markers() -> None:
    """Through HTTP as in a file."""
    sample = Sample(features={"size": 1, "note": "-", "colour": "none"}, target="a", id="0" * 32)
    assert rows.sample_cells(sample, MARKED).to_pylist() == [{"size": "1.0", "note": "", "colour": "", "kind": "a"}]


def test_decimal_comma_leaves_no_room_for_a_point() -> None:
    """With a decimal comma in the schema, the point in 1.5 might separate thousands, so the cell is rejected."""
    schema = Schema(task="regression", target="y", decimal=",", columns=[SIZE])
    checked = check("size;y\n1,5;-2,5e1\n1.5;1\n1;2.5\n1.000,5;1\n", schema)
    assert checked.table.to_pylist() == [{"size": 1.5, "y": -25.0}]
    assert [(bad.row, bad.column) for bad in checked.bad] == [(1, "size"), (2, "y"), (3, "size")]
    assert "decimal comma" in checked.bad[0].reason


@given(st.lists(st.floats(-BOUND, BOUND), min_size=1, max_size=20))
def test_numbers_keep_every_bit(values: list[float]) -> None:
    """A float that Python writes out comes back as the same float."""
    got = good(HEADER + "".join(f"{value!r},,,a\n" for value in values))
    assert [row["size"] for row in got] == values


def test_number_that_spoils_every_sum_is_bad() -> None:
    """What no request may have teaches nothing either: one target of 1e200, and no error can be squared any more."""
    schema = Schema(task="regression", target="y", decimal=",", columns=[SIZE])
    checked = check("size;y\n1e100;-1e100\n1,5;1e200\n -1,1e100;1\n2;3\n", schema)
    assert checked.table.to_pylist() == [{"size": 1e100, "y": -1e100}, {"size": 2.0, "y": 3.0}]
    assert checked.bad == [
        BadCell(1, "y", "'1e200' is too large: numbers lie between -1e100 and 1e100."),
        BadCell(2, "size", "'-1,1e100' is too large: numbers lie between -1e100 and 1e100."),
    ]


# Whole files


MIXED = [
    "1",
    "-2.5",
    "2,5",
    "",
    " ",
    "red",
    "green",
    "a",
    "b",
    "0",
    "c",
    "x\ny",
    'q"q',
    "p,q",
    "p;q",
    "1e999",
    "\x07",
    "\r",
]


@st.composite
def files(draw: st.DrawFn) -> tuple[str, str]:
    """A text that Python's csv module wrote, with good, bad and torn rows, and its delimiter."""
    delimiter = draw(st.sampled_from(",;\t"))
    good_row = st.tuples(
        *(st.sampled_from(of) for of in (["1", "-2.5"], ["", "3"], ["", "red", "x\ny"], ["a", "b", "1"]))
    )
    any_row = st.lists(st.sampled_from(MIXED), min_size=1, max_size=5)
    order = draw(st.permutations(range(4)))
    source = io.StringIO(newline="")
    quoting: Literal[0, 1] = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    writer = csv.writer(
        source, delimiter=delimiter, quoting=quoting, lineterminator=draw(st.sampled_from(["\n", "\r\n"]))
    )
    for row in [["size", "note", "colour", "kind"], *draw(st.lists(good_row | any_row, min_size=1, max_size=6))]:
        writer.writerow([row[i] for i in order] if len(row) == 4 else row)
    return source.getvalue(), delimiter


def judge(row: dict[str, str]) -> dict[str, Any] | str:
    """A row's values, or the name of its first bad column."""
    values: dict[str, Any] = {}
    for column in SCHEMA.columns:
        try:
            values[column.name] = by_python(row[column.name], column.kind, ".")
        except ValueError:
            return column.name
        if values[column.name] is None and not column.missing:
            return column.name
    label = {"0": "a", "1": "b", "a": "a", "b": "b"}.get(row["kind"].strip())
    return values | {"kind": label} if label else "kind"


@settings(max_examples=some(100), deadline=None)
@given(files(), st.sampled_from([3, 10, 50, 8 << 20]))
def test_file_gives_exactly_the_rows_that_the_schema_allows(file: tuple[str, str], block: int) -> None:
    """Good, bad and torn rows together are all rows; each bad one is found again by its text."""
    source, delimiter = file
    header, *records = (row for row in csv.reader(io.StringIO(source, newline=""), delimiter=delimiter) if row)
    assume(records)  # csv.writer leaves a lone carriage return unquoted
    content = Content.of(source.encode())
    examined = csv_table.examine(content, header)
    accepted: dict[int, dict[str, Any]] = {}
    refused: dict[int, str] = {}
    for chunk in csv_table.chunks(content, examined, block):
        checked = rows.check(chunk.table, SCHEMA, POLICY)
        accepted |= zip(chunk.records[checked.good].tolist(), checked.table.to_pylist(), strict=True)
        refused |= {int(chunk.records[bad.row]): bad.column for bad in checked.bad}
        refused |= {torn.record: "torn" for torn in chunk.torn}
    for number, record in enumerate(records):
        expected = judge(dict(zip(header, record, strict=True))) if len(record) == 4 else "torn"
        assert (accepted | refused)[number] == expected
    assert len(accepted) + len(refused) == len(records)
    for number, _, text in csv_table.locate(content, examined, refused):
        assert list(csv.reader([*text.splitlines(keepends=True)], delimiter=delimiter)) == [records[number]]
