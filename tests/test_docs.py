"""The documentation says all there is, and nothing that is not there."""

import json
import re
from pathlib import Path

import pytest
from test_cli import COMMANDS

from daemon import settings
from web import openapi
from web.exposition import FAMILIES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
}
EVERYTHING = "\n".join(PAGES.values())
KEYS = {key: (description, default) for key, description, default in settings.entries()}


@pytest.mark.parametrize("key", KEYS)
def test_setting_has_its_row(key: str) -> None:
    """The README's table gives each setting's default and description as the program has them."""
    description, default = KEYS[key]
    assert f"| `{key}` | `{json.dumps(default)}` | {description} |" in README


def test_readme_names_no_setting_that_does_not_exist() -> None:
    """Rows of settings that were renamed or removed are gone."""
    table = README.split("## Settings")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z_.]+)` \|", table, re.MULTILINE)) == set(KEYS)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_described(command: str) -> None:
    """Each command stands in the README's table."""
    assert re.search(rf"^\| `retraind {command}\b", README, re.MULTILINE)


def test_every_endpoint_is_described() -> None:
    """docs/http.md lists the operations of `/openapi.json`, in its order and words, and no others."""
    paths = openapi.document(None, None, "", secured=False)["paths"]
    rows = [
        f"| {told['tags'][0]} | `{method.upper()} {path}` | {told['summary']} |"
        for path, methods in paths.items()
        for method, told in methods.items()
    ]
    assert [line for line in PAGES["docs/http.md"].splitlines() if "| `" in line] == rows, "\n".join(rows)


def test_every_metric_is_described() -> None:
    """Who sets up alerts finds each metric by its name."""
    names = [name + ("_total" if kind == "counter" else "") for name, kind, _, _ in FAMILIES]
    assert [name for name in names if f"`{name}`" not in EVERYTHING] == []


@pytest.mark.parametrize("page", sorted(PAGES))
def test_links_lead_somewhere(page: str) -> None:
    """Links and pictures within the repository exist."""
    for target in re.findall(r"\]\(([^)#]+)", PAGES[page]):
        assert target.startswith("http") or ((ROOT / page).parent / target).exists(), target


def test_tests_that_are_named_exist() -> None:
    """Who doubts a promise finds the test that shows it."""
    for file, name in re.findall(r"`([a-z_/]+\.py)(?:::(\w+))?`", PAGES["docs/reliability.md"]):
        assert f"def {name}" in (ROOT / "tests" / file).read_text(), f"{file}::{name}"
