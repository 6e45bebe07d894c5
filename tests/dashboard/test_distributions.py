"""The columns of a drop beside the usual ones, over HTTP: a real segment and a real reference sample."""

import json
import sqlite3
from contextlib import closing
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import stories
from sites import Client
from stories import Story

from retraind.daemon.artifacts import reference_sample
from retraind.daemon.artifacts.manifest import read_manifest, seal
from retraind.daemon.core import durable
from retraind.daemon.records.records import Records
from retraind.web.pages.drop import distributions

story, well = pytest.fixture(stories.story), pytest.fixture(stories.well)

USUAL = np.column_stack([np.linspace(1, 5, 41), np.arange(41) % 2])


def refer(story: Story, version: int) -> None:
    """Give a version the sample of its training rows, as the trainer does."""
    folder = story.home.bundle(version)
    with closing(sqlite3.connect(story.home.journal)) as journal, journal:
        (recorded,) = journal.execute("SELECT bundle FROM versions WHERE version = ?", (version,)).fetchone()
        files = reference_sample.write(folder, USUAL, USUAL, lambda rows: np.full((len(rows), 2), 0.5), 1)
        sealed = seal(folder, read_manifest(folder, recorded).model_copy(update={"files": files}))
        journal.execute("UPDATE versions SET bundle = ? WHERE version = ?", (sealed, version))


def write(story: Story, segment: str, **columns: Any) -> None:
    """The rows of iris.csv in a segment of the dataset."""
    drop = durable.sha256(b"iris.csv")
    story.home.segments.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({**columns, "_drop": [drop] * 4}), story.home.segments / segment)


def get(story: Story, key: str) -> str:
    status, _, body = Client(story.home).ask("GET", f"/dashboard/drops/{key}", b"", HTTP_ACCEPT="text/html")
    assert status == 200
    return body.decode()


COLUMNS = {"petal, length": [7.0, 8.0, 9.0, None], "it's": ["red", "red", "red", "<b>new"], "species": ["setosa"] * 4}


def test_drop_stands_beside_the_training_rows(well: Story) -> None:
    refer(well, 1)
    write(well, "0.parquet", **COLUMNS)
    page = get(well, "iris.csv")
    assert "7 to 9, median 8, 25% missing" in page
    assert "1 to 5, median 3" in page
    assert "red 75%, &lt;b&gt;new 25%" in page
    assert "red 51%, blue 49%" in page
    assert 'href="../../dashboard/versions/1"' in page
    assert page.count('class="strips"') == 1
    content = json.loads(Client(well.home).ask("GET", "/drops/iris.csv/columns")[2])
    assert content["problem"], "the worker serves no version, so it compares with none"
    drop = Client(well.home).worker.records.drops.find("iris.csv")
    assert drop
    made = distributions.of(well.home, Records(well.home), drop, 1)
    assert made
    assert (made["rows"], [column["name"] for column in made["columns"]]) == (4, ["petal, length", "it's", "species"])


def test_one_drop_is_read_at_a_time(well: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that waits would take a place from others."""
    monkeypatch.setattr(distributions, "WAIT_SECONDS", 0.01)
    refer(well, 1)
    write(well, "0.parquet", **COLUMNS)
    with distributions._profiles._lock:
        assert "load the page again" in get(well, "iris.csv")
    assert "7 to 9, median 8" in get(well, "iris.csv")


def test_reason_why_there_is_nothing_to_compare(well: Story) -> None:
    assert "No version has a sample of its training rows" in get(well, "iris.csv")
    refer(well, 1)
    assert "Its rows can&#39;t be read now" in get(well, "iris.csv")
    well.reject("bad.csv")
    assert "beside the usual" not in get(well, "bad.csv")
    assert Client(well.home).ask("GET", "/drops/bad.csv/columns")[0] == 404
    assert Client(well.home).ask("GET", "/drops/none/columns")[0] == 404
