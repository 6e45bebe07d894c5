"""The pages of drops over HTTP: every state, rejected rows, hostile names, and the request to forget."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import stories
from browser import CHROMIUM, Browser
from sites import Client, Site
from stories import HOSTILE, Story

from retraind.daemon.attention.acknowledging import Acknowledging
from retraind.daemon.core import requests
from retraind.daemon.core.states import DropState
from retraind.daemon.records.records import Records
from retraind.daemon.storage.journal import Journal
from retraind.web.pages.drop import bad_rows

story, well = pytest.fixture(stories.story), pytest.fixture(stories.well)

ROWS = '_line,_column,_reason,"petal, length",species\n17,"petal, length",\'abc\' is not a number.,abc,setosa\n18,,<b>2 cells</b>,x\n'


def get(story: Story, path: str) -> tuple[int, str]:
    status, _, body = Client(story.home).ask("GET", path, b"", HTTP_ACCEPT="text/html")
    return status, body.decode()


def accept(story: Story, name: str, **fields: Any) -> int:
    """One accepted drop; returns its id."""
    batch: Any = {"segment": f"{name}.parquet", "sha256": "e" * 64, "md5": "0" * 32, "rows": 50, "bytes": 1000}
    story.journal.batches.accept(batch, [story.drop(name, **fields)])
    return _last(story)


def _last(story: Story) -> int:
    return int(Client(story.home).worker.records.drops.newest(1)[0]["id"])


def quarantine(story: Story, text: str = ROWS) -> str:
    folder = story.home.inbox / "rejected"
    folder.mkdir(exist_ok=True)
    (folder / "a.csv.0123.bad.csv").write_text(text)
    return "a.csv.0123.bad.csv"


def test_accepted_drop_shows_its_rows_and_the_versions_trained_on_it(well: Story) -> None:
    for key in ("iris.csv", "1"):
        status, page = get(well, f"/dashboard/drops/{key}")
        assert status == 200
        assert "50 rows of it are in the dataset since batch 1." in page
        assert 'href="../../dashboard/versions/1"' in page
        assert 'data-action="forget"' in page
        assert "50 rows are removed from the dataset" in page
        assert "1 version trained on it" in page


def test_rejected_rows_are_shown_escaped_and_downloaded(well: Story) -> None:
    number = accept(well, "a.csv", rows_read=52, rows_accepted=50, rows_refused=2, bad_file=quarantine(well))
    page = get(well, f"/dashboard/drops/{number}")[1]
    assert "50 rows of it are in the dataset" in page
    assert "2 of 52 are not" in page
    assert "&#39;abc&#39; is not a number." in page
    assert "&lt;b&gt;2 cells" in page
    assert "<b>2 cells" not in page
    status, headers, body = Client(well.home).ask("GET", f"/drops/{number}/bad.csv")
    assert (status, body.decode()) == (200, ROWS)
    assert headers["content-type"] == "text/csv; charset=utf-8"
    assert headers["content-disposition"] == f'attachment; filename="drop-{number}.bad.csv"'


def test_rejected_rows_that_are_gone_are_not_none(well: Story) -> None:
    number = accept(well, "a.csv", rows_read=52, rows_refused=2, bad_file="gone.bad.csv")
    assert "is gone" in get(well, f"/dashboard/drops/{number}")[1]
    assert Client(well.home).ask("GET", f"/drops/{number}/bad.csv")[0] == 404
    assert Client(well.home).ask("GET", "/drops/1/bad.csv")[0] == 404
    assert Client(well.home).ask("GET", "/drops/none/bad.csv")[0] == 404


def test_a_link_in_the_folder_is_not_followed(well: Story) -> None:
    secret = well.home.root / "secret"
    secret.write_text(ROWS)
    name = quarantine(well)
    (well.home.inbox / "rejected" / name).unlink()
    (well.home.inbox / "rejected" / name).symlink_to(secret)
    number = accept(well, "a.csv", rows_refused=2, bad_file=name)
    assert "is gone" in get(well, f"/dashboard/drops/{number}")[1]
    assert Client(well.home).ask("GET", f"/drops/{number}/bad.csv")[0] == 404


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_rows_are_read_with_the_separator_of_the_drop(well: Story, separator: str) -> None:
    name = quarantine(
        well, separator.join(["_line", "_column", "_reason", "a", "b"]) + "\n" + separator.join("3xyzw") + "\n"
    )
    (row,) = bad_rows.first(well.home, name)["rows"]
    assert row == {"line": "3", "column": "x", "reason": "y", "cells": f"z{separator}w"}


def test_many_rejected_rows_are_bounded(well: Story) -> None:
    name = quarantine(well, "_line,_column,_reason,a\n" + "1,a,b,c\n" * 100_000 + "2,a,b," + "x" * 10_000_000)
    assert len(bad_rows.first(well.home, name)["rows"]) == bad_rows.SHOWN
    name = quarantine(well, "_line,_column,_reason,a\n1,a,b," + "x" * 10_000_000)
    # Whether a cell of this size is read depends on the limit of the csv module, which others raise.
    assert all(len(row["cells"]) <= bad_rows.SHOWN_CELLS for row in bad_rows.first(well.home, name)["rows"])


def test_rejected_drop_says_where_and_why(well: Story) -> None:
    for name in HOSTILE:
        well.reject(name)
    number = _last(well)
    status, page = get(well, f"/dashboard/drops/{number}")
    assert status == 200
    assert "None of its rows is used" in page
    assert "Line 17. Column" in page
    assert 'data-action="forget"' not in page
    for key in range(1, number + 1):
        assert "<script>alert" not in get(well, f"/dashboard/drops/{key}")[1]


def test_duplicate_leads_to_the_drop_that_brought_its_rows(well: Story) -> None:
    well.journal.drops.refuse(well.drop("iris.csv", rows_accepted=0, batch=1), DropState.DUPLICATE, "again")
    page = get(well, f"/dashboard/drops/{_last(well)}")[1]
    assert "The dataset already had all its good rows" in page
    assert 'href="../../dashboard/drops/1"' in page


def test_held_drop_can_be_decided(well: Story) -> None:
    well.journal.held.hold(
        {
            "sha256": "a" * 64,
            "name": HOSTILE[0],
            "bytes": 10,
            "rows_read": 50,
            "rows_known": 3,
            "version": 1,
            "reason": "v1 is wrong about 90 % of its rows",
            "seen_at": None,
        }
    )
    status, page = get(well, f"/dashboard/drops/{'a' * 64}")
    assert status == 200
    assert "wrong about 90 %" in page
    assert f'data-action="accept" data-drop="{"a" * 64}"' in page
    assert "<script>alert" not in page


def test_waiting_file_says_that_it_waits(well: Story) -> None:
    (well.home.inbox / "new.csv").write_text("a,b\n")
    status, page = get(well, "/dashboard/drops/new.csv")
    assert status == 200
    assert "No daemon runs, so it is not read." in page
    for key in ("none.csv", "rejected", ".hidden"):
        status, page = get(well, f"/dashboard/drops/{key}")
        assert (status, "There is no drop" in page) == (404, True)


def test_request_to_forget_is_durable_and_names_one_drop(well: Story) -> None:
    client = Client(well.home)
    status, _, body = client.ask("POST", "/forget", b'{"drop": "iris.csv"}')
    assert status == 202
    (request,) = requests.pending(well.home)
    assert (request.kind, request.purge, request.by) == ("forget", False, "http")
    assert json.loads(body)["request"] == request.id
    well.reject("bad.csv")
    for drop in ("none.csv", "bad.csv"):
        assert client.ask("POST", "/forget", json.dumps({"drop": drop}).encode())[0] == 404
    accept(well, "iris.csv", sha256="f" * 64)
    assert client.ask("POST", "/forget", b'{"drop": "iris.csv"}')[0] == 422


def test_forgotten_drop_says_so(well: Story) -> None:
    drop = well.journal.drops.taken(well.drop("iris.csv")["sha256"])
    assert drop
    assert isinstance(well.journal, Journal)
    well.journal.erasures.forget(drop, "0.parquet", 50, None, "ada")
    page = get(well, "/dashboard/drops/1")[1]
    assert "were removed again by request (ada)" in page
    assert 'data-action="forget"' not in page


@pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="there is no chromium on this machine")
def test_a_person_forgets_a_drop_after_reading_what_that_does(tmp_path: Path) -> None:
    site, browser = Site(tmp_path / "home"), Browser(tmp_path / "browser")
    try:
        story = Story(site.home.root)
        number = accept(story, HOSTILE[0], bad_file="x.bad.csv")
        story.journal.close()
        browser.open(f"http://127.0.0.1:{site.port}/dashboard/drops/{number}")
        browser.click("[data-action=forget]")
        browser.wait("document.querySelector('#confirm[open] #confirm-text').innerText.includes('rows are removed')")
        browser.wait("document.querySelector('#confirm-title').innerText.includes('<script>')")
        assert requests.pending(site.home) == []
        browser.click("#confirm-yes")
        browser.wait("document.querySelector('#toast').innerText.includes('Requested')")
        assert [request.kind for request in requests.pending(site.home)] == ["forget"]
        assert browser.complaints == []
    finally:
        browser.close()
        site.close()


def test_acknowledged_rejection_asks_no_more(well: Story) -> None:
    well.reject("a.csv")
    number, button = _last(well), 'data-action="acknowledge"'
    assert button in get(well, f"/dashboard/drops/{number}")[1]
    newest = Records(well.home).events.newest(1)[0]["id"]
    requests.ask(well.home, "acknowledge", until=newest, by="cli (ann)")
    Acknowledging(well.home, well.journal).answer()
    page = get(well, f"/dashboard/drops/{number}")[1]
    assert button not in page
    assert "Seen to" in page
