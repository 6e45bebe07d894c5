"""retraind.web.columnar.drop_profile: the process, on real segments."""

import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retraind.web.columnar import drop_profile
from retraind.web.columnar.profiles import DropProfile
from retraind.web.pages.drop.distributions import COMMAND

KINDS = {"size": "number", "rooms": "integer", "built": "date", "town": "category", "garden": "boolean", "note": "text"}


def segment(folder: Path, name: str, drops: list[str], **columns: Any) -> str:
    path = folder / name
    pq.write_table(pa.table({**columns, "_drop": drops}), path, row_group_size=2)
    return str(path)


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    many = segment(
        tmp_path,
        "a.parquet",
        ["x", "y", "y", "y", "x"],
        size=[1e9, 1.0, 2.0, None, 1e9],
        rooms=[9, 1, 2, 3, 9],
        built=[date(2020, 1, 1), date(1970, 1, 1), date(1970, 1, 3), date(1970, 1, 5), date(2020, 1, 1)],
        town=["Köln", "Bonn", "Bonn", None, "Köln"],
        garden=[False, True, True, False, False],
        note=["z", "one", "two words", "  ", "z"],
    )
    older = segment(tmp_path, "b.parquet", ["y"], size=[4.0])
    return [many, older]


def test_only_rows_of_the_drop_count(paths: list[str]) -> None:
    profiled = drop_profile.profile({"paths": paths, "drop": "y", "kinds": KINDS})
    assert profiled["rows"] == 4
    columns = profiled["columns"]
    assert columns["size"] == {"n": 4, "missing": 1, "quantiles": [1.0, 1.5, 2.0, 3.0, 4.0]}
    assert columns["rooms"]["quantiles"][2] == 2
    assert columns["built"]["quantiles"][2] == 2
    assert columns["town"] == {"n": 4, "missing": 2, "counts": [("Bonn", 2)], "distinct": 1}
    assert dict(columns["garden"]["counts"]) == {"true": 2, "false": 1}
    assert columns["note"]["quantiles"][-1] == 2


def test_unknown_drop_and_column_are_nothing(paths: list[str]) -> None:
    assert drop_profile.profile({"paths": paths, "drop": "z", "kinds": KINDS}) == {"rows": 0, "columns": {}}
    profiled = drop_profile.profile({"paths": paths, "drop": "y", "kinds": {"none": "number"}})
    assert (profiled["rows"], profiled["columns"]) == (4, {})


def test_rows_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drop_profile, "MOST_ROWS", 5)
    path = segment(tmp_path, "a.parquet", ["y"] * 9, size=[float(row) for row in range(9)])
    profiled = drop_profile.profile({"paths": [path], "drop": "y", "kinds": {"size": "number"}})
    assert (profiled["rows"], profiled["columns"]["size"]["quantiles"][-1]) == (5, 4.0)


def test_process_answers_one_order(paths: list[str]) -> None:
    order = orjson.dumps({"paths": paths, "drop": "y", "kinds": KINDS})
    done = subprocess.run(COMMAND, input=order, stdout=subprocess.PIPE, timeout=60, check=True)
    profiled: DropProfile = orjson.loads(done.stdout)
    assert profiled["rows"] == 4


def test_damaged_segment_fails_the_process(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + b"x" * 100)
    order = orjson.dumps({"paths": [str(tmp_path / "a.parquet")], "drop": "y", "kinds": KINDS})
    assert subprocess.run(COMMAND, input=order, capture_output=True, timeout=60, check=False).returncode != 0
