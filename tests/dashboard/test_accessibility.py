"""Every page in a real Chromium: axe-core finds nothing, light and dark, wide and narrow; and the keyboard reaches everything.

The pages are those of the table of paths, so a new page is examined, too.
"""

import itertools
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import accessibility
import pytest
from accessibility import SCHEMES, WIDTHS
from browser import Browser
from journal_entries import a_batch, a_drop
from sites import PREDICTION, Site
from stories import HOSTILE

from retraind.daemon.core import requests
from retraind.daemon.core.states import DropState, EventKind, Level
from retraind.daemon.core.status import Check, Training
from retraind.daemon.storage.journal import Journal
from retraind.web.auth import path_scopes

LONG = "a-very-long-name-" * 12 + ".csv"

KEYS = {"/dashboard/versions/<key>": "1", "/dashboard/drops/<key>": "1"}

QUERIES = {"/dashboard/compare": "?versions=1,1"}

PAGES = sorted(path.replace("<key>", KEYS.get(path, "1")) + QUERIES.get(path, "") for path in path_scopes.PAGES)

TRAINING: dict[str, Any] = {"run": 2, "reason": "50 new rows", "stage": "cross-validating tree", "step": 2, "steps": 9}

DOCS = "/docs"

DOCS_FORMS = [
    (390, "dark"),
    *(
        pytest.param(*form, marks=pytest.mark.slow)
        for form in itertools.product(WIDTHS, SCHEMES)
        if form != (390, "dark")
    ),
]

SHORT = {(1280, "light"), (390, "dark")}
"""Forms that each run examines: both widths, both schemes. Places follow from the width, colours from the scheme."""

FORMS = [
    form if form in SHORT else pytest.param(*form, marks=pytest.mark.slow)
    for form in itertools.product(WIDTHS, SCHEMES)
]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A home in which everything happens at once, with names that are long or hostile."""
    site = Site(tmp_path_factory.mktemp("full"))
    with closing(Journal.open(site.home.journal)) as journal, journal.together():
        journal.batches.accept(a_batch(1), [a_drop("good.csv", "e" * 64, rows_read=5, rows_accepted=5)])
        for number, name in enumerate([*HOSTILE, LONG]):
            drop = a_drop(name, f"{number:064x}", reason=f"{name} is no number.", line=17, column=name)
            journal.drops.refuse(drop, DropState.REJECTED, f"{name} rejected")
        waits: Any = {"sha256": "d" * 64, "name": LONG, "bytes": 9, "rows_read": 5, "rows_known": 0, "version": 1}
        waits |= {"reason": "odd", "seen_at": None}
        journal.held.hold(waits)
        journal.events.record(EventKind.UNHEALTHY, "The check disk fails: Full.", level=Level.ERROR)
    for name in (LONG, "part.csv.part"):
        (site.home.inbox / name).write_text("a\n1\n")
    (site.home.inbox / "folder").mkdir()
    requests.ask(site.home, "retrain", by="http")
    for _ in range(3):
        site.post("/predict", PREDICTION)
    training = Training(**TRAINING, since="2026-01-01T00:00:00Z", candidate=1, candidates=4, left=8.0)
    checks = {"disk": Check(ok=False, detail="Less than 100 MiB are free: free some space.")}
    with site.live(training=training, checks=checks, backlog_files=1, threshold_rows=50, rows_pending=20):
        yield site
    site.close()


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A home without a model, in which nothing has happened."""
    site = Site(tmp_path_factory.mktemp("empty"), version=None)
    with site.live():
        yield site
    site.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    running = Browser(tmp_path_factory.mktemp("browser") / "profile")
    yield running
    running.close()


def examined(browser: Browser, site: Site, path: str, width: int, scheme: str) -> list[Any]:
    """What is wrong with a page: rules of axe, and whether it scrolls sideways."""
    accessibility.look(browser, f"http://127.0.0.1:{site.port}{path}", width, scheme)
    if path == DOCS:
        browser.wait("document.querySelectorAll('.opblock').length > 20")
        for operation in ("predict-post_predict", "inspect-get_drops"):
            browser.click(f"#operations-{operation} .opblock-summary-control")
            browser.wait(f"!!document.querySelector('#operations-{operation} .execute')")
        browser.wait("!!document.querySelector('#operations-inspect-get_drops [aria-label=\"state\"]')")
    faults = accessibility.violations(browser)
    wide = accessibility.overflow(browser)
    return [(path, *item) for item in faults] + ([(path, f"{wide} px too wide")] if wide > 0 else [])


@pytest.mark.parametrize(("width", "scheme"), FORMS)
def test_axe_finds_nothing_on_any_page(browser: Browser, full: Site, width: int, scheme: str) -> None:
    by_page = [examined(browser, full, path, width, scheme) for path in PAGES]
    assert [item for items in by_page for item in items] == []


@pytest.mark.parametrize(("width", "scheme"), DOCS_FORMS)
def test_axe_finds_nothing_in_the_description(browser: Browser, full: Site, width: int, scheme: str) -> None:
    """It takes as long as all other pages."""
    assert examined(browser, full, DOCS, width, scheme) == []


def test_axe_finds_nothing_without_a_model(browser: Browser, empty: Site) -> None:
    lists = [path for path in PAGES if "1" not in path]
    by_page = [examined(browser, empty, path, 390, "light") for path in lists]
    assert [item for items in by_page for item in items] == []


def press(browser: Browser, key: str) -> None:
    """Press and release a key."""
    code = {"Tab": 9, "Escape": 27, "Enter": 13}[key]
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)


FOCUS = """(() => {
  const node = document.activeElement, style = getComputedStyle(node);
  return [node.tagName, node.type, node.textContent.trim().slice(0, 40), parseFloat(style.outlineWidth), style.outlineStyle];
})()"""


@pytest.mark.parametrize("path", ["/dashboard", "/dashboard/events", "/dashboard/queue"])
def test_keyboard_reaches_everything_visibly(browser: Browser, full: Site, path: str) -> None:
    """The skip link comes first, everything that can be pressed gets the focus, and the focus is seen."""
    accessibility.look(browser, f"http://127.0.0.1:{full.port}{path}", 1280, "light")
    browser.wait("document.getElementById('feed').dataset.state !== 'off' || !!document.querySelector('[data-static]')")
    count = browser.wait(
        "[...document.querySelectorAll('a[href], button, input, select, summary')].filter((node) => node.checkVisibility()).length"
    )
    texts: list[str] = []
    for _ in range(count + 40):
        press(browser, "Tab")
        tag, kind, text, outline, style = browser.wait(FOCUS)
        if tag == "BODY":
            break
        # A field for a time has parts, and the browser marks the part.
        assert (style != "none" and outline >= 1) or kind == "datetime-local", (tag, text)
        texts.append(text)
    assert texts[0] == "Skip to the content"
    buttons = browser.wait(
        "[...document.querySelectorAll('main button')].filter((node) => node.checkVisibility()).map((node) => node.textContent.trim().slice(0, 40)).concat('')"
    )
    assert set(buttons) - {""} <= set(texts)


def test_escape_closes_the_question(browser: Browser, full: Site) -> None:
    accessibility.look(browser, f"http://127.0.0.1:{full.port}/dashboard/events", 1280, "light")
    browser.click("[data-until]")
    assert browser.wait("document.getElementById('confirm').open")
    assert accessibility.violations(browser) == []
    press(browser, "Escape")
    assert browser.wait("!document.getElementById('confirm').open")
    assert len(requests.pending(full.home)) == 1, "nothing was asked for but the retraining of before"


@pytest.mark.parametrize("path", PAGES)
def test_outline_of_headings_and_landmarks(browser: Browser, full: Site, path: str) -> None:
    """One heading of the first level, none left out, and the parts that a screen reader jumps to."""
    accessibility.look(browser, f"http://127.0.0.1:{full.port}{path}", 1280, "light")
    levels = browser.wait(
        "[...document.querySelectorAll('h1, h2, h3, h4')].filter((node) => node.checkVisibility()).map((node) => Number(node.tagName[1]))"
    )
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), levels
    for landmark in ("header", "nav[aria-label]", "main", "footer", "[role=status][aria-live]"):
        assert browser.wait(f"!!document.querySelector('{landmark}')"), landmark
