"""web/static/predict-row.js: the answer and what moved it follow what is typed, in a real browser."""

import base64
import os
from pathlib import Path

import bundles
import pytest
from browser import CHROMIUM, Browser
from service import wait_until
from sites import Site

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="there is no chromium on this machine"
)

FIELD = "document.querySelector('[name=\"column:petal_length\"]')"


@pytest.fixture
def explaining(own: Site) -> Site:
    """A service of version 2, which has a sample of training rows."""
    bundles.point(own.home, bundles.with_sample(own.home, bundles.make(own.home, 2)))
    own.wait(2)
    return own


def answer(browser: Browser) -> str:
    return str(browser.wait("document.querySelector('#row-outcome .moves') && find('row-said').textContent"))


def type_in(browser: Browser, text: str) -> None:
    """Replace a field's text with the keyboard."""
    browser.wait(f"({FIELD}.focus(), {FIELD}.select(), true)")
    browser.call("Input.insertText", text=text)


@pytest.mark.parametrize("width", [1280, 390])
def test_answer_follows_what_is_typed(explaining: Site, tmp_path: Path, width: int) -> None:
    """Said to a screen reader, the focus stays, a wrong cell is marked, and nothing is logged; PICTURES names a folder for pictures."""
    browser = Browser(tmp_path / "browser", width)
    try:
        browser.call("Emulation.setDeviceMetricsOverride", width=width, height=1400, deviceScaleFactor=1, mobile=False)
        browser.open(f"http://127.0.0.1:{explaining.port}/dashboard/predict")
        first = answer(browser)
        type_in(browser, "30")
        second = wait_until(lambda: said if (said := answer(browser)) != first else None)
        assert second == "Version 2 answers virginica, probability 1.000. petal_length moved it most."
        assert browser.wait(f"document.activeElement === {FIELD}")
        assert browser.wait("find('row-said').getAttribute('aria-live')") == "polite"
        for theme in ("light", "dark"):
            browser.wait(f"(document.documentElement.dataset.theme = '{theme}')")
            assert browser.wait("document.documentElement.scrollWidth <= innerWidth")
            if folder := os.environ.get("PICTURES"):
                picture = browser.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
                (Path(folder) / f"typed-{width}-{theme}.png").write_bytes(base64.b64decode(picture))
        type_in(browser, "wide")
        assert browser.wait(f"{FIELD}.ariaInvalid === 'true'")
        assert "is a number, not the text 'wide'" in str(browser.wait("find('row-outcome').textContent"))
        assert not list(explaining.home.logs.glob("predictions-*.jsonl")) or not any(
            path.stat().st_size for path in explaining.home.logs.glob("predictions-*.jsonl")
        )
    finally:
        browser.close()
