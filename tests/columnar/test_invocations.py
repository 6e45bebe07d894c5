"""`POST /invocations` with a body in Arrow IPC or Parquet, at a real worker."""

import gzip
import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import bundles
import pyarrow as pa
import pytest
from columnar_bodies import packed
from logged import predictions
from sites import Site

from retraind.daemon.core.errors import InvalidFeatures
from retraind.web.columnar.formats import MEDIA_TYPES, Format
from retraind.web.protocols import dataframes

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.9, 3.1, 5.4, 2.1], [5.9, 3.0, 4.2, 1.5]] * 50
TABLE = pa.table(
    {name: [row[place] for row in ROWS] for place, name in enumerate(bundles.NAMES)} | {"species": ["?"] * len(ROWS)}
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A worker that serves the flowers."""
    site = Site(tmp_path_factory.mktemp("columnar"))
    yield site
    site.close()


def invoke(site: Site, kind: str, body: bytes, **headers: str) -> tuple[int, dict[str, object]]:
    status, _, text = site.ask("POST", "/invocations", body, {"Content-Type": kind, **headers})
    return status, json.loads(text)


@pytest.mark.parametrize("kind", MEDIA_TYPES)
def test_rows_are_predicted_and_logged_as_those_of_json(site: Site, kind: str) -> None:
    body = packed(MEDIA_TYPES[kind], TABLE)
    expected = invoke(site, "application/json", json.dumps({"instances": ROWS}).encode())[1]["predictions"]
    status, answer = invoke(site, kind, body)
    assert (status, answer["predictions"]) == (200, expected)
    features = {line["prediction_id"]: list(line["features"]) for line in predictions(site.home)}
    assert isinstance(answer["prediction_ids"], list)
    assert [features[key] for key in answer["prediction_ids"]] == ROWS
    compressed = gzip.compress(body)
    assert invoke(site, kind, compressed, **{"Content-Encoding": "gzip"})[1]["predictions"] == expected


def test_content_that_the_model_does_not_take_is_refused_in_mlflows_format(site: Site) -> None:
    kind = "application/vnd.apache.parquet"
    for table, words in (
        (TABLE.drop_columns(["petal_width"]), "'petal_width' is missing"),
        (TABLE.set_column(0, "sepal_length", pa.array(["x"] * len(ROWS))), "Row 1: 'sepal_length'"),
        (TABLE.set_column(0, "sepal_length", pa.array([1e200] * len(ROWS))), "Row 1: 'sepal_length'"),
        (TABLE.set_column(0, "sepal_length", pa.nulls(len(ROWS), pa.float64())), "'sepal_length' must not be null"),
        (TABLE.slice(0, 0), "no rows"),
    ):
        status, answer = invoke(site, kind, packed(Format.PARQUET, table))
        assert (status, answer["error_code"], words in str(answer["message"])) == (400, "BAD_REQUEST", True), answer
    status, answer = invoke(site, kind, b"PAR1")
    assert (status, "not readable as Parquet" in str(answer["message"])) == (400, True)


def test_zeros_and_ones_are_booleans_where_the_model_takes_these() -> None:
    columns: dict[str, Sequence[Any]] = {
        "size": [100.0],
        "rooms": [4],
        "garden": [1],
        "built": ["2026-01-31"],
        "town": ["Zürich"],
    }
    assert dataframes.typed_columns(bundles.PRICES, columns).values == [bundles.HOUSE]
    with pytest.raises(InvalidFeatures, match="'garden'"):
        dataframes.typed_columns(bundles.PRICES, {**columns, "garden": [2]})


def test_worker_itself_reads_none_of_it_and_takes_its_reader_along(site: Site) -> None:
    """pyarrow would cost each worker 60 MB, and damaged bodies could end it."""
    invoke(site, "application/x-parquet", packed(Format.PARQUET, TABLE))
    pid = site.process.pid
    children = subprocess.run(
        ["pgrep", "-P", str(pid), "-f", "retraind.web.columnar.reader"], capture_output=True, text=True
    )
    [reader] = children.stdout.split()
    assert ["libarrow" in Path(f"/proc/{process}/maps").read_text() for process in (pid, reader)] == [False, True]
