"""axe-core in the tests' Chromium: what it finds on a page, at a width and in a colour scheme."""

import json
from importlib.metadata import files
from pathlib import Path
from typing import Any

from browser import Browser

WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")

RUN = """(async () => {
  const found = await axe.run(document, {resultTypes: ["violations"]});
  return found.violations.map(({id, nodes}) => [id, nodes.length, nodes.slice(0, 4).map((node) => [node.target.join(" "), node.failureSummary])]);
})()"""


def engine() -> str:
    """The text of axe-core, from a package of the tests."""
    script = next(file for file in files("axe-playwright-python") or [] if file.name == "axe.min.js")
    return Path(str(script.locate())).read_text()


AXE = engine()


def look(browser: Browser, url: str, width: int, scheme: str) -> None:
    """Open a page at a width and in a colour scheme, and wait until it is complete."""
    browser.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=1000, deviceScaleFactor=1, mobile=width < 500
    )
    browser.call(
        "Emulation.setEmulatedMedia",
        features=[
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ],
    )
    browser.open(url)
    # A button is pale while its request is under way.
    complete = "document.readyState === 'complete' && !!document.querySelector('main, form')"
    idle = "!document.querySelector('main button:disabled, main [aria-busy=true]')"
    browser.wait(f"location.href === {json.dumps(url)} && {complete} && {idle}")


def violations(browser: Browser) -> list[Any]:
    """What axe finds on the open page: rule, number of places, and the first of them."""
    browser.call("Runtime.evaluate", expression=AXE)
    result = browser.call("Runtime.evaluate", expression=RUN, awaitPromise=True, returnByValue=True)
    assert "exceptionDetails" not in result, result
    violations: list[Any] = result["result"]["value"]
    return violations


def overflow(browser: Browser) -> int:
    """The pixels by which the open page is wider than its window."""
    return int(browser.wait("document.documentElement.scrollWidth - innerWidth + 1")) - 1
