"""Held drops as people see them: over HTTP, on the page, on the command line, and in a whole service."""

from pathlib import Path
from typing import Any

import holding
import orjson
import pytest
from holding import ODD, REASON
from ingesting import Parts
from running import a_status, retraind
from service import Service, wait_until
from service import flowers as service_flowers
from sites import Client
from test_exam_runner import flowers

from retraind.daemon.cli.report import drops as drop_report
from retraind.daemon.cli.report import health
from retraind.daemon.core.errors import NotFound
from retraind.daemon.core.status import publish

pytestmark = pytest.mark.engines(full=True)

parts = pytest.fixture(holding.parts)


def test_held_drops_are_shown_first_and_decided_over_http(parts: Parts) -> None:
    parts.drop("good.csv", flowers(40, "setosa", begin=100))
    parts.drop("odd.csv", ODD)
    parts.run()
    client = Client(parts.home)
    answer = orjson.loads(client.ask("GET", "/drops")[2])
    assert [(one["name"], one["state"], one["reason"], one["rows_read"]) for one in answer["held"]] == [
        ("odd.csv", "held", REASON, 60)
    ]
    assert [one["name"] for one in answer["drops"]] == ["good.csv"]
    drop = answer["held"][0]["sha256"]
    for key in ("odd.csv", drop):
        assert orjson.loads(client.ask("GET", f"/drops/{key}")[2])["state"] == "held"
    page = client.ask("GET", "/dashboard")[2].decode()
    assert "; 1 held;" in page
    assert page.index(">odd.csv<") < page.index(">good.csv<")
    assert f'data-drop="{drop}"' in page
    assert "retraind_drops_held 1.0" in client.ask("GET", "/prometheus_metrics")[2].decode()
    assert client.ask("POST", "/accept", b'{"drop": "nope.csv"}')[0] == 404
    assert client.ask("POST", "/accept", b"{}")[0] == 422
    status, _, body = client.ask("POST", "/accept", b'{"drop": "odd.csv"}')
    assert status == 202
    parts.run()
    row = parts.journal.requests.get(orjson.loads(body)["request"])
    assert row is not None
    assert (row["kind"], row["state"]) == ("accept", "done")
    assert len(parts.lengths) == 100


def test_thousands_that_wait_are_counted_and_listed_in_part(parts: Parts, capsys: pytest.CaptureFixture[str]) -> None:
    with parts.journal.together():
        for number in range(3000):
            facts: Any = {
                "sha256": f"{number:064}",
                "name": f"{number}.csv",
                "bytes": 1,
                "rows_read": 60,
                "rows_known": 0,
            }
            parts.journal.held.hold(facts | {"version": 1, "reason": REASON, "seen_at": None})
    client = Client(parts.home)
    for query, most in (("limit=2", 2), ("", 100)):
        answer = orjson.loads(client.ask("GET", "/drops", QUERY_STRING=query)[2])
        assert (len(answer["held"]), answer["held_total"]) == (most, 3000)
    last = f"{2999:064}"
    for key in ("2999.csv", last):
        assert orjson.loads(client.ask("GET", f"/drops/{key}")[2])["sha256"] == last
    assert "retraind_drops_held 3000.0" in client.ask("GET", "/prometheus_metrics")[2].decode()
    page = client.ask("GET", "/dashboard")[2].decode()
    assert "; 3000 held;" in page
    assert len(page) < 200_000
    drop_report.print_table(drop_report.listed(parts.home, 20))
    assert capsys.readouterr().out.count(REASON) == 20
    assert health.read(parts.home)["drops_held"] == 3000


def test_what_waits_for_a_person_is_no_news_to_train_on(parts: Parts) -> None:
    parts.drop("odd.csv", ODD)
    parts.run()
    publish(parts.home.status, a_status(rows_pending=0))
    client = Client(parts.home)
    assert client.ask("POST", "/trigger_retrain", b"{}")[0] == 200
    parts.drop("good.csv", flowers(40, "setosa", begin=100))
    assert client.ask("POST", "/trigger_retrain", b"{}")[0] == 202


def test_the_command_line_shows_what_waits_first(parts: Parts, capsys: pytest.CaptureFixture[str]) -> None:
    parts.drop("good.csv", flowers(40, "setosa", begin=100))
    parts.drop("odd.csv", ODD)
    parts.run()
    listed = drop_report.listed(parts.home, 20)
    assert [(row["name"], row["state"]) for row in listed] == [("odd.csv", "held"), ("good.csv", "accepted")]
    drop_report.print_table(listed)
    assert f"held odd.csv: {REASON}" in capsys.readouterr().out
    assert drop_report.get(parts.home, "odd.csv")["reason"] == REASON
    assert drop_report.held(parts.home, "odd.csv")["sha256"] == listed[0]["sha256"]
    with pytest.raises(NotFound, match=r"No drop 'good.csv' waits.*These do: odd.csv"):
        drop_report.held(parts.home, "good.csv")
    facts = health.read(parts.home)
    assert facts["drops_held"] == 1
    assert "1 drop waits for `retraind accept` or `retraind reject`" in health.as_text(facts)


NEXT = {"setosa": "versicolor", "versicolor": "virginica", "virginica": "setosa"}


def mislabelled(rows: list[str]) -> list[str]:
    return [f"{row.rpartition(',')[0]},{NEXT[row.rpartition(',')[2]]}" for row in rows]


@pytest.mark.slow
def test_a_whole_service_holds_a_drop_over_a_kill_until_a_person_takes_it(tmp_path: Path) -> None:
    service = Service(tmp_path / "home", RETRAIND_INBOX__SUSPICIOUS="hold").start()
    try:
        service.wait_served()
        service.drop("odd.csv", mislabelled(service_flowers(1, 60)))
        wait_until(lambda: service.ask("/drops")[1]["held"], what=f"a held drop: {service.log()[-1500:]}")
        service.kill()
        service.start()
        assert service.drops() == ["odd.csv"]
        checks = wait_until(lambda: service.ask("/health")[1]["checks"].get("held"), what="a check")
        assert checks["ok"]
        assert checks["detail"].startswith("1 drop waits for you: odd.csv, because 100% of its labels disagree with v1")
        done = retraind("accept", "odd.csv", home=service.home)
        assert (done.returncode, "odd.csv is accepted" in done.stderr) == (0, True), done.stderr
        service.wait_ingested()
        assert service.rows().total() == 150 + 60
        assert service.ask("/drops")[1]["held"] == []
    finally:
        service.end()
