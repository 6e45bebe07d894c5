"""retraind.daemon.tabular.csv_table: bytes to text cells. Python's csv module is the judge of where a cell begins and ends."""

import csv
import io
from typing import Literal, NamedTuple

import pytest
from csv_texts import HEADER, WANTED
from example_counts import some
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.tabular import csv_records, csv_table
from retraind.daemon.tabular.csv_table import Header
from retraind.daemon.tabular.file_content import Content


class Read(NamedTuple):
    """A drop as the reader saw it."""

    header: Header
    good: dict[int, list[str]]
    torn: dict[int, str]


def read(source: str | bytes | Content, block: int = 8 << 20) -> Read:
    if not isinstance(source, Content):
        source = Content.of(source.encode() if isinstance(source, str) else source)
    header = csv_table.examine(source, WANTED)
    good: dict[int, list[str]] = {}
    torn: dict[int, str] = {}
    for chunk in csv_table.chunks(source, header, block):
        assert tuple(chunk.table.column_names) == header.names
        rows = zip(*(column.to_pylist() for column in chunk.table.columns), strict=True)
        numbers = chunk.records.tolist()
        assert len(numbers) == chunk.table.num_rows
        assert {*numbers, *(one.record for one in chunk.torn)}.isdisjoint(good.keys() | torn.keys())
        good |= zip(numbers, map(list, rows), strict=True)
        torn |= {one.record: one.reason for one in chunk.torn}
    assert list(good) == sorted(good)
    return Read(header, good, torn)


def refused(source: str | bytes, block: int = 8 << 20) -> InvalidDrop:
    with pytest.raises(InvalidDrop) as caught:
        read(source, block)
    return caught.value


def by_python(source: str, delimiter: str) -> list[list[str]]:
    """All records, the header first; empty lines are none."""
    return [
        row for row in csv.reader(io.StringIO(source.removeprefix("\ufeff"), newline=""), delimiter=delimiter) if row
    ]


@pytest.mark.parametrize(
    ("source", "delimiter", "line"),
    [
        ("size,note\n1,2\n", ",", 1),
        ("size,note\n1,2", ",", 1),
        ("size,note\r\n1,2\r\n", ",", 1),
        ("size,note\r1,2\r", ",", 1),
        ("size,note\r1,2\r\n\n\r", ",", 1),
        ("\ufeffsize,note\n1,2\n", ",", 1),
        ("\r\n\n\rsize,note\n\n1,2\n\n", ",", 4),
        ("\ufeff\nsize,note\n1,2\n", ",", 2),
        (' "size", note \n"1","2"\n'.replace(' "', '"'), ",", 1),
        ("size;note\n1;2\n", ";", 1),
        ("size\tnote\n1\t2\n", "\t", 1),
        ('"size";"note"\n1;"2"\n', ";", 1),
    ],
)
def test_one_row_written_in_many_ways(source: str, delimiter: str, line: int) -> None:
    """Delimiter, line ends, byte order mark, empty lines and quotes do not matter."""
    for block in (2, 7, 8 << 20):
        table = read(source, block)
        assert (table.header.names, table.header.delimiter, table.header.line) == (("size", "note"), delimiter, line)
        assert (table.good, table.torn) == ({0: ["1", "2"]}, {})


def test_delimiter_is_the_one_that_fits_the_names_best() -> None:
    """What the header says decides, not what is frequent; without any name that fits, the one that gives most names."""
    assert read("size;note;a,b,c,d,e\n1;2;3\n").header.delimiter == ";"
    assert read("sizes;notes\n1;2\n").header.names == ("sizes", "notes")
    assert read('"note;x",size\n1,2\n').header.names == ("note;x", "size")


def test_cells_are_text_and_nothing_else() -> None:
    """Blanks stay, no word means "missing", no type is guessed."""
    row = ["007", " NA ", "", "null", "1e5", "2026-01-31", "true", '"', "é\u2028\x85\x0b"]
    names = [*WANTED, *"abcdefg"]
    source = io.StringIO(newline="")
    csv.writer(source).writerows([names, row, row])
    assert read(source.getvalue()).good == {0: row, 1: row}


@pytest.mark.parametrize("block", [2, 10, 8 << 20])
def test_ragged_records_are_torn_not_shifted(block: int) -> None:
    """Each has its number among all records; the trap of a trailing comma in every row is none."""
    table = read(HEADER + '1,2\n\n3\n4,5,\n"6\n7",8\n,\n9', block)
    assert table.good == {0: ["1", "2"], 3: ["6\n7", "8"], 4: ["", ""]}
    assert {number: reason.split(";")[0] for number, reason in table.torn.items()} == {
        1: "This row has 1 cells",
        2: "This row has 3 cells",
        5: "This row has 1 cells",
    }
    every = read(HEADER + "1,2,\n" * 5, block)
    assert (every.good, list(every.torn)) == ({}, [0, 1, 2, 3, 4])


@pytest.mark.parametrize(
    ("source", "line", "column", "part"),
    [
        ("", None, None, "empty"),
        ("\ufeff \r\n\t", None, None, "empty"),
        (HEADER, 1, None, "no rows"),
        ("\n" + HEADER + "\n\r\n", 2, None, "no rows"),
        (HEADER.encode() + b"1,2\n1,\xe9\n", 3, None, "Not UTF-8 text: byte 16"),
        (HEADER.replace("\n", "\r").encode() + b"1,2\r\n1,\xe9\n", 3, None, "Not UTF-8"),
        (HEADER.encode() + b"1,\xc3", 2, None, "Not UTF-8"),
        (HEADER.encode("utf-16"), 1, None, "Not UTF-8"),
        (HEADER + "1,\0\n", 2, None, "NUL"),
        ("size,size,note\n1,1,2\n", 1, "size", "twice"),
        ("\n size,size \n1,1\n", 2, "size", "twice"),
        (",".join(f"c{i}" for i in range(10_001)) + "\n1\n", 1, None, "10001 columns"),
        (HEADER + '1,2\n3,"4\n5,6\n', 3, "note", "never closed"),
        (HEADER + '1,2\n"3,4\n5,6\n', 3, "size", "never closed"),
        (HEADER + '1,2\n3,4,5,"6\n', 3, "note", "never closed"),
        (HEADER + '1,"', 2, "note", "never closed"),
        ('"' + HEADER + "1,2\n", 1, None, "several lines: perhaps a quote is never closed"),
    ],
)
def test_file_that_is_none_is_refused_by_place(
    source: str | bytes, line: int | None, column: str | None, part: str
) -> None:
    """The reason, and the line as an editor counts them."""
    for block in (2, 100, 8 << 20):
        error = refused(source, block)
        assert (error.line, error.column) == (line, column)
        assert part in error.reason


def test_closed_quote_at_the_end_is_no_open_one() -> None:
    """Also where the last cell looks like the record that the reader adds, or is nothing but a line end."""
    for last in ('"\n"', '"\n"\n', '""', '"""\n"', "end", "end\n", '"\n,end"\n'):
        source = f"{HEADER}1,2\n,{last}"
        assert list(read(source).good.values()) == by_python(source, ",")[1:]
    assert refused(HEADER + ',end\n"').column == "size"


def test_record_that_no_end_is_found_of_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An open quote in front of much text is told by the length of the record, in bounded memory."""
    monkeypatch.setattr(csv_table, "MOST_RECORD", 1 << 16)
    monkeypatch.setattr(csv_records, "MOST_RECORD", 1 << 16)
    source = HEADER + '1,2\n3,"4\n' + "5,6\n" * 100_000
    error = refused(source, 1 << 10)
    assert error.line == 3
    assert "never closed" in error.reason


def test_record_larger_than_a_block_is_read() -> None:
    """The block grows, and nothing that was handed out before comes again."""
    long = "x\n" * 3_000
    table = read(f'{HEADER}1,2\n3\n5,6\n7,"{long}"\n8,9\n', 8)
    assert table.good == {0: ["1", "2"], 2: ["5", "6"], 3: ["7", long], 4: ["8", "9"]}
    assert list(table.torn) == [1]


# Any text


CELLS = ["1", "-2.5", "", " ", "a b", "é", "1,5", "a;b", "x\ty", 'q"q', '"', "l\nm", "l\r\nm", "\r", "\u2028", "end"]


LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\r\n\r\n", "\r\r"])


BLOCKS = st.sampled_from([2, 3, 5, 8, 16, 64])


@st.composite
def files(draw: st.DrawFn) -> tuple[str, str]:
    """A text that Python's csv module wrote, and its delimiter: random tables, some records with a wrong number of cells."""
    delimiter = draw(st.sampled_from(",;\t"))
    row = st.lists(st.sampled_from(CELLS), min_size=2, max_size=2)
    ragged = st.lists(st.sampled_from(CELLS), min_size=1, max_size=4)
    rows = draw(st.lists(row | row | ragged, min_size=1, max_size=6))
    source = io.StringIO(newline="")
    source.write(draw(st.sampled_from(["", "\ufeff", "\n", "\ufeff\r\n"])))
    for cells_of in [draw(st.permutations(WANTED)), *rows]:
        quoting: Literal[0, 1] = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
        csv.writer(source, delimiter=delimiter, quoting=quoting, lineterminator=draw(LINE_ENDS)).writerow(cells_of)
    return source.getvalue(), delimiter


@settings(max_examples=some(150), deadline=None)
@given(files(), BLOCKS)
def test_every_cell_is_what_python_wrote(file: tuple[str, str], block: int) -> None:
    """Good and torn records together are all records, none is shifted, and the text of each can be found again."""
    source, delimiter = file
    expected = by_python(source, delimiter)[1:]
    assume(expected)  # csv.writer leaves a lone carriage return unquoted
    table = read(source)
    assert table.header.delimiter == delimiter
    assert table.good == {i: row for i, row in enumerate(expected) if len(row) == 2}
    assert table.torn.keys() == {i for i, row in enumerate(expected) if len(row) != 2}
    assert read(source, block) == table
    whole = Content.of(source.encode())
    texts = list(csv_table.locate(whole, table.header, range(len(expected))))
    assert [number for number, _, _ in texts] == list(range(len(expected)))
    assert [by_python("\n" + verbatim, delimiter) for _, _, verbatim in texts] == [[row] for row in expected]


@settings(max_examples=some(150), deadline=None)
@given(
    st.text(st.sampled_from('size,note\n12;\t"\r \ufeff\x85\0é'), max_size=60) | st.text() | st.binary(max_size=60),
    BLOCKS,
)
@example('"', 2)
@example("\r", 2)
@example('1,"a"b"\n', 2)
@example('1,"a""\n"\n2\n', 2)
def test_any_bytes_are_records_or_an_invalid_drop(source: str | bytes, block: int) -> None:
    """Nothing but InvalidDrop is raised; what is accepted is what Python reads; blocks make no difference."""
    for data in (source.encode() if isinstance(source, str) else source,):
        for file in (data, HEADER.encode() + data, b"size;note\r" + data):
            try:
                table = read(file)
            except InvalidDrop as error:
                again = refused(file, block)
                assert (again.line, again.column, again.reason) == (error.line, error.column, error.reason)
                continue
            expected = by_python(file.decode(), table.header.delimiter)[1:]
            width = len(table.header.names)
            assert table.good == {i: row for i, row in enumerate(expected) if len(row) == width}
            assert table.torn.keys() == {i for i, row in enumerate(expected) if len(row) != width}
            assert read(file, block) == table
            texts = csv_table.locate(Content.of(file), table.header, table.torn)
            assert [by_python("\n" + verbatim, table.header.delimiter) for _, _, verbatim in texts] == [
                [expected[number]] for number in sorted(table.torn)
            ]
