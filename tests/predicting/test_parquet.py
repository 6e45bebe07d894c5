"""retraind.daemon.predicting: Parquet is read by a process of its own, in pieces, within a limit of memory."""

import datetime
import random
from decimal import Decimal
from pathlib import Path

import bundles
import flowers
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import forked
from flowers import price_home, read

from retraind.daemon.core.errors import Exit, NotRows
from retraind.daemon.core.home import Home
from retraind.daemon.predicting import input_file
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular.checks.bad_rows import BadRecord

flower_home = pytest.fixture(flowers.flower_home)

MOST = 1 << 30


def test_parquet_is_answered_like_csv(home: Home, tmp_path: Path) -> None:
    """Types of Parquet as the texts that drops have: dictionaries, decimals, times with a zone, null and NaN."""
    place = price_home(home)
    day = datetime.datetime(2026, 1, 31, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
    table = pa.table(
        {
            "town": pa.array(["Zürich", "Ur", "Aachen"]).dictionary_encode(),
            "size": pa.array([Decimal("100.00"), Decimal("50.25"), None], pa.decimal128(6, 2)),
            "rooms": pa.array([4.0, 3.0, 2.5]),
            "garden": [True, False, True],
            "built": pa.array([day, None, day], pa.timestamp("ns", "Europe/Zurich")),
            "tags": [["a"], [], None],
            "id": [1, 2, 3],
        }
    )
    pq.write_table(table, tmp_path / "f.parquet")
    done = forked("predict", tmp_path / "f.parquet", "--bad", tmp_path / "bad.csv", home=place)
    assert done.returncode == Exit.INCOMPLETE, done.stderr
    rows = read(done.stdout)
    assert [row["id"] for row in rows] == ["1", "2"]
    assert float(rows[0]["prediction"]) == pytest.approx(bundles.HOUSE_PRICE)
    assert float(rows[1]["prediction"]) == pytest.approx(100.5 + 30 - 50)
    (bad,) = read((tmp_path / "bad.csv").read_text())
    assert (bad["_line"], bad["_column"], bad["id"]) == ("3", "size", "3")


def test_large_parquet_is_read_in_pieces(flower_home: Home, tmp_path: Path) -> None:
    """The answers are those of the same rows as CSV."""
    values = {
        name: [round((n * (place + 3)) % 70 / 10, 1) for n in range(120_000)]
        for place, name in enumerate(bundles.NAMES)
    }
    table = pa.table({"id": range(120_000), **values})
    pq.write_table(table, tmp_path / "f.parquet", row_group_size=50_000)
    pa.csv.write_csv(table, tmp_path / "f.csv")
    for suffix in ("parquet", "csv"):
        done = forked("predict", tmp_path / f"f.{suffix}", "-o", tmp_path / f"o.{suffix}.csv", home=flower_home)
        assert done.returncode == Exit.OK, done.stderr
    answers = [read((tmp_path / f"o.{suffix}.csv").read_text()) for suffix in ("parquet", "csv")]
    assert [[row["prediction"], row["confidence"]] for row in answers[0]] == [
        [row["prediction"], row["confidence"]] for row in answers[1]
    ]


def test_damaged_parquet_is_rows_or_a_sentence(tmp_path: Path) -> None:
    """Whatever is flipped: the process that reads it may die, this one goes on."""
    pq.write_table(pa.table({name: [1.0, 2.0] * 500 for name in bundles.NAMES}), tmp_path / "f.parquet")
    good, outcomes = (tmp_path / "f.parquet").read_bytes(), set()
    source = random.Random(0)
    for _ in range(12):
        data = bytearray(good)
        for _ in range(source.choice([1, 20])):
            data[source.randrange(4, len(data))] ^= 1 << source.randrange(8)
        (tmp_path / "f.parquet").write_bytes(data)
        try:
            with input_file.opened(str(tmp_path / "f.parquet"), bundles.SCHEMA, MOST) as rows:
                assert sum(len(piece.records) for piece in rows.pieces()) >= 0
                outcomes.add("rows")
        except NotRows as error:
            assert "f.parquet: " in str(error)
            outcomes.add("refused")
    assert "refused" in outcomes


@pytest.mark.slow
def test_swollen_parquet_ends_its_reader_only(tmp_path: Path) -> None:
    """A few kilobytes that hold a text of 800 MB."""
    huge = pa.array(["0" * 800_000_000], pa.large_string())
    table = pa.table({"note": huge, **{name: [1.0] for name in bundles.NAMES}})
    pq.write_table(table, tmp_path / "f.parquet", compression="zstd", use_dictionary=False, write_statistics=False)
    assert (tmp_path / "f.parquet").stat().st_size < 1_000_000
    with (
        pytest.raises(NotRows, match=r"too much memory|more than 512 MB"),
        input_file.opened(str(tmp_path / "f.parquet"), bundles.SCHEMA, MOST) as rows,
    ):
        list(rows.pieces())


def test_report_of_parquet_is_made_from_a_second_reading(tmp_path: Path) -> None:
    schema = Schema(task="regression", target="y", columns=[Column(name="x", kind="number")])
    pq.write_table(pa.table({"x": [1.5, None, 2.5], "n": ["a", 'b"', "c"]}), tmp_path / "f.parquet")
    with input_file.opened(str(tmp_path / "f.parquet"), schema, MOST) as rows:
        assert b"".join(rows.report([BadRecord(1, "x", "It, is empty.")])) == (
            b'_line,_column,_reason,x,n\n2,x,"It, is empty.",,"b"""\n'
        )
