"""The routes of the HTTP worker, over real sockets and over WSGI."""

import json
from pathlib import Path
from typing import Any

import pytest
from example_counts import some
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from sites import Client, Site


@profile(deadline=None, max_examples=some(50))
@given(path=st.text(max_size=30), query=st.text(alphabet=st.characters(max_codepoint=255), max_size=30))
def test_no_path_breaks_the_routes(flowers: Client, path: str, query: str) -> None:
    raw = ("/" + path).encode("utf-8", "replace").decode("latin-1")
    for place in (raw, "/predictions/history", "/events", "/drops", "/drops" + raw):
        status, _, _ = flowers.ask("GET", place, QUERY_STRING=query)
        assert status < 500


# Paths and methods


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nope", 404),
        ("GET", "/static/../server.py", 404),
        ("GET", "/static/none.css", 404),
        ("GET", "/drops/none", 404),
        ("GET", "/requests/none", 404),
        ("GET", "/predictions/history?limit=0", 400),
        ("GET", "/predictions/history?limit=x", 400),
        ("GET", "/predictions/history?version=99999999999999999999", 400),
        ("GET", "/events?after=-1", 400),
        ("GET", "/drops?before=1e3", 400),
        ("GET", "/versions?limit=0", 422),
    ],
)
def test_wrong_paths_and_queries(site: Site, method: str, path: str, status: int) -> None:
    answered, headers, body = site.ask(method, path)
    assert answered == json.loads(body)["status"] == status
    assert headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "allowed"), [("GET", "/predict", "POST"), ("DELETE", "/health", "GET,HEAD")]
)
def test_wrong_methods_name_the_right_ones(site: Site, method: str, path: str, allowed: str) -> None:
    status, headers, _ = site.ask(method, path)
    assert (status, headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ["/health", "/metrics", "/dashboard", "/versions", "/livez"])
def test_head_is_get_without_a_body(site: Site, path: str) -> None:
    status, headers, body = site.ask("HEAD", path)
    assert status == site.ask("GET", path)[0]
    assert body == b""
    assert headers["content-length"] != "0"


def test_every_read_answers_on_an_empty_home(tmp_path: Path) -> None:
    site = Site(tmp_path, version=None)
    more: dict[str, dict[str, Any]] = {
        "versions": {"champion": None},
        "drops": {"held": [], "held_total": 0, "waiting": None, "exams": None},
        "events": {},
    }
    page = {"older": None, "newer": None, "complete": True}
    for name, beside in more.items():
        around = {} if name == "versions" else page
        assert site.get(f"/{name}") == (200, {name: [], "count": 0, **around, **beside})
    status, headers, _ = site.ask("GET", "/")
    assert (status, headers["location"]) == (303, "dashboard")
    status, headers, html = site.ask("GET", "/dashboard")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert html.startswith(b"<!doctype html>")
    assert site.get("/dashboard/data")[0] == 200
    assert site.get("/drift")[1]["reason"] == "No model is served yet."
    assert site.get("/livez") == (200, {"status": "alive"})
    site.close()
