"""retraind.daemon.tabular.infer_schema: headers, delimiters, torn rows, and files that give no schema."""

import gzip
from pathlib import Path

import pytest
from inferring import draft_of, schema_of

from retraind.daemon.core.errors import BadSchema, Exit
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema, Task
from retraind.daemon.tabular import csv_table, file_content, infer_schema
from retraind.daemon.tabular.file_content import Content


def test_torn_rows_are_counted_and_not_looked_at(tmp_path: Path) -> None:
    """They would be refused when the file is dropped."""
    draft = draft_of(tmp_path, "x,y\n1,a\nz\n2,b\n3,c,d\n")
    assert (draft.torn, draft.schema.classes, draft.schema.columns[0].kind) == (2, ["a", "b"], "integer")


def test_compressed_file_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one larger than what is kept in memory; up to a limit."""
    monkeypatch.setattr(file_content, "SMALL_BYTES", 100_000)
    path = tmp_path / "own.csv.gz"
    path.write_bytes(gzip.compress(b"x,y\n" + b"1,a\n2.5,b\n" * 20_000, 1))
    inferred = infer_schema.of(path, "y").schema
    assert inferred == Schema(
        target="y", classes=["a", "b"], columns=[Column(name="x", kind="number", minimum=1, maximum=2.5)]
    )
    with pytest.raises(BadSchema, match="more than 1000 bytes"):
        infer_schema.of(path, "y", most=1000)
    path.write_bytes(b"x,y\n1,a\n2,b\n")
    with pytest.raises(BadSchema, match="Not a gzip file"):
        infer_schema.of(path, "y")


@pytest.mark.parametrize(
    ("text", "task", "part"),
    [
        ("x,z\n1,2\n", None, "no column 'y'. It has: x, z"),
        ("", None, "empty"),
        ("x,y\n", None, "no rows"),
        ("x,y\n\n1\n", None, "line 3: This row has 1 cells"),
        (b"x,y\n1,\xff\n", None, "line 2: Not UTF-8"),
        ("x,y\n1,a\n2,a\n", None, "fewer than two classes"),
        ("x,y\n1,\n2,\n", None, "fewer than two classes"),
        ("x,y\n1,a\n2,b\n", "regression", "not a number in every row, for example 'a'"),
        ("x,y\n1,\n2,\n", "regression", "not a number"),
        ("x,y\n,a\n,b\n", None, "no columns are left to train on; 'x': every cell is empty"),
        ("y\na\nb\n", None, "no columns are left"),
        ("_drop,y\n1,a\n2,b\n", None, "reserved"),
        ("x,y\n" + "".join(f"1,t{i}\n" for i in range(101)), None, "more than 100 different values"),
        ("x,y\n" + "".join(f"1,{i}\n" for i in range(101)), "classification", "more than 100 different values"),
    ],
)
def test_file_that_gives_no_schema_is_refused(tmp_path: Path, text: str | bytes, task: Task | None, part: str) -> None:
    """The complaint names the file and what to change."""
    with pytest.raises(BadSchema) as caught:
        schema_of(tmp_path, text, task=task)
    assert part in str(caught.value)
    assert "own.csv" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit == Exit.USAGE


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """A wrong path, and a folder, are a sentence and no traceback."""
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(BadSchema, match="Name a CSV file"):
            infer_schema.of(path, "y")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("5.1,3.5,setosa\n4.9,3.0,setosa\n", "begins with data (5.1, 3.5, setosa): put a line with the names"),
        ("Sales of 2024\n\nx,y\n1,a\n2,b\n", "line 3, looks like the header: remove the lines above it"),
        ("x;;\nmade by;me;\nx;y;z\n1;a;b\n", "line 3, looks like the header"),
        ('x,y\n"a \\"b, c",1\n"d",2\n"e",3\n', "quote in a cell as"),
    ],
)
def test_file_without_a_plain_header_is_named_for_what_it_is(tmp_path: Path, text: str, part: str) -> None:
    """No header, titles above it, quotes with backslashes."""
    path = tmp_path / "own.csv"
    path.write_text(text)
    try:
        draft = infer_schema.of(path, "y")
    except BadSchema as error:
        assert part in str(error)
    else:
        assert draft.backslashes
        assert part in draft.BACKSLASHES


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [";", "|", ","])
def test_line_that_tells_the_delimiter_is_understood(tmp_path: Path, mark: str, end: str) -> None:
    """As Excel writes it; lines of bad rows are counted with it."""
    text = end.join([f"sep={mark}", f"x{mark}y", f"1{mark}a", f"bad{mark}b", f"2{mark}b", ""]).encode()
    header = csv_table.examine(Content.of(text), ["x", "y"])
    assert (header.names, header.delimiter, header.line) == (("x", "y"), mark, 2)
    assert next(csv_table.chunks(Content.of(text), header)).table["x"].to_pylist() == ["1", "bad", "2"]
    assert list(csv_table.locate(Content.of(text), header, [1])) == [(1, 4, f"bad{mark}b")]
    assert schema_of(tmp_path, text).classes == ["a", "b"]
