"""No list is longer than its limit, however much a home remembers: 400 versions, drops, trainings, swaps and events."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import bundles
import pytest
from sites import Client
from test_records import BATCH, a_drop, a_version

from retraind.daemon.cli.report import versions
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import RunState, VersionState
from retraind.daemon.storage.journal import Journal

MANY = 400

LISTS = ["/versions", f"/versions/{MANY}", "/drops", "/events", "/predictions/history"]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Client:
    """A home that has served and judged hourly for two weeks."""
    home = Home(tmp_path_factory.mktemp("full"))
    home.make()
    with closing(Journal.open(home.journal)) as journal, journal.together():
        for number in range(1, MANY + 1):
            batch: Any = {**BATCH, "segment": f"{number}.parquet"}
            sha256 = f"{number:064x}"
            label: Any = {
                "version": number,
                "prediction": "a",
                "truth": "a",
                "drop": sha256,
                "prediction_id": f"p{number}",
            }
            journal.batches.accept(batch, [a_drop(f"{number}.csv", sha256)], [label])
            journal.batches.commit(number, f"{number:040x}", "d" * 32)
            run = journal.runs.start("new rows", f"{number:040x}", "d" * 32, 5)
            journal.runs.end(run, RunState.TRAINED, "tree", version=number, seconds=1.0)
            journal.versions.judge(a_version(number, revision=f"{number:040x}"), VersionState.PROMOTED, "better")
            journal.swaps.record(number, number - 1 or None, "better")
    bundles.point(home, bundles.make(home, MANY))
    return Client(home)


def get(client: Client, path: str, query: str = "") -> tuple[int, Any]:
    status, _, body = client.ask("GET", path, QUERY_STRING=query)
    return status, json.loads(body)


def lists(content: Any) -> Iterator[list[Any]]:
    """Every list in it, however deep."""
    if isinstance(content, list):
        yield content
    for part in content.values() if isinstance(content, dict) else content if isinstance(content, list) else ():
        yield from lists(part)


@pytest.mark.parametrize(
    "path",
    [*LISTS, "/versions/1", "/drops/1", "/dashboard/data", "/metrics", "/health", "/drift", "/openapi.json"],
)
def test_no_list_is_longer_than_its_limit(full: Client, path: str) -> None:
    _, content = get(full, path)
    assert max((len(found) for found in lists(content)), default=0) <= 200
    assert len(json.dumps(content)) < 300_000


@pytest.mark.parametrize("path", LISTS)
def test_limit_itself_has_one(full: Client, path: str) -> None:
    assert get(full, path, "limit=1000")[0] == 200
    assert get(full, path, "limit=1001")[0] in (400, 422)


def test_metrics_have_no_sample_for_each_version(full: Client) -> None:
    status, _, text = full.ask("GET", "/prometheus_metrics")
    assert status == 200
    assert text.count(b'version="') <= 10


def test_versions_are_listed_in_pages(full: Client) -> None:
    """Each once, newest first, each with its live score."""
    seen: list[Any] = []
    while (rows := get(full, "/versions", f"limit=150&before={seen[-1]['version']}" if seen else "limit=150")[1])[
        "count"
    ]:
        assert rows["champion"] == MANY
        seen += rows["versions"]
    assert [row["version"] for row in seen] == list(range(MANY, 0, -1))
    assert all(row["live"]["n"] == 1 for row in seen)


def test_command_line_lists_the_newest_versions(full: Client) -> None:
    listed = versions.listed(full.worker.home, 7)
    assert [row["version"] for row in listed] == list(range(MANY, MANY - 7, -1))
