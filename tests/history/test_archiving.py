"""retraind.daemon.history: rotated logs become Parquet files, each logged line once."""

from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from archives import entry, ids_in_files, opened, trained, write_log

from retraind.daemon.core.home import Home
from retraind.daemon.records.records import Records


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.make()
    return home


def test_logs_become_one_file_for_each_day(home: Home) -> None:
    path = write_log(home, [entry(number) for number in range(4990, 5010)])
    with opened(home) as archives:
        trained(archives, 1)
        archives.work()
        assert not path.exists()
        assert sorted(one.name for one in (home.logs / "predictions").iterdir()) == ["dt=2026-11-29", "dt=2026-11-30"]
        assert Records(home).predictions.newest(10) == [], "keep_rows is 0, and they are in files"
        rows = archives.by_ids([f"0f3a5c7e9b1d-{5005:x}", "0f3a5c7e9b1d-1", "no-1", "no.1"])
    assert list(rows.values()) == [{"seq": 16, "caller": "", **entry(5005)}]


def test_values_are_typed_and_come_back_as_they_were(home: Home) -> None:
    odd: list[list[Any]] = [
        ["1", None, "red", None],
        [1.5, 2**60, "red", "2026-01-31T00:00:00+02:00"],
        [True, 1, 3, ""],
    ]
    rows = [[1.5, 7, "red", "2026-01-31"], [None, None, None, None], [2, -3, "new", "2026-01-31T12:30:00"], *odd]
    write_log(home, [entry(number, features=row) for number, row in enumerate(rows)])
    with opened(home) as archives:
        trained(archives, 1)
        archives.work()
        ids = [f"0f3a5c7e9b1d-{number:x}" for number in range(len(rows))]
        entries = archives.by_ids(ids)
    assert [entries[one]["features"] for one in ids] == rows
    (path,) = (home.logs / "predictions").glob("dt=*/*.parquet")
    kinds = {field.name: str(field.type) for field in pq.read_schema(path)}
    assert kinds["feature_weight"] == "double"
    assert kinds["feature_count"] == "int64"
    assert kinds["feature_day"] == "timestamp[us]"
    assert kinds["probability_high"] == "double"
    assert pq.read_table(path)["line_json"].null_count == 3


def test_duckdb_reads_it_as_it_lies(home: Home) -> None:
    write_log(home, [entry(number) for number in range(4000, 6000)])
    with opened(home) as archives:
        trained(archives, 1)
        archives.work()
    query = f"SELECT dt, COUNT(*), AVG(feature_weight), ANY_VALUE(prediction_name) FROM read_parquet('{home.logs}/predictions/*/*.parquet', hive_partitioning = true) WHERE dt = '2026-11-30' GROUP BY dt"
    ((day, count, mean, name),) = duckdb.sql(query).fetchall()
    assert (str(day), count, name) == ("2026-11-30", 1000, "high")
    assert mean == pytest.approx(549.95)
    one = f"SELECT seq FROM read_parquet('{home.logs}/predictions/*/*.parquet') WHERE prediction_id = '0f3a5c7e9b1d-{4003:x}'"
    assert duckdb.sql(one).fetchall() == [(4,)]


def test_predictions_of_a_version_without_bundle_are_kept_in_json(home: Home) -> None:
    write_log(home, [entry(1, model_version=9), entry(2)])
    with opened(home) as archives:
        trained(archives, 1)
        archives.work()
        rows = archives.by_ids(["0f3a5c7e9b1d-1", "0f3a5c7e9b1d-2"])
    assert [row["features"] for row in rows.values()] == [entry(1)["features"], entry(2)["features"]]
    assert ids_in_files(home) == ["0f3a5c7e9b1d-1", "0f3a5c7e9b1d-2"]
