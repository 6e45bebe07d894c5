"""retraind.web.dashboard.timeline: every kind of event is known to the page, to its script, to the docs and to the API's schema."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser
from sites import Site

from retraind.daemon.core.states import DropState, EventKind, RunState, VersionState
from retraind.daemon.storage.journal import Journal
from retraind.web.dashboard.timeline import GROUPS, group_of
from retraind.web.openapi import schemas

ROOT = Path(__file__).parent.parent.parent
STATES = {*DropState, *RunState, *VersionState}
"""A state that is reached is an event of the same name."""


def test_every_kind_is_in_one_group() -> None:
    assert sorted(kind for kinds in GROUPS.values() for kind in kinds) == sorted(EventKind)
    assert group_of(EventKind.QUARANTINED) == "data"


def test_a_kind_of_a_later_release_is_shown_all_the_same() -> None:
    assert group_of("invented") == "service"


def test_every_kind_is_emitted() -> None:
    """And no others: the journal takes nothing else, as the type checker knows."""
    source = "".join(path.read_text() for path in (ROOT / "daemon").rglob("*.py") if path.name != "states.py")
    assert {kind.name for kind in EventKind if kind not in STATES} <= set(re.findall(r"EventKind\.(\w+)", source))


def test_every_kind_is_in_the_docs_with_its_group() -> None:
    rows = re.findall(r"^\| `([a-z ]+)` \| (\w+) \|", (ROOT / "docs/events.md").read_text(), re.MULTILINE)
    assert rows == [(kind.value, group) for group, kinds in GROUPS.items() for kind in kinds]


def test_every_kind_is_in_the_schema_of_the_api() -> None:
    assert schemas.own()["Event"]["properties"]["kind"] == {"enum": list(EventKind)}


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    running = Browser(tmp_path / "browser")
    yield running
    running.close()


@pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="there is no chromium on this machine")
def test_the_page_hears_every_kind_live(own: Site, browser: Browser) -> None:
    """Without its regular look (its clock stands still), so that only the stream can tell; one kind has a space in its name."""
    browser.open(f"http://127.0.0.1:{own.port}/dashboard")
    browser.wait("document.getElementById('feed')?.dataset.state === 'live'")
    assert set(browser.wait("EVENTS")) >= set(EventKind)
    browser.wait("(Date.now = () => 0) && true")
    for kind in (EventKind.QUARANTINED, EventKind.ROLLED_BACK):
        journal = Journal.open(own.home.journal)
        journal.events.record(kind, f"The sentence about {kind}.")
        journal.close()
        browser.wait(f"document.getElementById('timeline').textContent.includes('The sentence about {kind}.')")
    assert browser.complaints == []
