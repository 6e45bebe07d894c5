"""The documentation says all there is, and nothing that is not there."""

import json
import re
from pathlib import Path

import pytest
from test_cli import COMMANDS

from daemon import settings
from daemon.home import Home
from daemon.settings import Settings
from web.app import make_app
from web.exposition import FAMILIES
from web.worker import Worker

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


def test_every_endpoint_is_described(home: Home) -> None:
    """Each route stands in the README or docs/ with its method, as people write it: `GET /drops/ID`."""
    worker = Worker(home, Settings(), 0)
    routes = {f"{route.method} {re.sub('<[a-z]+>', 'ID', route.rule)}" for route in make_app(worker).routes}
    unsaid = {route for route in routes if f"`{route}`" not in EVERYTHING}
    assert unsaid <= {"GET /", "GET /static/ID", "GET /docs/ID/ID"}


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
