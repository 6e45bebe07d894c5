"""retraind.daemon.promotion.champion: who moves aliases and pointer, and what `challenger` means. Real bundles, MLflow and journal."""

import ast
from pathlib import Path

import pytest
from promoting import Parts

from retraind.daemon.cli.report import health
from retraind.daemon.core.home import Home
from retraind.daemon.records.records import Records
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.model_versions import CHALLENGER, NAME

ROOT = Path(__file__).parents[2]

MOVERS = {"set_alias", "set_registered_model_alias", "delete_registered_model_alias"}


@pytest.fixture
def parts(mlflow_home: Home, journal: Journal) -> Parts:
    return Parts(mlflow_home, journal)


def callers(name: str) -> set[str]:
    """Modules of the product that call a method of this name."""
    modules = [path for package in ("daemon", "web") for path in (ROOT / package).rglob("*.py")]
    return {
        str(path.relative_to(ROOT))
        for path in modules
        if name in (text := path.read_text())
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name
    }


def test_aliases_are_moved_by_one_module() -> None:
    """MLflow's own functions are called by no module: `ModelVersions` writes what they write."""
    assert {name: callers(name) for name in MOVERS} == {
        "set_alias": {"daemon/promotion/champion.py"},
        "set_registered_model_alias": set(),
        "delete_registered_model_alias": set(),
    }


def challengers(parts: Parts) -> list[int | None]:
    """The challenger by the alias, by what workers read, and by what the command line prints."""
    printed = health.read(parts.home)["challenger"]
    return [
        parts.alias(CHALLENGER),
        Records(parts.home).versions.aliases()["challenger"],
        printed and printed["version"],
    ]


def test_challenger_is_the_same_version_for_alias_workers_and_command_line(parts: Parts) -> None:
    """Also after the newest of two that wait was refused, and after a person moved the alias in MLflow."""
    first = parts.champion()
    parts.restart(mode="manual")
    older, newer = [parts.train(96, 95, champion=first) for _ in range(2)]
    parts.settle()
    assert challengers(parts) == [newer] * 3
    parts.models.set_alias(CHALLENGER, first)
    parts.settle()
    assert challengers(parts) == [newer] * 3
    assert parts.ask("refuse") == ("done", f"Version {newer} is refused.")
    assert challengers(parts) == [older] * 3
    assert parts.ask("promote")[0] == "done"
    assert parts.served == older
    assert challengers(parts) == [None] * 3


def test_version_that_waits_and_was_deleted_in_mlflow_stops_nothing(parts: Parts) -> None:
    first = parts.champion()
    parts.restart(mode="manual")
    held = parts.train(96, 95, champion=first)
    parts.settle()
    parts.registry.client.delete_model_version(NAME, str(held))
    assert parts.ask("promote") == ("refused", f"Version {held} was deleted in MLflow, so it can't be served.")
    assert parts.alias(CHALLENGER) is None
    assert parts.served == first
