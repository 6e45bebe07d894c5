"""The lists over HTTP: filters, pages by their links, CSV, and a sentence for every wrong parameter."""

import csv
import io
import json
from contextlib import closing
from typing import Any

import pytest
from journal_entries import a_batch, a_drop
from sites import Client
from test_list_search import predict

from retraind.daemon.core.home import Home
from retraind.daemon.core.states import DropState, EventKind
from retraind.daemon.storage.journal import Journal
from retraind.web.lists.csv_text import cell

HOSTILE = ["=1+1.csv", "+1.csv", "-1.csv", "@sum.csv", "\tx.csv", "\rx.csv", "plain.csv", 'a "quoted", name.csv']


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    home = Home(tmp_path_factory.mktemp("lists"))
    home.make()
    with closing(Journal.open(home.journal)) as journal, journal.together():
        for number, name in enumerate(HOSTILE):
            drop: Any = a_drop(name, f"{number:064x}", reason="=cmd|' /C calc'!A0")
            journal.drops.refuse(drop, DropState.REJECTED, f"{name} rejected")
        journal.batches.accept(a_batch(1), [a_drop("größe.csv", "f" * 64)])
    predict(home, 30)
    return Client(home)


def get(client: Client, address: str) -> tuple[int, Any]:
    path, _, query = address.partition("?")
    status, _, body = client.ask("GET", path, QUERY_STRING=query)
    return status, json.loads(body)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("/drops?stat=rejected", "There is no parameter 'stat'."),
        ("/drops?state=gone", "'state' must be one of accepted, rejected, duplicate, forgotten, held, not 'gone'."),
        ("/drops?from=yesterday", "'from' must be a day or a time in UTC"),
        ("/drops?from=2026-02-30", "'from' must be a day"),
        ("/drops?to=9999-12-31&from=2026-01-01T00:00%2B99:00", "'from' must be a day"),
        ("/drops?limit=0", "'limit' must be a whole number from 1 to"),
        ("/drops?limit=1001", "'limit' must be a whole number from 1 to 1000, not 1001."),
        ("/drops?format=csv&limit=10001", "'limit' must be a whole number from 1 to 10000"),
        ("/drops?format=xml", "'format' must be one of json, csv, not 'xml'."),
        ("/drops?version=9", "There is no version 9."),
        ("/drops?name=a&name=b", "The parameter 'name' is given twice."),
        ("/drops?name=%ff", "The query is not UTF-8."),
        ("/drops?name=" + "x" * 301, "'name' must be a text of at most 300 characters"),
        ("/drops?before=1&after=2", "Give either 'before' or 'after', not both."),
        ("/events?kind=accepted&group=model", "Events of the kind 'accepted' are not in the group 'model'."),
        ("/events?level=bad", "'level' must be one of info, warning, error, problems"),
        ("/events?run=1e3", "'run' must be a whole number"),
        ("/predictions/history?confidence_from=2", "'confidence_from' must be a number from 0 to 1, not '2'."),
        ("/predictions/history?confidence_from=nan", "'confidence_from' must be a number from 0 to 1"),
        ("/predictions/history?prediction_to=ten", "'prediction_to' must be a number, not 'ten'."),
        ("/predictions/history?label=yes", "'label' must be one of with, without"),
        ("/predictions/history?before=a&below=2", "Give only one of 'before', 'below' and 'above'."),
    ],
)
def test_wrong_parameter_gets_a_sentence(client: Client, address: str, sentence: str) -> None:
    status, problem = get(client, address)
    assert (status, problem["detail"][: len(sentence)]) == (400, sentence)


def test_empty_fields_of_a_form_are_no_filters(client: Client) -> None:
    assert get(client, "/drops?name=&state=&from=&to=&id=&version=")[1]["count"] == len(HOSTILE) + 1


def test_name_with_letters_beyond_ascii_is_found(client: Client) -> None:
    assert [row["name"] for row in get(client, "/drops?name=gr%C3%B6%C3%9Fe")[1]["drops"]] == ["größe.csv"]


def test_links_lead_through_the_pages_and_keep_the_filters(client: Client) -> None:
    seen, address = [], "/drops?state=rejected&limit=3"
    while address:
        _, page = get(client, address)
        seen += [row["id"] for row in page["drops"]]
        address = page["older"]
    assert seen == list(range(len(HOSTILE), 0, -1))
    _, first = get(client, "/drops?state=rejected&limit=3")
    _, second = get(client, first["older"])
    assert get(client, second["newer"])[1]["drops"] == first["drops"]
    assert first["newer"] is None


def test_events_begin_with_the_oldest_unless_asked(client: Client) -> None:
    _, page = get(client, "/events?limit=4")
    assert [row["id"] for row in page["events"]] == [1, 2, 3, 4]
    assert [row["id"] for row in get(client, page["newer"])[1]["events"]] == [5, 6, 7, 8]
    assert [row["id"] for row in get(client, "/events?after=4&limit=2")[1]["events"]] == [5, 6]
    _, newest = get(client, "/events?order=newest&kind=rejected&limit=3")
    assert [row["id"] for row in newest["events"]] == [8, 7, 6]
    assert {row["kind"] for row in newest["events"]} == {EventKind.REJECTED}
    assert [row["id"] for row in get(client, newest["older"])[1]["events"]] == [5, 4, 3]


def test_predictions_by_id_and_by_number(client: Client) -> None:
    _, page = get(client, "/predictions/history?before=id-010&limit=2")
    assert [row["prediction_id"] for row in page["history"]] == ["id-009", "id-008"]
    assert [row["seq"] for row in get(client, page["older"])[1]["history"]] == [7, 6]
    assert get(client, "/predictions/history?before=unknown")[1]["history"] == []
    assert get(client, "/predictions/history?class=rose&to=2026-01-10")[1]["count"] == 3


def download(client: Client, path: str, query: str) -> tuple[dict[str, str], list[dict[str, str]]]:
    status, headers, body = client.ask("GET", path, QUERY_STRING=query)
    assert (status, headers["content-type"]) == (200, "text/csv; charset=utf-8; header=present")
    return headers, list(csv.DictReader(io.StringIO(body.decode(), newline="")))


def test_csv_has_no_formula(client: Client) -> None:
    headers, rows = download(client, "/drops", "format=csv&state=rejected")
    assert headers["content-disposition"] == 'attachment; filename="drops.csv"'
    assert "link" not in headers
    names = [row["name"] for row in rows][::-1]
    assert names == ["'=1+1.csv", "'+1.csv", "'-1.csv", "'@sum.csv", "'\tx.csv", "'\rx.csv", *HOSTILE[6:]]
    assert {row["reason"][:2] for row in rows} == {"'="}
    assert not any(text.startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for text in row.values())


def test_csv_continues_at_its_link(client: Client) -> None:
    headers, rows = download(client, "/predictions/history", "format=csv&limit=20")
    assert [row["seq"] for row in rows] == [str(number) for number in range(30, 10, -1)]
    address = headers["link"].removeprefix("<").removesuffix('>; rel="next"')
    _, rest = download(client, *address.split("?"))
    assert [row["seq"] for row in rest] == [str(number) for number in range(10, 0, -1)]


def test_numbers_in_csv_stay_numbers() -> None:
    assert [cell(-1.5), cell(-3), cell("-3"), cell(None), cell(True), cell([1, "a"])] == [
        *(-1.5, -3, "'-3", "", "true"),
        '[1,"a"]',
    ]
