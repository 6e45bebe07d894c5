"""A schema, texts of cells, and the check of rows, for the tests of rows."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from retraind.daemon.core.settings import Inbox
from retraind.daemon.schema.column import Column, Kind
from retraind.daemon.schema.labelled_row import Sample
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import csv_table, rows
from retraind.daemon.tabular.file_content import Content
from retraind.daemon.tabular.rows import Checked

SIZE = Column(name="size", kind="number")


NOTE = Column(name="note", kind="number", missing=True)


COLOUR = Column(name="colour", kind="category", missing=True, categories=["red", "blue"])


SCHEMA = Schema(target="kind", classes=["a", "b"], columns=[SIZE, NOTE, COLOUR])


HEADER = "size,note,colour,kind\n"


POLICY = Inbox()


NOW = datetime(2026, 1, 1, tzinfo=UTC)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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


# Samples


def sample(features: dict[str, Any], target: str = "b") -> Sample:
    return Sample(id="0" * 32, features=features, target=target)
