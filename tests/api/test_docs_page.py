"""The page `/docs` in a real browser: complete without another host, and trying an endpoint out works."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser
from sites import Site

from retraind.daemon.access import tokens
from retraind.daemon.core.scopes import Scope
from retraind.daemon.core.settings import Server, Settings


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    running = Browser(tmp_path_factory.mktemp("browser") / "profile")
    yield running
    running.close()


def tried(browser: Browser, operation: str) -> str:
    """What the page shows of the answer after the example has been sent as it stands there."""
    browser.click(f"{operation} .opblock-summary-control")
    browser.wait(f"document.querySelector('{operation} textarea')?.value")
    browser.click(f"{operation} .execute")
    return str(browser.wait(f"document.querySelector('{operation} .live-responses-table')?.innerText"))


def test_files_are_those_of_swagger_ui_and_no_others(site: Site) -> None:
    status, headers, page = site.ask("GET", "/docs")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"<style" not in page
    assert b"onload" not in page
    place = "/docs/" + page.decode().split('href="docs/')[1].split('"')[0].rpartition("/")[0]
    status, headers, text = site.ask("GET", f"{place}/swagger-ui-bundle.js")
    assert (status, headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
    assert len(text) > 1_000_000
    for name in ("LICENSE", "../flask_swagger_ui.py", "%2e%2e%2f__init__.py", "none.js"):
        assert site.ask("GET", f"{place}/{name}")[0] == 404
    assert site.ask("GET", "/docs/0.0.0/swagger-ui.css")[0] == 404


@pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="there is no chromium on this machine")
def test_an_endpoint_can_be_tried_out_without_another_host(site: Site, browser: Browser) -> None:
    address = f"http://127.0.0.1:{site.port}"
    browser.open(f"{address}/docs")
    outcome = tried(browser, "#operations-predict-post_predict")
    assert "200" in outcome
    assert "prediction_name" in outcome
    assert browser.complaints == []
    assert {url.split("/")[2] for url in browser.requests if not url.startswith("data:")} == {f"127.0.0.1:{site.port}"}


@pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="there is no chromium on this machine")
def test_who_has_signed_in_can_try_out_what_needs_a_token(tmp_path: Path, browser: Browser) -> None:
    site = Site(tmp_path / "home", Settings(server=Server(auth="always")))
    secret = tokens.create(site.home, "ada", [Scope.READ, Scope.WRITE])
    browser.open(f"http://127.0.0.1:{site.port}/docs")
    browser.wait("!!document.querySelector('#token')")
    browser.wait(f"document.querySelector('#token').value = '{secret}'")
    browser.click("button")
    assert "202" in tried(browser, "#operations-train-post_trigger_retrain")
    site.close()
