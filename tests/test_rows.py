"""daemon.rows: what a drop's bytes mean. Python's csv module is the judge of where a cell begins and ends."""

import csv
import io
import itertools
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from daemon import rows
from daemon.errors import InvalidDrop
from daemon.schema import Column, Schema

SIZE = Column(name="size", kind="number")
NOTE = Column(name="note", kind="number", missing=True)
COLOUR = Column(name="colour", kind="category", missing=True, categories=["red", "blue"])
SCHEMA = Schema(target="kind", classes=["a", "b"], columns=[SIZE, NOTE, COLOUR])
HEADER = "size,note,colour,kind\n"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def parse(text: str | bytes, name: str = "x.csv") -> list[dict[str, Any]]:
    data = text.encode() if isinstance(text, str) else text
    found: list[dict[str, Any]] = rows.parse(data, name, SCHEMA).table.to_pylist()
    return found


def refused(text: str | bytes, name: str = "x.csv") -> InvalidDrop:
    with pytest.raises(InvalidDrop) as caught:
        parse(text, name)
    return caught.value


def table(drop: str, count: int) -> pa.Table:
    cells = {"size": np.zeros(count), "note": np.zeros(count), "colour": ["red"] * count, "kind": ["a"] * count}
    return rows.with_provenance(rows.Rows(pa.table(cells)), drop, NOW, "file")


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "1,2,red,a\n",
        HEADER + "1,2,red,a",
        HEADER + "1,2,red,0\n",
        HEADER.replace("\n", "\r\n") + "1,2,red,a\r\n",
        HEADER.replace("\n", "\r") + "1,2,red,a\r",
        "\ufeff" + HEADER + "1,2,red,a\n",
        "\r\n\n" + HEADER + "\n1,2,red,a\n\n",
        "kind,colour,note,size\na,red,2,1\n",
        ' size ,"note",colour,kind\n 1 ,\t2,"red" , a\n',
        HEADER + '"1","2.0","red","a"\n',
        HEADER + "+1,02e0,red,a\n",
    ],
)
def test_one_row_written_in_many_ways(text: str) -> None:
    """Order of columns, line ends, byte order mark, empty lines, blanks and quotes do not matter."""
    assert parse(text) == [{"size": 1.0, "note": 2.0, "colour": "red", "kind": "a"}]


def test_only_an_empty_cell_is_missing() -> None:
    """No word means "missing": where a category is called NA or null, that is its name."""
    got = parse(HEADER + "1,,,a\n2, ,NA,b\n3,,null,a\n")
    assert [row["colour"] for row in got] == [None, "NA", "null"]
    assert [row["note"] for row in got] == [None] * 3


@pytest.mark.parametrize(
    ("text", "line", "column", "part"),
    [
        ("", None, None, "empty"),
        ("\ufeff \r\n\t", None, None, "empty"),
        (HEADER, 1, None, "no rows"),
        ("\n" + HEADER + "\n", 2, None, "no rows"),
        (HEADER.encode() + b"1,2,red,a\n1,2,r\xe9d,a\n", 3, None, "Not UTF-8"),
        (HEADER.encode("utf-16"), 1, None, "Not UTF-8"),
        (HEADER + "1,2,\0,a\n", 2, None, "NUL"),
        ("size;note;colour;kind\n1;2;red;a\n", 1, "size", "is missing; the header has: size;note"),
        ("size,note,colour\n1,2,red\n", 1, "kind", "is missing"),
        ("size,note,colour,kind,extra\n1,2,red,a,x\n", 1, "extra", "not in the schema"),
        ("size,size,note,colour,kind\n1,1,2,red,a\n", 1, "size", "twice"),
        (HEADER + "1,2,red,a\n1,2,a\n", 3, None, "has 3 cells; the header has 4"),
        (HEADER + "1,2,red,a,\n", 2, None, "has 5 cells; the header has 4"),
        (HEADER + '\n1,2,"red\nor\nblue",a\n1,2,a\n', 6, None, "has 3 cells"),
        (HEADER + "\n\n1,2,red,a\n\nx,2,red,a\n", 6, "size", "'x' is not a number"),
        (HEADER + '1,2,"red\nor\nblue",a\n1,x,red,a\n', 5, "note", "'x' is not a number"),
        (HEADER + "1,2,red,a\rx,2,red,a\r", 3, "size", "'x' is not a number"),
        (HEADER + ",2,red,a\n", 2, "size", "empty"),
        (HEADER + "1e999,2,red,a\n", 2, "size", "too large"),
        (HEADER + "1,2,r\x07d,a\n", 2, "colour", "control character"),
        (HEADER + "1,2,red,c\n", 2, "kind", "'c' is no class; the classes are: a, b"),
        (HEADER + "1,2,red,\n", 2, "kind", "'' is no class"),
        (HEADER + "1,2,red,2\n", 2, "kind", "'2' is no class"),
        (HEADER + "1,2,red,{cell!r}{0}\n", 2, "kind", "{0}"),
        (HEADER + "1,2," + "x" * 200_000 + ",a\n1,2,red,c\n", 3, "kind", "no class"),
        ('kind,size,note,colour\na,1,2,"red\nb,2,3,blue\n', 2, "colour", "never closed"),
        ('kind,size,note,colour\nb,1,2,"red"\na,1,2,"red', 3, "colour", "never closed"),
        ('"' + HEADER + "1,2,red,a\n", None, None, "Not a CSV file"),
        (b"PK\x03\x04" + bytes(range(1, 120)), 3, None, "cells"),
    ],
)
def test_bad_file_is_refused_whole_and_by_place(
    text: str | bytes, line: int | None, column: str | None, part: str
) -> None:
    """The first thing that is wrong is named with line and column as an editor counts them."""
    error = refused(text)
    assert (error.line, error.column) == (line, column)
    assert part in error.reason


@pytest.mark.parametrize(
    "cell", ["nan", "inf", "-Infinity", "0x10", "1_000", "1 000", "1,5", "١", "1e", ".", "--1", "1f"]
)
def test_only_plain_decimals_are_numbers(cell: str) -> None:
    """What some library would take for a number, and a person would not, is refused."""
    assert refused(f'{HEADER}"{cell}",2,red,a\n').column == "size"


CELLS = [
    "1",
    "-2.5",
    " 3e-2 ",
    "+.5",
    "1e400",
    "nan",
    "",
    " ",
    "red",
    "a",
    "b",
    "0",
    'q"q',
    '"',
    "x,y",
    "é",
    "\t",
    "l\nm",
    "l\rm",
]
LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r", "\n\n"])


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


@st.composite
def files(draw: st.DrawFn) -> str:
    """CSV files: mostly well-formed rows of good cells, with some that are neither."""
    good = [
        ["1", "-2.5", " 3e-2 ", "+.5"],
        ["", "7", " "],
        ["", "red", "é", 'q"q', "x,y", "l\nm", "l\rm"],
        ["a", "b", "0"],
    ]
    lines = [["size", "note", "colour", "kind"]]
    for _ in range(draw(st.integers(1, 4))):
        row = [draw(st.sampled_from(cells)) for cells in good]
        if draw(st.integers(0, 9)) == 0:
            row = draw(st.lists(st.sampled_from(CELLS), min_size=1, max_size=6))
        lines.append(row)
    text = ""
    for row in lines:
        plain = draw(st.booleans())
        text += ",".join(cell if plain and not set(cell) & set(',"\r\n') else quoted(cell) for cell in row)
        text += draw(LINE_ENDS)
    return text


def by_python(text: str) -> list[dict[str, Any]]:
    header, *cells = (row for row in csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")) if row)
    names = [name.strip() for name in header]
    found = []
    for row in cells:
        assert len(row) == len(names)
        named = {name: cell.strip() for name, cell in zip(names, row, strict=True)}
        numbers = {name: float(named[name]) if named[name] else None for name in ("size", "note")}
        label = {"0": "a", "1": "b"}.get(named["kind"], named["kind"])
        found.append({**numbers, "colour": named["colour"] or None, "kind": label})
    return found


@settings(max_examples=150)
@given(files())
def test_what_is_accepted_is_what_python_reads(text: str) -> None:
    """No cell is shifted, lost or changed: Arrow and Python's csv module see the same table."""
    try:
        got = parse(text)
    except InvalidDrop:
        return
    assert got == by_python(text)


@settings(max_examples=150)
@given(
    st.text(st.sampled_from('size,note,colour,kind\n12.5e-a"\r \t\ufeff\x85\0'), max_size=80) | st.text() | st.binary()
)
@example('"')
@example("\r")
@example("a\n\n\r")
def test_any_bytes_are_rows_or_an_invalid_drop(text: str | bytes) -> None:
    """Whatever somebody drops, nothing but InvalidDrop is raised, and what is accepted is what Python reads."""
    for content, name in itertools.product(
        (text, HEADER.encode() + text if isinstance(text, bytes) else HEADER + text), "ab"
    ):
        try:
            got = parse(content, "x.csv" if name == "a" else "http-1.sample.json")
        except InvalidDrop:
            continue
        assert got == by_python(content if isinstance(content, str) else content.decode())


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_numbers_keep_every_bit(values: list[float]) -> None:
    """A float that Python writes out comes back as the same float."""
    got = parse(HEADER + "".join(f"{value!r},,,a\n" for value in values))
    assert [row["size"] for row in got] == values


def test_rows_keep_their_order_over_blocks() -> None:
    """A file larger than Arrow's blocks (16 MiB) is read whole and in order."""
    filler = "f" * 10_000
    got = rows.parse((HEADER + "".join(f"{i},,{filler},a\n" for i in range(2500))).encode(), "x.csv", SCHEMA)
    assert got.table["size"].to_pylist() == list(range(2500))
    assert refused(HEADER + f"1,,{filler},a\n" * 2500 + "1,,red\n").line == 2502


# Samples


def sample(**changes: Any) -> bytes:
    document = {"format": "retraind-sample/1", "id": "0" * 32, "features": {"size": 1}, "target": "b"}
    return orjson.dumps(document | changes)


@pytest.mark.parametrize("size", [1, 1.5, -0.0, 2**53 + 1, 2**63])
def test_sample_is_one_row(size: float) -> None:
    """A sample that came over HTTP is one row, also with numbers that no double holds exactly."""
    got = parse(sample(features={"size": size, "colour": "red"}), "http-1.sample.json")
    assert got == [{"size": float(size), "note": None, "colour": "red", "kind": "b"}]


@pytest.mark.parametrize(
    ("data", "column", "part"),
    [
        (b"", None, "Not a sample"),
        (b"[]", None, "Not a sample"),
        (b'{"a":', None, "Not a sample"),
        (b"\xff", None, "Not a sample"),
        (sample(id="short"), None, "id"),
        (sample(extra=1), None, "extra"),
        (sample(features={}), "size", "missing"),
        (sample(features={"size": "1"}), "size", "is a number"),
        (sample(features={"size": 1, "hue": 1}), "hue", "no column"),
        (sample(target="c"), "kind", "no class"),
    ],
)
def test_broken_sample_is_refused(data: bytes, column: str | None, part: str) -> None:
    """Somebody may drop a file of that name by hand; it is checked like any other."""
    error = refused(data, "http-1.sample.json")
    assert error.column == column
    assert part in error.reason
    assert "\n" not in error.reason


# Numbers for the model


def test_matrix_and_codes() -> None:
    """Missing numbers are NaN, missing and unlisted categories UNKNOWN, targets their codes."""
    found = rows.parse((HEADER + "1,,red,b\n2,3,,a\n3,4,green,b\n").encode(), "x.csv", SCHEMA).table
    np.testing.assert_array_equal(rows.matrix(found, SCHEMA), [[1, np.nan, 0], [2, 3, -1], [3, 4, -1]])
    assert rows.codes(found, SCHEMA).tolist() == [1, 0, 1]
    assert rows.matrix(found, SCHEMA).dtype == np.float64


def test_matrix_is_what_serving_computes() -> None:
    """A row of a file and the same row as a request give the same numbers."""
    found = rows.parse((HEADER + "1,,red,b\n2.5,3,green,a\n").encode(), "x.csv", SCHEMA).table
    encoded = [SCHEMA.encode([row["size"], row["note"], row["colour"]]) for row in found.to_pylist()]
    np.testing.assert_array_equal(rows.matrix(found, SCHEMA), encoded)


def test_every_row_knows_where_it_came_from() -> None:
    """Drop, row number, time and source stand beside the cells."""
    found = table("ab" * 32, 3)
    assert found["_row"].to_pylist() == [0, 1, 2]
    assert set(found["_drop"].to_pylist()) == {"ab" * 32}
    assert set(found["_source"].to_pylist()) == {"file"}
    assert set(found["_accepted_at"].to_pylist()) == {NOW}


# Holding out


def test_held_out_share_is_about_what_was_asked_for() -> None:
    """Over many small drops and over one large one, with the numbers of a binomial distribution."""
    small = pa.concat_tables([table(f"{i * 2654435761 % 2**64:016x}" + "0" * 48, 5) for i in range(4000)])
    for rows_of in (small, table("5" * 64, 20_000)):
        for share in (0.05, 0.2, 0.5):
            error = abs(rows.held_out(rows_of, share).mean() - share)
            assert error < 4 * (share * (1 - share) / 20_000) ** 0.5


@given(
    st.lists(
        st.tuples(st.text("0123456789abcdef", min_size=64, max_size=64), st.integers(1, 9)), min_size=1, max_size=4
    )
)
def test_held_out_row_stays_held_out(drops: list[tuple[str, int]]) -> None:
    """Membership depends on drop and row number alone: not on order, company, encoding; a larger share only adds."""
    tables = [table(drop, count) for drop, count in drops]
    apart = np.concatenate([rows.held_out(one, 0.3) for one in tables])
    together = pa.concat_tables(tables)
    plain = together.set_column(together.column_names.index("_drop"), "_drop", together["_drop"].cast(pa.string()))
    turned = together.take(list(range(len(together)))[::-1])
    assert rows.held_out(together, 0.3).tolist() == apart.tolist()
    assert rows.held_out(together.unify_dictionaries(), 0.3).tolist() == apart.tolist()
    assert rows.held_out(plain, 0.3).tolist() == apart.tolist()
    assert rows.held_out(turned, 0.3).tolist() == apart[::-1].tolist()
    assert not (apart & ~rows.held_out(together, 0.6)).any()


def test_no_rows_no_holdout() -> None:
    """An empty table gives an empty mask."""
    assert rows.held_out(table("0" * 64, 0), 0.2).tolist() == []
