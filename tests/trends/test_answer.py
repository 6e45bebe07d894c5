"""web.trends and `GET /trends`: what a query asks for, and the answer as JSON and CSV."""

import csv
import io
import json
import time
from pathlib import Path
from typing import Any

import days
import pytest
from sites import Client

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.trends.series import Series
from retraind.daemon.core.trends.spans import RANGES, STEPS
from retraind.web.http.problems import Problem
from retraind.web.trends import asked
from retraind.web.trends.asked import MOST_POINTS, iso, parse

NOW = 1_790_000_123.0


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.make()
    return home


def ask(home: Home, query: str = "") -> tuple[int, Any]:
    status, headers, body = Client(home).ask("GET", "/trends", QUERY_STRING=query.lstrip("?"))
    return status, json.loads(body) if "json" in headers["content-type"] else body.decode()


def test_ranges_end_with_the_present_step() -> None:
    for name, (length, step) in RANGES.items():
        span, _ = parse({"range": name}, NOW)
        assert span.step == step
        assert span.begin % STEPS[step] == span.end % STEPS[step] == 0
        assert span.end - STEPS[step] <= NOW < span.end
        assert length <= span.end - span.begin <= length + 2 * STEPS[step]


@pytest.mark.parametrize("text", ["2026-09-21T14:13", "2026-09-21T14:13:00Z", "2026-09-21T16:13:00+02:00"])
def test_a_time_may_be_written_in_several_ways(text: str) -> None:
    assert parse({"from": text, "to": iso(NOW), "step": "1m"}, NOW)[0].begin == 1_789_999_980


def test_a_day_ends_with_its_last_step() -> None:
    span, _ = parse({"from": "2026-09-20", "to": "2026-09-20"}, NOW)
    assert (iso(span.begin), iso(span.end), span.step) == ("2026-09-20T00:00:00Z", "2026-09-21T00:00:00Z", "5m")


def test_without_a_step_the_answer_has_a_few_hundred_points() -> None:
    for hours in (1, 20, 200, 5000):
        span, _ = parse({"from": iso(NOW - hours * 3600)}, NOW)
        assert (span.end - span.begin) / span.seconds <= asked.USUAL_POINTS + 2


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"from": "5"}, "from"),
        ({"from": "9999-12-31T23:59:59-05:00"}, "from"),
        ({"from": "2030-01-01", "to": "1960-01-01"}, "from"),
        ({"from": iso(NOW), "to": iso(NOW)}, "from"),
        ({"range": "2h"}, "range"),
        ({"step": "2m"}, "step"),
        ({"series": "requests,secrets"}, "series"),
        ({"from": iso(NOW - (MOST_POINTS + 1) * 60), "step": "1m"}, "step"),
    ],
)
def test_a_wrong_query_is_refused_with_its_field(query: dict[str, str], field: str) -> None:
    with pytest.raises(Problem) as caught:
        parse(query, NOW)
    assert json.loads(caught.value.body)["errors"][0]["field"] == field
    assert caught.value.status_code == 400


def test_an_empty_home_has_no_zeros(home: Home) -> None:
    status, answer = ask(home, "?range=1h")
    assert status == 200
    assert answer["count"] in (61, 62)
    assert answer["series"] == {}
    assert set(answer["watched"]) == {0.0}


def test_figures_are_lists_with_null_for_a_gap(home: Home) -> None:
    days.write(home, 30, ["a", "b"], gap=range(10, 15))
    status, answer = ask(home, "?range=1h&series=requests,predictions")
    assert status == 200
    requests = answer["series"]["requests.count"]
    assert all(len(column) == answer["count"] == len(answer["at"]) for column in answer["series"].values())
    assert [value is None for value in requests[-30:]] == [number in range(10, 15) for number in range(30)]
    assert set(answer["series"]) >= {"predictions.class.a", "predictions.class.b", "requests.errors"}
    assert not any(name.startswith("latency") for name in answer["series"])
    assert [mark["kind"] for mark in answer["marks"]] == ["serving", "deployed", "rejected"]
    assert answer["marks"][0]["version"] == 2


def test_longer_steps_are_sums_of_shorter_ones(home: Home) -> None:
    days.write(home, 120, ["a"])
    end = int(time.time()) // 3600 * 3600
    totals = []
    for step in ("1m", "5m", "15m", "1h"):
        _, answer = ask(home, f"?from={iso(end - 3600)}&to={iso(end)}&step={step}")
        totals.append(sum(value or 0 for value in answer["series"]["requests.count"]))
        assert answer["seconds"] == STEPS[step]
    assert len(set(totals)) == 1
    assert totals[0] > 0


def test_the_csv_has_the_same_numbers(home: Home) -> None:
    days.write(home, 20, ['=cmd|"x"', "b,c"], gap=range(3, 6))
    _, answer = ask(home, "?range=1h")
    status, text = ask(home, "?range=1h&format=csv")
    assert status == 200
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["at", "watched_seconds", *answer["series"]]
    assert [row[0] for row in rows[1:]] == answer["at"]
    column = rows[0].index("requests.count")
    assert [float(row[column]) if row[column] else None for row in rows[1:]] == answer["series"]["requests.count"]
    assert 'predictions.class.=cmd|"x"' in rows[0]


def test_it_needs_the_scope_to_read(home: Home) -> None:
    client = Client(home, Settings.model_validate({"server": {"auth": "always"}}))
    assert client.ask("GET", "/trends")[0] == 401


def test_a_serving_node_answers_with_the_figures_of_its_own_workers(home: Home) -> None:
    days.write(home, 5, [])
    client = Client(home, Settings.model_validate({"role": "node"}))
    assert client.ask("GET", "/drops")[0] == 421
    status, _, body = client.ask("GET", "/trends", QUERY_STRING="range=1h")
    assert (status, sum(value or 0 for value in json.loads(body)["series"]["requests.count"]) > 0) == (200, True)


def test_a_hundred_classes_and_fifty_features_are_an_answer(home: Home) -> None:
    days.write(home, 60, [f"class {number}" for number in range(140)])
    _, answer = ask(home, "?range=1h")
    classes = [name for name in answer["series"] if name.startswith("predictions.class.")]
    assert len(classes) == 101
    assert set(Series) == {name.partition(".")[0] for name in answer["series"]} | {"values"}
