"""daemon.tabular.rows and daemon.tabular.column_types: what text cells mean. Plain Python, cell by cell, is the judge."""

import csv
import io
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from example_counts import some
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from daemon.core.errors import InvalidDrop
from daemon.core.settings import Inbox
from daemon.schema.column import BOUND, EXACT, Column, Kind
from daemon.schema.labelled_row import Sample
from daemon.schema.row_encoding import encode
from daemon.schema.schema import Schema
from daemon.tabular import column_types, csv_table, rows, schema_growth
from daemon.tabular.file_content import Content
from daemon.tabular.rows import BadCell, Checked

SIZE = Column(name="size", kind="number")
NOTE = Column(name="note", kind="number", missing=True)
COLOUR = Column(name="colour", kind="category", missing=True, categories=["red", "blue"])
SCHEMA = Schema(target="kind", classes=["a", "b"], columns=[SIZE, NOTE, COLOUR])
HEADER = "size,note,colour,kind\n"
POLICY = Inbox()
NOW = datetime(2026, 1, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def text_table(columns: Mapping[str, list[str]]) -> pa.Table:
    return pa.table({name: pa.array(texts, pa.string()) for name, texts in columns.items()})


def check(text: str, schema: Schema = SCHEMA, **policy: Any) -> Checked:
    """The rows of a CSV text; none of them torn."""
    content = Content.of(text.encode())
    header = csv_table.examine(content, [*schema.features, schema.target])
    (chunk,) = csv_table.chunks(content, header)
    assert not chunk.torn
    return rows.check(chunk.table, schema, Inbox(**policy))


def good(text: str, schema: Schema = SCHEMA, **policy: Any) -> list[dict[str, Any]]:
    checked = check(text, schema, **policy)
    assert checked.bad == []
    rows_as_dicts: list[dict[str, Any]] = checked.table.to_pylist()
    return rows_as_dicts


def test_row_has_types_and_schema_order() -> None:
    """Columns stand as in the schema, whatever their order in the file; blanks around a cell do not count."""
    checked = check("kind,colour,note,size\n a , red,\t2, 1 \n")
    assert checked.table.schema.names == ["size", "note", "colour", "kind"]
    assert [str(column.type) for column in checked.table.columns] == ["double", "double", "string", "string"]
    assert checked.table.to_pylist() == [{"size": 1.0, "note": 2.0, "colour": "red", "kind": "a"}]
    assert checked.schema is SCHEMA


def test_only_an_empty_cell_is_missing() -> None:
    """No word means "missing": where a category is called NA or null, that is its name."""
    got = good(HEADER + "1,,,a\n2, ,NA,b\n3,,null,a\n")
    assert [row["colour"] for row in got] == [None, "NA", "null"]
    assert [row["note"] for row in got] == [None] * 3


def test_class_may_be_given_by_code() -> None:
    """Where no class is called by a number."""
    assert [row["kind"] for row in good(HEADER + "1,,,0\n1,,,1\n1,,,b\n")] == ["a", "b", "b"]


def test_label_is_no_code_where_classes_are_called_by_numbers() -> None:
    """A label 1 among classes 3 to 8 is a bad row or a new class; one class that is a number is enough."""
    names = Schema(target="kind", classes=["3", "4", "5", "6", "7", "8"], columns=SCHEMA.columns)
    checked = check(HEADER + "1,,,1\n1,,,0\n1,,,3\n", names)
    assert [row["kind"] for row in checked.table.to_pylist()] == ["3"]
    assert [bad.row for bad in checked.bad] == [0, 1]
    grown = check(HEADER + "1,,,1\n1,,,0\n1,,,3\n", names, new_classes="accept")
    assert [row["kind"] for row in grown.table.to_pylist()] == ["1", "0", "3"]
    mixed = Schema(target="kind", classes=["a", "b", "10"], columns=SCHEMA.columns)
    assert [bad.row for bad in check(HEADER + "1,,,1\n", mixed).bad] == [0]


def test_number_spelt_otherwise_is_the_same_class() -> None:
    """Also among labels that are new; of two classes with one value only the spelling tells."""
    names = Schema(target="kind", classes=["1", "02"], columns=SCHEMA.columns)
    labels = ["1", "1.0", "01", "+1", "1e0", "2", "02", "2.00"]
    text = HEADER + "".join(f"1,,,{label}\n" for label in labels)
    assert [row["kind"] for row in good(text, names)] == ["1"] * 5 + ["02"] * 3
    grown = check(HEADER + "1,,,9.0\n1,,,9\n1,,,09\n", names, new_classes="accept")
    assert [row["kind"] for row in grown.table.to_pylist()] == ["9.0"] * 3
    assert grown.schema.classes == ["1", "02", "9.0"]
    twins = Schema(target="kind", classes=["1", "01"], columns=SCHEMA.columns)
    assert [row["kind"] for row in good(HEADER + "1,,,1\n1,,,01\n", twins)] == ["1", "01"]
    assert [bad.row for bad in check(HEADER + "1,,,1.0\n", twins).bad] == [0]


def test_label_that_differs_in_case_from_a_class_is_pointed_out() -> None:
    """The reason names the class that was probably meant."""
    names = Schema(target="kind", classes=["Not spam", "Spam"], columns=SCHEMA.columns)
    [bad] = check(HEADER + "1,,,not  SPAM\n", names).bad
    assert "Did you mean 'Not spam'?" in bad.reason


@pytest.mark.parametrize(
    ("row", "column", "part"),
    [
        (",2,red,a", "size", "empty"),
        ("x,2,red,a", "size", "'x' is not a number"),
        ("1e999,2,red,a", "size", "too large"),
        ("1,nan,red,a", "note", "'nan' is not a number"),
        ("1,2,r\x07d,a", "colour", "control character"),
        ("1,2,red,c", "kind", "'c' is not a known class. Known classes: a, b"),
        ("1,2,red,", "kind", "empty"),
        ("1,2,red,2", "kind", "'2' is not a known class"),
        ("1,2,red,{cell!r}{0}", "kind", "{0}"),
        ("x,y,r\x07d,c", "size", "'x'"),
        ("1,y,red,c", "note", "'y'"),
        ("1," + "y" * 1000 + ",red,c", "note", "'" + "y" * 80 + "'"),
    ],
)
def test_bad_row_is_named_by_its_first_bad_cell(row: str, column: str, part: str) -> None:
    """The rows around it are good."""
    checked = check(f"{HEADER}1,2,red,a\n{row}\n3,,,b\n")
    assert checked.good.tolist() == [0, 2]
    assert checked.table["size"].to_pylist() == [1, 3]
    assert [(bad.row, bad.column) for bad in checked.bad] == [(1, column)]
    assert part in checked.bad[0].reason
    assert len(checked.bad[0].reason) < 200


def test_column_too_few_is_an_invalid_drop() -> None:
    """Also one that may be empty, because its name may be misspelt; but columns that are added are not in older files."""
    for policy in ("ignore", "reject"):
        with pytest.raises(InvalidDrop, match="the header has: size, note, kind") as caught:
            check("size, note,kind\n1,2,a\n", extra_columns=policy)
        assert (caught.value.line, caught.value.column) == (1, "colour")
    assert good("size,note,kind\n1,2,a\n", extra_columns="add")[0]["colour"] is None
    for header in ("note,colour,kind", "size,note,colour"):
        with pytest.raises(InvalidDrop, match="is missing"):
            check(f"{header}\n1,2,a\n", extra_columns="add")


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


NUMBERS = st.one_of(
    st.from_regex(r"\A[+-]?[0-9]{0,3}[.,]?[0-9]{0,2}([eE][+-]?[0-9]{1,3})?\Z"),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers().map(str),
    st.sampled_from(
        ["nan", "inf", "-Infinity", "+nan", "NaN", "0x10", "1_000", "1 000", "\u0661", "1f", "1e", ".", "+-1"]
    ),
    st.sampled_from(
        ["9007199254740992", "9007199254740994", "-9007199254740993", "5.0", "5e3", "5e-1", "1e400", "1,5"]
    ),
)
DATES = st.one_of(
    st.datetimes().map(str),
    st.datetimes(timezones=st.timezones()).map(datetime.isoformat),
    st.dates().map(str),
    st.from_regex(r"\A[0-9]{4}-[01][0-9]-[0-3][0-9]([T ][0-2][0-9]:[0-6][0-9](:[0-6][0-9]([.,][0-9]{1,9})?)?)?\Z"),
    st.from_regex(r"\A(0001|2024|9999)-(02-29|01-01|12-31)T(00|23|24):00(Z|[+-][0-2][0-9](:?[0-9]{2})?)?\Z"),
    st.sampled_from(["2026-W01", "20260131", "2026-1-31", "31.01.2026", "2026-01-31T", "2026-01-31z", "0000-01-01"]),
)
WORDS = st.sampled_from(
    ["true", "FALSE", "True", "0", "1", "2", "yes", "t", "", " ", "red", "r\x07d", "\x7f", "a\nb", "\u0130"]
)
BLANKS = st.sampled_from(["", "", "", " ", "\t", "\u00a0", "\r\n"])
KINDS: list[Kind] = ["number", "integer", "boolean", "category", "date"]


@st.composite
def columns(draw: st.DrawFn) -> tuple[list[str], Kind, str]:
    """Cells that mostly are of the kind, the kind, the decimal mark."""
    kind = draw(st.sampled_from(KINDS))
    fitting = {"number": NUMBERS, "integer": NUMBERS, "date": DATES}.get(kind, WORDS)
    cell = st.tuples(BLANKS, fitting | fitting | fitting | WORDS | st.text(max_size=6), BLANKS).map("".join)
    decimal = draw(st.sampled_from(".,"))
    return draw(st.lists(cell, min_size=1, max_size=5)), kind, decimal


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


HINT = "leave the cell empty or add it to missing_values in data/schema.json."


@pytest.mark.parametrize(
    ("kind", "cell", "reason"),
    [
        ("number", "x", "'x' is not a number."),
        ("number", "1e999", "'1e999' is too large for a number."),
        ("number", "NA", f"'NA' is not a number; {HINT}"),
        ("boolean", "?", f"'?' is neither true nor false; {HINT}"),
        ("date", "null", f"'null' is not a date such as 2026-01-31 or 2026-01-31T12:00:00Z; {HINT}"),
        ("integer", "5.5", "'5.5' is not a whole number, at most 2**53."),
        ("integer", "1e300", "'1e300' is not a whole number, at most 2**53."),
        ("boolean", "yes", "'yes' is neither true nor false."),
        ("date", "2026-02-29", "'2026-02-29' is not a date such as 2026-01-31 or 2026-01-31T12:00:00Z."),
        ("category", "a\x00", "The cell holds a control character."),
        ("category", " ", "The cell is empty and the schema allows no missing value here."),
    ],
)
def test_reason_says_what_the_cell_should_be(kind: Kind, cell: str, reason: str) -> None:
    """A sentence of plain English, with the cell."""
    assert column_types.coerce(pa.array([cell]), Column(name="c", kind=kind)).reasons == [reason]


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
        0: f"'-' is not a number; {HINT}",
        1: "'NA' stands for a missing value, and the schema allows none here.",
        2: f"'na' is not a number; {HINT}",
    }


@pytest.mark.parametrize("accepted", ["accept", "quarantine"])
def test_row_without_a_label_is_counted_as_such(accepted: str) -> None:
    """An empty target and one that stands for a missing value are no class, nor a number, whatever the policy says."""
    checked = check(HEADER + "1,1,red,a\n1,1,red,NA\n1,1,red,\n1,1,red, NA\n", MARKED, new_classes=accepted)
    assert checked.schema is MARKED
    blank = "The row has no label: the cell is empty."
    marked = "The row has no label: 'NA' stands for a missing value."
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


# Policies


def test_new_class_is_bad_or_a_class() -> None:
    """Accepted, it comes after those there are; one that only bad rows have does not."""
    text = HEADER + "1,,,c\n1,,,a\nx,,,d\n1,,,c\n1,,,\n1,,,e\x07\n"
    assert [bad.row for bad in check(text).bad] == [0, 2, 3, 4, 5]
    checked = check(text, new_classes="accept")
    assert [(bad.row, bad.column) for bad in checked.bad] == [(2, "size"), (4, "kind"), (5, "kind")]
    assert checked.schema.classes == ["a", "b", "c"]
    assert rows.codes(checked.table, checked.schema).tolist() == [2, 0, 2]


def test_number_of_classes_is_limited() -> None:
    """Rows beyond the limit are bad: a model can't be trained on an unlisted target."""
    checked = check(HEADER + "".join(f"1,,,c{i}\n" for i in range(110)), new_classes="accept")
    assert len(checked.schema.classes) == 100
    assert len(checked.good) == 98
    assert "100 classes already" in checked.bad[0].reason


def test_new_category_is_listed_or_bad() -> None:
    """Accepted ones come after those there are, up to a hundred; a category that only bad rows have does not."""
    text = HEADER + "1,,green,a\n1,,red,a\nx,,black,a\n1,,,a\n"
    checked = check(text)
    assert checked.schema.columns[2].categories == ["red", "blue", "green"]
    assert checked.schema.columns[2].codes == {"red": 0, "blue": 1, "green": 2}
    checked = check(text, new_categories="quarantine")
    assert checked.bad[0] == BadCell(0, "colour", "'green' is not a known category. Known categories: red, blue.")
    assert [bad.row for bad in checked.bad] == [0, 2]
    assert checked.schema is SCHEMA
    many = check(HEADER + "".join(f"1,,c{i},a\n" for i in range(110)))
    assert (len(many.schema.columns[2].categories), len(many.good)) == (100, 110)
    assert check(HEADER + "1,,c1000,a\n", many.schema).schema is many.schema


def test_extra_column_is_left_out_refused_or_added() -> None:
    """Remarks of a file from quarantine are never read."""
    text = "_line,_reason,_column,size,note,colour,kind,when,full,text\n" + "".join(
        f"7,bad,size,1,,,a,2026-01-0{i % 9 + 1},,{i}{'x' * i}\n" for i in range(101)
    )
    with pytest.raises(InvalidDrop, match="'when' is not in the schema") as caught:
        check(text)
    assert (caught.value.line, caught.value.column) == (1, "when")
    assert check(text, extra_columns="ignore").table.column_names == [*SCHEMA.features, "kind"]
    checked = check(text, extra_columns="add")
    assert checked.schema.features == [*SCHEMA.features, "when"]
    assert (checked.schema.columns[3].kind, checked.schema.columns[3].missing) == ("date", True)
    assert checked.table["when"][0].as_py() == datetime(2026, 1, 1, tzinfo=UTC)
    assert check(text.replace("2026", "x026", 1), checked.schema, extra_columns="add").bad[0].column == "when"
    assert good(HEADER + "1,,,a\n", checked.schema, extra_columns="add")[0]["when"] is None
    with pytest.raises(InvalidDrop, match="'when' is missing"):
        check(HEADER + "1,,,a\n", checked.schema)


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


# Samples


def sample(features: dict[str, Any], target: str = "b") -> Sample:
    return Sample(id="0" * 32, features=features, target=target)


@pytest.mark.parametrize("size", [1, 1.5, -0.0, 1e-300, 2**53 + 1, 2**63])
@pytest.mark.parametrize("decimal", [".", ","])
def test_sample_is_one_row(size: float, decimal: Literal[".", ","]) -> None:
    """A sample that came over HTTP is one row, also with numbers that no double holds exactly."""
    schema = Schema(target="kind", classes=["a", "b"], columns=SCHEMA.columns, decimal=decimal)
    checked = rows.check(rows.sample_cells(sample({"size": size, "colour": "red"}), schema), schema, POLICY)
    assert checked.table.to_pylist() == [{"size": float(size), "note": None, "colour": "red", "kind": "b"}]


def test_sample_of_all_kinds_is_what_serving_sees() -> None:
    """Dates in every form that JSON may have, and a regression's target."""
    kinds_of = [
        Column(name=kind, kind=kind, missing=True, categories=["x"] if kind == "category" else []) for kind in KINDS
    ]
    schema = Schema(task="regression", target="y", decimal=",", columns=kinds_of)
    for date in ("2026-01-31", "20260131T1200", "2026-W05-6T12:00:00.25+02:00", None):
        features = {"number": 1.5, "integer": 3, "boolean": True, "category": "x", "date": date}
        checked = rows.check(rows.sample_cells(sample(features, schema.label(2.5)), schema), schema, POLICY)
        np.testing.assert_array_equal(rows.matrix(checked.table, schema), [encode(schema, features)])
        assert rows.targets(checked.table, schema).tolist() == [2.5]


@pytest.mark.parametrize(
    ("features", "column", "part"),
    [({}, "size", "missing"), ({"size": "1"}, "size", "is a number"), ({"size": 1, "hue": 1}, "hue", "no column")],
)
def test_sample_that_does_not_fit_is_refused(features: dict[str, Any], column: str, part: str) -> None:
    """The schema may have changed since the row was posted, or the file was written by hand."""
    with pytest.raises(InvalidDrop, match=part) as caught:
        rows.sample_cells(sample(features), SCHEMA)
    assert caught.value.column == column


# Numbers for the model


def test_matrix_and_codes() -> None:
    """Missing numbers are NaN, missing and unlisted categories UNKNOWN, targets their codes."""
    table = check(HEADER + "1,,red,b\n2,3,,a\n3,4,green,b\n").table
    np.testing.assert_array_equal(rows.matrix(table, SCHEMA), [[1, np.nan, 0], [2, 3, -1], [3, 4, -1]])
    assert rows.codes(table, SCHEMA).tolist() == [1, 0, 1]
    assert rows.matrix(table, SCHEMA).dtype == np.float64


def test_matrix_is_what_serving_computes() -> None:
    """A row of a file and the same row as a request give the same numbers."""
    kinds_of = [Column(name=kind, kind=kind, categories=["x"] if kind == "category" else []) for kind in KINDS]
    schema = Schema(target="y", classes=["a", "b"], columns=kinds_of)
    moments = ["2026-01-31", "1969-12-31T23:59:59.5-05:30", "2024-02-29 12:00"]
    text = ",".join(KINDS) + ",y\n" + "".join(f"1.5,3,true,x,{moment},a\n" for moment in moments)
    encoded = [encode(schema, [1.5, 3, True, "x", moment]) for moment in moments]
    np.testing.assert_array_equal(rows.matrix(check(text, schema).table, schema), encoded)


def test_matrix_copes_with_segments_of_other_times() -> None:
    """A column that was added later, or whose kind was edited by hand: what can be cast is, the rest is missing."""
    old = pa.table(
        {
            "a": pa.array(["1", "x", None]),
            "b": pa.array([1.0, 2.5, None]),
            "c": pa.array([1, 0, None]),
            "d": pa.array(["2026-01-31", "", "x"]).dictionary_encode(),
            "e": pa.nulls(3),
            "f": pa.array([datetime(1970, 1, 2, tzinfo=UTC)] * 3, column_types.TYPES["date"]),
            "y": pa.array([0.0, 1.0, 5.0]),
        }
    )
    kinds: dict[str, Kind] = {
        "a": "number",
        "b": "category",
        "c": "boolean",
        "d": "date",
        "e": "integer",
        "f": "number",
    }
    columns_of = [Column(name=name, kind=kind, missing=True) for name, kind in kinds.items()]
    columns_of[1] = Column(name="b", kind="category", categories=["2.5", "1"])
    later = [Column(name="late", kind="date"), Column(name="later", kind="category")]
    schema = Schema(target="y", classes=["0", "1"], columns=[*columns_of, *later])
    nan = math.nan
    np.testing.assert_array_equal(
        rows.matrix(old, schema),
        [
            [1, 1, 1, 20_484, nan, nan, nan, -1],
            [nan, 0, 0, nan, nan, nan, nan, -1],
            [nan, -1, nan, nan, nan, nan, nan, -1],
        ],
    )
    assert rows.codes(old, schema).tolist() == [0, 1, -1]
    assert rows.targets(old.set_column(6, "y", pa.array(["1", "x", "2"])), schema).tolist()[::2] == [1, 2]


def table(drop: str, count: int) -> pa.Table:
    return rows.with_provenance(pa.table({"size": np.zeros(count)}), [drop], [count], np.arange(count), NOW, "file")


def test_every_row_knows_where_it_came_from() -> None:
    """Drop, row number, time and source stand beside the cells, for many drops at once; one may come twice."""
    drops = ["ab" * 32, "cd" * 32, "ab" * 32, "ef" * 32]
    table = rows.with_provenance(
        pa.table({"size": np.zeros(6)}), drops, [2, 1, 3, 0], np.array([0, 2, 0, 3, 4, 7]), NOW, "http"
    )
    assert table["_drop"].to_pylist() == ["ab" * 32] * 2 + ["cd" * 32] + ["ab" * 32] * 3
    assert table["_row"].to_pylist() == [0, 2, 0, 3, 4, 7]
    assert set(table["_source"].to_pylist()) == {"http"}
    assert set(table["_accepted_at"].to_pylist()) == {NOW}
    assert table.schema.field("_drop").type == pa.dictionary(pa.int32(), pa.string())


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1,234", "2,000,000"], "number", [1234, 2000000]),
        (["$5.50", "$7"], "number", [5.5, 7]),
        (["31/01/2024", "01/02/2024"], "date", [19753, 19754]),
        (["01/02/2024", "02/03/2024"], "category", [0, 1]),
    ],
    ids=["thousands", "currency", "dates", "dates that may be two"],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_added_column_is_read_as_at_init(cells: list[str], kind: str, values: list[float], streamed: bool) -> None:
    """The notation of its numbers and dates is found out, and never guessed."""
    schema = Schema(target="y", classes=["a", "b"], columns=[Column(name="n", kind="number")])
    table = pa.table({"n": ["1", "2"], "new": cells, "y": ["a", "b"]})
    policy = Inbox(extra_columns="add")
    grown = schema_growth.with_columns(table[:0], schema, policy, lambda: [table]) if streamed else schema
    checked = rows.check(table, grown, policy)
    assert (checked.schema.columns[1].kind, checked.bad) == (kind, [])
    assert rows.matrix(checked.table, checked.schema)[:, 1].tolist() == values
