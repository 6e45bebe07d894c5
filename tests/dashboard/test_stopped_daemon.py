"""Pages while the daemon is dead and its workers still answer: nothing looks alive, and the page says what to do."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import stories
from browser import CHROMIUM, Browser
from sites import Client, Site
from stories import Story, alive

from retraind.daemon.core import status
from retraind.daemon.core.status import Status

story, well = pytest.fixture(stories.story), pytest.fixture(stories.well)

SENTENCE = "The daemon is not running"


def living() -> Status:
    return alive().model_copy(update={"pid": os.getpid(), "heartbeat": time.monotonic()})


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    running = Browser(tmp_path / "browser")
    yield running
    running.close()


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    running = Site(tmp_path / "served")
    yield running
    running.process.terminate()
    running.process.wait(30)


@pytest.mark.parametrize("path", ["/dashboard/events", "/dashboard/drops/iris.csv", "/dashboard"])
def test_every_page_says_that_the_daemon_was_killed_and_what_to_do(well: Story, path: str) -> None:
    """The overview says it in its state, the others above their content."""
    status.publish(well.home.status, living())
    assert SENTENCE not in Client(well.home).ask("GET", path)[2].decode()
    status.publish(well.home.status, living().model_copy(update={"heartbeat": time.monotonic() - 60}))
    page = Client(well.home).ask("GET", path)[2].decode()
    assert SENTENCE in page
    assert "Start it again: retraind run" in page
    assert page.count(f"{SENTENCE}</h2>") == (path != "/dashboard")


@pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="there is no chromium on this machine")
def test_pill_and_buttons_follow_the_daemon(own_site: Site, browser: Browser) -> None:
    status.publish(own_site.home.status, living())
    browser.open(f"http://127.0.0.1:{own_site.port}/dashboard")
    browser.wait("document.querySelector('#feed').innerText.endsWith('live')")
    assert browser.wait("!document.querySelector('[data-action=retrain]').disabled")
    status.publish(own_site.home.status, living().model_copy(update={"heartbeat": time.monotonic() - 60}))
    browser.wait("document.querySelector('#feed').innerText.endsWith('daemon stopped')")
    browser.wait("[...document.querySelectorAll('[data-action]')].every((button) => button.disabled)")
    status.publish(own_site.home.status, living())
    browser.wait("!document.querySelector('[data-action=retrain]').disabled")
    assert browser.complaints == []
