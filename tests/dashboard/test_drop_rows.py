"""The rows of an accepted drop: a page of them for people, JSON and CSV for programs, from a real segment."""

import html
import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import stories
from sites import Client
from stories import SCHEMA, Story

from retraind.daemon.access import tokens
from retraind.daemon.core import durable
from retraind.daemon.core.scopes import Scope
from retraind.daemon.core.settings import Server, Settings

story, well = pytest.fixture(stories.story), pytest.fixture(stories.well)

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def kept(well: Story) -> Story:
    """The 50 rows of iris.csv between those of others, in row groups of seven."""
    well.home.schema.write_bytes(SCHEMA.dump())
    well.home.segments.mkdir(parents=True, exist_ok=True)
    mine = durable.sha256(b"iris.csv")
    columns = {
        "petal, length": [float(number // 2) if number % 2 else -1.0 for number in range(100)],
        "it's": [HOSTILE if number == 1 else "x" * 3000 if number == 3 else None for number in range(100)],
        "species": ["setosa"] * 100,
        "_at": [datetime(2026, 1, 1, tzinfo=UTC)] * 100,
        "_drop": [mine if number % 2 else "other" for number in range(100)],
    }
    pq.write_table(pa.table(columns), well.home.segments / "0.parquet", row_group_size=7)
    return well


def rows(story: Story, query: str = "", key: str = "iris.csv") -> Any:
    status, _, body = Client(story.home).ask("GET", f"/drops/{key}/rows", QUERY_STRING=query)
    assert status == 200, body
    return json.loads(body)


def test_rows_come_a_page_at_a_time(kept: Story) -> None:
    first = rows(kept)
    assert (first["total"], first["offset"], first["columns"]) == (50, 0, ["petal, length", "it's", "species"])
    assert [row[0] for row in first["rows"]] == list(range(50)), "and none of another drop"
    assert (first["rows"][0][1], first["rows"][2][1]) == (HOSTILE, None)
    assert len(first["rows"][1][1]) == 2001, "a long cell is cut"
    some = rows(kept, "offset=13&limit=9")
    assert [row[0] for row in some["rows"]] == list(range(13, 22))
    assert rows(kept, "offset=50")["rows"] == []


def test_the_page_escapes_them_and_leads_on(kept: Story) -> None:
    client = Client(kept.home)
    status, _, body = client.ask(
        "GET", "/dashboard/drops/iris.csv/rows", QUERY_STRING="limit=20", HTTP_ACCEPT="text/html"
    )
    page = body.decode()
    assert (status, HOSTILE in page, html.escape(HOSTILE) in page) == (200, False, True)
    assert "1 to 20 of 50 in the dataset" in page
    assert 'href="?offset=20&amp;limit=20" rel="next"' in page
    assert 'rows">Look at its rows</a>' in client.ask("GET", "/dashboard/drops/iris.csv")[2].decode()


def test_csv_runs_no_formula(kept: Story) -> None:
    status, headers, body = Client(kept.home).ask("GET", "/drops/iris.csv/rows", QUERY_STRING="format=csv&limit=1")
    assert (status, headers["content-disposition"]) == (200, 'attachment; filename="drop-1-rows-1.csv"')
    assert body.decode() == f'"petal, length",it\'s,species\r\n0.0,{HOSTILE},setosa\r\n'


@pytest.mark.parametrize(
    ("key", "query", "status"),
    [
        ("none.csv", "", 404),
        ("bad.csv", "", 404),
        ("iris.csv", "limit=1001", 422),
        ("iris.csv", "offset=-1", 422),
        ("iris.csv", "format=xml", 422),
    ],
)
def test_what_can_not_be_shown_has_a_sentence(kept: Story, key: str, query: str, status: int) -> None:
    kept.reject("bad.csv")
    answer = Client(kept.home).ask("GET", f"/drops/{key}/rows", QUERY_STRING=query)
    assert (answer[0], json.loads(answer[2])["status"]) == (status, status)


def test_a_missing_segment_is_said(well: Story) -> None:
    well.home.schema.write_bytes(SCHEMA.dump())
    status, _, body = Client(well.home).ask("GET", "/drops/iris.csv/rows")
    assert (status, "can't be read now" in body.decode()) == (503, True)


def test_rows_need_the_scope_to_read(kept: Story) -> None:
    client = Client(kept.home, Settings(server=Server(auth="always")))
    for scope, status in ((Scope.PREDICT, 403), (Scope.READ, 200)):
        token = tokens.create(kept.home, scope.value, [scope])
        for path in ("/drops/iris.csv/rows", "/dashboard/drops/iris.csv/rows"):
            assert client.ask("GET", path, HTTP_AUTHORIZATION=f"Bearer {token}")[0] == status
