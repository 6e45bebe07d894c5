"""retraind.web.columnar: bodies in Arrow IPC and Parquet as values, in bounded memory, whatever is in them."""

import io
import random
import signal
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from columnar_bodies import packed

from retraind.web.columnar.client import Columnar, Columns
from retraind.web.columnar.formats import Format
from retraind.web.columnar.reader import MEMORY_BYTES
from retraind.web.http.problems import Problem

NAMES = ["a", "b"]
TABLE = pa.table({"b": [0.5, 1.5, 2.5], "unknown": [["x"], [], None], "a": pa.array([1, 2, 3], pa.int32())})
MATRIX = [[1.0, 0.5], [2.0, 1.5], [3.0, 2.5]]
MOST_BYTES = 8 * 2**20


@pytest.fixture(scope="module")
def columnar() -> Iterator[Columnar]:
    """One reader for all bodies."""
    columnar = Columnar()
    yield columnar
    columnar.close()


def read(columnar: Columnar, form: Format, body: bytes, names: list[str] = NAMES) -> Columns:
    return columnar.read(form, names, body, most_rows=100_000, most_bytes=MOST_BYTES)


def refused(columnar: Columnar, form: Format, body: bytes, names: list[str] = NAMES) -> tuple[int, str]:
    """Status and text of the problem."""
    with pytest.raises(Problem) as caught:
        read(columnar, form, body, names)
    return caught.value.status_code, caught.value.detail


@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
@pytest.mark.parametrize("form", Format)
def test_numbers_are_an_array_in_the_order_of_the_names(
    columnar: Columnar, form: Format, compression: str | None
) -> None:
    """Columns that are not wanted are not read, so they may be of any type."""
    columns = read(columnar, form, packed(form, TABLE, compression))
    assert columns.matrix is not None
    assert columns.matrix.tolist() == MATRIX
    twice = pa.concat_tables([TABLE, TABLE.slice(1)])
    columns = read(columnar, form, packed(form, twice))
    assert columns.matrix is not None
    assert columns.matrix.tolist() == [*MATRIX, *MATRIX[1:]]


@pytest.mark.parametrize("form", Format)
def test_other_types_are_values_of_json(columnar: Columnar, form: Format) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    table = pa.table(
        {
            "whole": [1, None, 2**53 + 1],
            "real": [1.5, float("nan"), None],
            "truth": [True, False, None],
            "text": pa.array(["x", "y", "x"]).dictionary_encode(),
            "day": [date(2026, 1, 2), None, date(1969, 1, 1)],
            "zoned": pa.array([moment, None, moment], pa.timestamp("ns", "Europe/Berlin")),
            "plain": pa.array([moment.replace(tzinfo=None)] * 3, pa.timestamp("ms")),
            "price": pa.array([Decimal("1.25"), None, Decimal(3)]),
            "nothing": pa.nulls(3),
        }
    )
    columns = read(columnar, form, packed(form, table), [*table.column_names, "absent"])
    assert columns.matrix is None
    assert columns.by_name == {
        "whole": [1, None, 2**53 + 1],
        "real": [1.5, None, None],
        "truth": [True, False, None],
        "text": ["x", "y", "x"],
        "day": ["2026-01-02", None, "1969-01-01"],
        "zoned": ["2026-01-02T03:04:05Z", None, "2026-01-02T03:04:05Z"],
        "plain": ["2026-01-02T03:04:05"] * 3,
        "price": [1.25, None, 3.0],
        "nothing": [None] * 3,
    }


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (pa.table({"a": [[1]], "b": [1]}), "'a' has the type list"),
        (pa.table({"a": [{"x": 1}], "b": [1]}), "'a' has the type struct"),
        (pa.table({"a": [b"x"], "b": [1]}), "'a' has the type binary"),
        (pa.table({"a": [float("inf")], "b": [1.0]}), "'a' has an infinite value"),
        (pa.table({"x": [1]}), "The model takes: a, b; none of them is there"),
        (pa.table({"a": pa.nulls(100_001), "b": pa.nulls(100_001)}), "more than 100000 rows"),
    ],
)
@pytest.mark.parametrize("form", Format)
def test_other_content_is_refused_in_words(columnar: Columnar, form: Format, table: pa.Table, words: str) -> None:
    status, text = refused(columnar, form, packed(form, table))
    assert (status, words in text) == (400, True), text


@pytest.mark.parametrize("form", [Format.STREAM, Format.FILE])
def test_a_name_that_is_there_twice_is_refused(columnar: Columnar, form: Format) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    assert refused(columnar, form, packed(form, table)) == (400, "The body has a column twice.")


def bomb(kind: str) -> pa.Table:
    """A table that is small as a body."""
    if kind == "text":
        return pa.table({"a": ["x" * 2**26], "b": [1]})
    if kind == "numbers":
        return pa.table({"a": np.zeros(2_000_000), "b": np.zeros(2_000_000)})
    many = pa.DictionaryArray.from_arrays(np.zeros(90_000, np.int8), ["x" * 2**16])
    return pa.table({"a": many, "b": np.zeros(90_000)})


@pytest.mark.parametrize("kind", ["text", "numbers", "dictionary"])
@pytest.mark.parametrize("form", Format)
def test_a_body_that_swells_is_refused_in_bounded_memory(columnar: Columnar, form: Format, kind: str) -> None:
    body = packed(form, bomb(kind), "zstd")
    assert len(body) < MOST_BYTES / 8
    read(columnar, form, packed(form, TABLE))
    before = _peak(columnar)
    status, text = refused(columnar, form, body)
    assert (status in (400, 413), any(word in text for word in ("rows", "larger", "takes more"))) == (True, True), text
    assert read(columnar, form, packed(form, TABLE)).matrix is not None
    assert _peak(columnar) <= before + MEMORY_BYTES


def test_a_buffer_that_needs_more_than_the_reader_may_have_is_refused(columnar: Columnar) -> None:
    body = packed(Format.STREAM, pa.table({"a": np.zeros(70_000_000)}), "zstd")
    assert refused(columnar, Format.STREAM, body) == (413, "Reading the body takes more than 512 MB.")
    assert _peak(columnar) < MEMORY_BYTES


def test_a_footer_that_lies_deceives_nobody(columnar: Columnar) -> None:
    """It says of a column of 64 MB that it has a few bytes."""
    body = packed(Format.PARQUET, pa.table({"a": ["x" * 2**26], "b": ["y"]}), "zstd")
    size = pq.ParquetFile(io.BytesIO(body)).metadata.row_group(0).column(0).total_uncompressed_size
    true = _varint(2 * size)
    place = body.rindex(true)
    body = body[:place] + b"\x82" + b"\x80" * (len(true) - 2) + b"\x00" + body[place + len(true) :]
    said = pq.ParquetFile(io.BytesIO(body)).metadata.row_group(0).column(0).total_uncompressed_size
    assert said < 1000
    assert refused(columnar, Format.PARQUET, body)[0] == 413


@pytest.mark.parametrize("form", Format)
def test_damaged_bodies_end_no_worker_and_are_refused_or_read(form: Format) -> None:
    """A reader that dies of a body is started again for the next."""
    chance, columnar = random.Random(7), Columnar(20)
    table = pa.table(
        {
            "a": pa.array(["x", "yy", None, "zzz"] * 20).dictionary_encode(),
            "b": pa.array([1.5, None, 2.5, 3.5] * 20),
        }
    )
    bodies = [packed(form, table, compression) for compression in (None, "zstd", "lz4")]
    outcomes = {True: 0, False: 0}
    for _ in range(500):
        body = bytearray(chance.choice(bodies))
        for _ in range(chance.choice([1, 1, 2, 4, 8])):
            at = chance.randrange(len(body))
            body[at] = chance.choice([0, 1, 127, 128, 255, chance.randrange(256)])
        if chance.random() < 0.2:
            del body[chance.randrange(len(body)) :]
        try:
            outcomes[read(columnar, form, bytes(body)) is not None] += 1
        except Problem as problem:
            assert problem.status_code in (400, 413), problem.detail
            outcomes[False] += 1
    assert min(outcomes.values()) > 20
    assert _peak(columnar) < 2 * MEMORY_BYTES
    assert read(columnar, form, packed(form, TABLE)).matrix is not None
    columnar.close()


def test_a_reader_that_was_ended_is_started_again(columnar: Columnar) -> None:
    body = packed(Format.STREAM, TABLE)
    read(columnar, Format.STREAM, body)
    assert columnar._process is not None
    columnar._process.send_signal(signal.SIGKILL)
    columnar._process.wait()
    assert read(columnar, Format.STREAM, body).matrix is not None


def test_a_body_that_takes_too_long_is_given_up() -> None:
    columnar, body = Columnar(0.3), packed(Format.STREAM, TABLE)
    read(columnar, Format.STREAM, body)
    assert columnar._process is not None
    columnar._process.send_signal(signal.SIGSTOP)
    status, text = refused(columnar, Format.STREAM, body)
    assert (status, text) == (504, "Reading the body took longer than 0.3 s.")
    assert columnar._process is None


def test_the_reader_ends_with_the_worker_and_without_work() -> None:
    columnar, body = Columnar(), packed(Format.STREAM, TABLE)
    read(columnar, Format.STREAM, body)
    process = columnar._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(10) == 0
    assert read(columnar, Format.STREAM, body).matrix is not None, "one that has ended is followed by another"
    columnar.close()


def _peak(columnar: Columnar) -> int:
    """Bytes of memory that the reader has had at most."""
    assert columnar._process is not None
    status = Path(f"/proc/{columnar._process.pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) * 1024


def _varint(number: int) -> bytes:
    """As Thrift's compact protocol has it."""
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])
