"""web/static/predict-file.js: a file chosen on the page comes back with its answers, in a real browser."""

import base64
import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path

import bundles
import pytest
from browser import CHROMIUM, Browser
from service import wait_until
from sites import Site

HEADER = ",".join(["id", *bundles.NAMES])

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="there is no chromium on this machine"
)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    running = Browser(tmp_path / "browser")
    yield running
    running.close()


def choose(browser: Browser, site: Site, file: Path) -> str:
    """Open the page, choose a file and send it; returns what the page says of it."""
    browser.open(f"http://127.0.0.1:{site.port}/dashboard/predict")
    browser.wait("typeof predictFile === 'function'")
    node = browser.call("Runtime.evaluate", expression="document.getElementById('predict-input')")
    browser.call("DOM.setFileInputFiles", files=[str(file)], objectId=node["result"]["objectId"])
    browser.click("#predict-proba")
    browser.click("#predict-send")
    return str(browser.wait("/answered|Not predicted/.exec(find('predict-status').textContent)?.input"))


def saved(browser: Browser, folder: Path, name: str) -> str:
    """Save the answers, as a person does."""
    folder.mkdir()
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    browser.click("#predict-result")
    wait_until((folder / name).exists, 30, "the saved file")
    return (folder / name).read_text()


def test_a_file_comes_back_with_answers(site: Site, browser: Browser, tmp_path: Path) -> None:
    """In several pieces, with cells that have quotes and line ends; nothing is complained of."""
    notes = ['says "so"', "two\nlines", "plain"]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["note", *bundles.NAMES])
    for number in range(24_000):
        writer.writerow([f"{notes[number % 3]} {number}", *bundles.SETOSA])
    (tmp_path / "flowers.csv").write_text(text.getvalue(), newline="")
    assert choose(browser, site, tmp_path / "flowers.csv") == "24,000 rows were answered by version 1."
    answers = saved(browser, tmp_path / "saved", "flowers.predictions.csv")
    rows = list(csv.DictReader(io.StringIO(answers, newline="")))
    assert [row["note"] for row in rows] == [f"{notes[number % 3]} {number}" for number in range(24_000)]
    assert {row["prediction"] for row in rows} == {"setosa"}
    assert len({row["prediction_id"] for row in rows}) == 24_000
    assert sum("/predict" in url for url in browser.requests) >= 3
    assert browser.complaints == []


def test_bad_rows_are_named_by_their_lines_in_the_file(site: Site, browser: Browser, tmp_path: Path) -> None:
    lines = [f"{number},5,3,1,0" for number in range(12_000)]
    lines[11_000] = "11000,wide,3,1,0"
    (tmp_path / "flowers.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    said = choose(browser, site, tmp_path / "flowers.csv")
    assert said == "Not predicted.\nLine 11002: 'sepal_length' is a number, not the text 'wide'."
    assert browser.wait("find('predict-result').hidden")


@pytest.mark.parametrize("width", [1280, 390])
def test_the_form_fits(site: Site, tmp_path: Path, width: int) -> None:
    """Nothing is wider than the window, in both themes; PICTURES names a folder for pictures."""
    browser = Browser(tmp_path / "browser", width)
    try:
        (tmp_path / "f.csv").write_text(f"{HEADER}\na,5.1,3.5,1.4,0.2\n")
        browser.call("Emulation.setDeviceMetricsOverride", width=width, height=1000, deviceScaleFactor=1, mobile=False)
        choose(browser, site, tmp_path / "f.csv")
        assert browser.wait("getComputedStyle(find('predict-progress')).display") == "none"
        for theme in ("light", "dark"):
            browser.wait(f"(document.documentElement.dataset.theme = '{theme}')")
            assert browser.wait("document.documentElement.scrollWidth <= innerWidth")
            if folder := os.environ.get("PICTURES"):
                browser.call("Runtime.evaluate", expression="find('predict-file').scrollIntoView()")
                picture = browser.call("Page.captureScreenshot")["data"]
                (Path(folder) / f"predict-{width}-{theme}.png").write_bytes(base64.b64decode(picture))
    finally:
        browser.close()
