"""The documentation says all there is, and nothing that is not there."""

import re
from pathlib import Path

import pages
import pytest
from running import COMMANDS

from retraind.web.metrics.families import FAMILIES
from retraind.web.openapi import document

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "docs" / "cli.schema.json"]
}
EVERYTHING = "\n".join(PAGES.values())


@pytest.mark.parametrize("path", pages.PAGES)
def test_page_follows_from_the_code(path: str) -> None:
    """`python tests/pages.py` writes it."""
    assert PAGES[path] == pages.PAGES[path]()


def test_readme_is_read_in_five_minutes() -> None:
    assert len(README.splitlines()) <= 170


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_described(command: str) -> None:
    """Each command stands in the table of docs/cli.md."""
    assert re.search(rf"^\| `retraind {command}\b", PAGES["docs/cli.md"], re.MULTILINE)


def test_every_endpoint_is_described() -> None:
    """docs/http.md lists the operations of `/openapi.json`, in its order and words, and no others."""
    paths = document.document(None, None, "", secured=False)["paths"]
    rows = [
        f"| {operation['tags'][0]} | `{method.upper()} {path}` | {operation['summary']} |"
        for path, methods in paths.items()
        for method, operation in methods.items()
    ]
    assert [line for line in PAGES["docs/http.md"].splitlines() if "| `" in line] == rows, "\n".join(rows)


def test_every_metric_is_described() -> None:
    """Who sets up alerts finds each metric by its name."""
    names = [name + ("_total" if kind == "counter" else "") for name, kind, _, _ in FAMILIES]
    assert [name for name in names if f"`{name}`" not in EVERYTHING] == []


def anchors(page: str) -> set[str]:
    """What links may name in a page: its headings as GitHub writes them."""
    headings = re.findall(r"^#+ (.*)$", PAGES[page], re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", sorted(PAGES))
def test_links_lead_somewhere(page: str) -> None:
    """Links and pictures within the repository exist, and so do the headings that links name."""
    for target, heading in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", PAGES[page]):
        if target.startswith("http"):
            continue
        path = ((ROOT / page).parent / target).resolve() if target else ROOT / page
        assert path.exists(), target
        assert not heading or heading in anchors(path.relative_to(ROOT).as_posix()), f"{target}#{heading}"


def test_tests_that_are_named_exist() -> None:
    """Who doubts a promise finds the test that shows it."""
    for file, name in re.findall(r"`([a-z_/]+\.py)(?:::(\w+))?`", PAGES["docs/reliability.md"]):
        assert f"def {name}" in (ROOT / "tests" / file).read_text(), f"{file}::{name}"
