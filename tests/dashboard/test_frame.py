"""The frame of all pages over HTTP: navigation, state, errors as pages, signing in and the links of a page below another."""

import re
import sqlite3
import urllib.parse
from pathlib import Path

import pytest
import stories
from sites import Client
from stories import Story

from retraind import release
from retraind.daemon.access import tokens
from retraind.daemon.core.scopes import Scope
from retraind.daemon.core.settings import Server, Settings
from retraind.web.auth import path_scopes
from retraind.web.pages import navigation, table

story, well = pytest.fixture(stories.story), pytest.fixture(stories.well)

BROWSER = {"HTTP_ACCEPT": "text/html,*/*"}
ALWAYS = Settings(server=Server(auth="always"))
FORM = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
LISTS = [f"/{entry.path}" for entry in navigation.ENTRIES]


@pytest.fixture
def client(well: Story) -> Client:
    return Client(well.home)


@pytest.fixture
def closed(well: Story) -> Client:
    """A worker that asks everybody for a token."""
    return Client(well.home, ALWAYS)


def test_every_path_of_a_page_has_one() -> None:
    assert set(table.PAGES) == path_scopes.PAGES - {"/dashboard"}
    assert {f"/{entry.path}" for entry in navigation.ENTRIES} <= path_scopes.PAGES


@pytest.mark.parametrize("path", LISTS)
def test_navigation_marks_the_page_and_leads_to_others(client: Client, path: str) -> None:
    status, headers, body = client.ask("GET", path, b"", **BROWSER)
    page = body.decode()
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    marked = re.findall(r'<a href="([^"]*)" aria-current="page">', page)
    assert [urllib.parse.urljoin(path, link) for link in marked] == [path]
    for link in re.findall(r'href="([^"#]*)"', page):
        place = urllib.parse.urljoin(path, link).partition("?")[0]
        assert client.ask("GET", place, b"", **BROWSER)[0] in (200, 503), place


@pytest.mark.parametrize("path", LISTS)
def test_every_page_shows_the_state_of_the_service(client: Client, path: str) -> None:
    """No daemon runs, and no page says anything else."""
    page = client.ask("GET", path)[2].decode()
    assert "<title>✖ " in page
    assert re.search(r'class="(badge|verdict) act"', page)
    assert f"<p>{release.sentence()}</p>\n</footer>" in page, "which code has made the page"
    assert 'class="badge ok" href' not in page


def test_a_page_behind_others_has_the_right_way_up(client: Client) -> None:
    page = client.ask("GET", "/dashboard/versions")[2].decode()
    assert 'data-up="../"' in page
    assert "../static/dashboard." in page


@pytest.mark.parametrize("path", ["/dashboard/nothing", "/dashboard/versions/x/y"])
def test_a_browser_gets_a_sentence_for_what_is_missing(client: Client, path: str) -> None:
    status, headers, body = client.ask("GET", path, b"", **BROWSER)
    assert (status, headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is nothing at" in body.decode()
    assert "<nav" in body.decode()
    status, headers, _ = client.ask("GET", path, HTTP_ACCEPT="application/json")
    assert (status, headers["content-type"]) == (404, "application/problem+json")


def test_a_wrong_query_is_a_page_with_a_sentence(client: Client) -> None:
    status, _, body = client.ask("GET", "/dashboard/versions", b"", QUERY_STRING="limit=<script>", **BROWSER)
    assert status == 422
    assert "must be a whole number" in body.decode()
    assert "<script>'" not in body.decode()


def test_unreadable_records_are_no_empty_list(well: Story, client: Client) -> None:
    well.journal.close()
    for path in well.home.journal.parent.glob("journal.db*"):
        path.write_bytes(b"no database" * 1000)
    with pytest.raises(sqlite3.Error):
        client.worker.records.versions.newest()
    status, _, body = client.ask("GET", "/dashboard/versions", b"", **BROWSER)
    assert (status, "can&#39;t be read" in body.decode()) == (503, True)
    status, _, body = client.ask("GET", "/dashboard", b"", **BROWSER)
    assert (status, 'class="verdict act"' in body.decode()) == (200, True)


def test_signing_in_leads_back_to_the_page_with_its_query(closed: Client, well: Story) -> None:
    secret = tokens.create(well.home, "ada", [Scope.READ])
    status, headers, _ = closed.ask("GET", "/dashboard/versions", b"", QUERY_STRING="limit=1&before=9", **BROWSER)
    assert (status, headers["location"]) == (303, "../sign-in?next=/dashboard/versions%3Flimit%3D1%26before%3D9")
    form = closed.ask("GET", "/sign-in", QUERY_STRING=headers["location"].partition("?")[2])[2].decode()
    assert 'value="/dashboard/versions?limit=1&amp;before=9"' in form
    body = urllib.parse.urlencode({"token": secret, "next": "/dashboard/versions?limit=1&before=9"}).encode()
    status, headers, _ = closed.ask("POST", "/sign-in", body, **FORM)
    assert (status, headers["location"]) == (303, "dashboard/versions?limit=1&before=9")
    cookie = headers["set-cookie"].partition(";")[0]
    assert closed.ask("GET", "/dashboard/versions", HTTP_COOKIE=cookie)[0] == 200
    assert closed.ask("GET", "/dashboard/versions", HTTP_ACCEPT="application/json")[0] == 401


@pytest.mark.parametrize(
    "goal",
    [
        "/dashboard/%2e%2e/x",
        "/dashboard//evil.example",
        "/dashboards",
        "/docs/x",
        "/dashboard/x\r\nSet-Cookie: a=b",
        "/dashboard/x y",
        "/dashboard/" + "x" * 3000,
    ],
)
def test_signing_in_leads_nowhere_else(closed: Client, well: Story, goal: str) -> None:
    body = urllib.parse.urlencode({"token": tokens.create(well.home, "ada", [Scope.READ]), "next": goal}).encode()
    assert closed.ask("POST", "/sign-in", body, **FORM)[1]["location"] == "dashboard"


def test_a_node_names_its_leader_on_a_page(tmp_path: Path) -> None:
    node = Client(stories.Story(tmp_path / "node").home, Settings(role="node"))
    for path in LISTS:
        status, headers, body = node.ask("GET", path, b"", **BROWSER)
        assert (status, headers["content-type"]) == (421, "text/html; charset=utf-8")
        assert "belongs to the leader" in body.decode()


@pytest.mark.parametrize(
    ("path", "section"),
    [
        ("dashboard", "dashboard"),
        ("dashboard/versions", "dashboard/versions"),
        ("dashboard/versions/3", "dashboard/versions"),
        ("dashboard/compare", "dashboard/versions"),
        ("dashboard/versionsx", ""),
    ],
)
def test_a_page_belongs_to_one_entry(path: str, section: str) -> None:
    assert navigation.section(path) == section
