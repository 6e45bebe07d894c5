"""The import table of docs/architecture.md: imports point downward, one heavy library is known to one module."""

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LEVELS = [
    "errors modes home scopes settings",
    "clock durable folder writers cards tokens processes classes notation words schema exchange costs groves memberships spaces bundle status requests sample names notify logs figures grounds query states fates live lineage shortcomings formats kinds fingerprints ids survey growth content text layout limits progress listening unixsocket git wake",
    "tables trim shares segments cells rows split moments runs model encoding prelude reference drift detector exams scores trees policy losses arrivals world verdicts labelled bootstrap pictures children orphans pulse cache projection relocation archive settling aside rejected strays loglines",
    "draft likeness known inbox watcher dataset registry journal history workers schedule driftreport continuity sides candidates remembered importance calibration graphs retention",
    "revision export labels reading sifting accounts attempts leaving examining holding withheld traces forgetting merging packing upkeep ingestion marking holdouts turning comparison worth tuning textbook logbook training reproduction livewatch clearance standby baseline retraining judging promotion driftwatch inspection follow report overview alteration chain checkup backup restore keeper",
    "loop trainer",
    "service options tokencommands cli __main__",
]
ORDERED = {0, 1, 4, 6}
"""Levels whose modules may import those to their left; in all others they don't know each other."""

SHARED = LEVELS[0].split() + LEVELS[1].split()
"""What `web` may import from `daemon`."""

HEAVY = {
    "watchdog": {"watcher"},
    "dvc": {"dataset"},
    "mlflow": {"registry"},
    "pandas": {"registry"},
    "sqlalchemy": {"tables", "trim", "journal"},
    # graphs converts it, pictures draws, training notes versions
    "sklearn": {
        "model",
        "encoding",
        "scores",
        "candidates",
        "calibration",
        "comparison",
        "textbook",
        "graphs",
        "pictures",
        "training",
    },
    "matplotlib": {"pictures"},
    "skl2onnx": {"graphs"},
    "onnx": {"graphs", "trees", "memberships", "prelude"},
    "onnxruntime": {"bundle", "training"},
    "treelite": {"groves"},
    "skops": {"bundle", "export"},  # one loads, one writes
    "scipy": {"drift", "losses", "holdouts", "calibration", "encoding"},
    "river": {"detector"},
    "pyarrow": {
        "kinds",
        "moments",
        "sides",
        "ids",
        "alteration",
        "fingerprints",
        "survey",
        "growth",
        "segments",
        "cells",
        "rows",
        "draft",
        "reading",
        "labels",
        "examining",
        "worth",
    },
    "apscheduler": {"schedule"},
    "typer": {"options", "tokencommands", "cli"},
    "rich": {"report", "overview", "chain", "follow"},
    "tomlkit": {"report"},
    "pydantic_settings": {"settings"},
    "bottle": {"app", "problems"},
    "granian": {"server", "handover"},  # one listens, one takes requests over
    "uvloop": {"handover"},
    "jinja2": {"dashboard"},
    "prometheus_client": {"exposition"},
}

DAEMON = [*sorted((ROOT / "daemon").glob("[!_]*.py")), ROOT / "daemon/__main__.py"]
WEB = sorted((ROOT / "web").glob("[!_]*.py"))
PLACE = {name: (level, column) for level, names in enumerate(LEVELS) for column, name in enumerate(names.split())}


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """Every module that a file imports, wherever in it, with dots: `daemon.rows`, `numpy.typing`."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path: Path, package: str) -> set[str]:
    """The modules of `package` that a file imports."""
    return {name.split(".")[1] for name in imports(path) if name.startswith(f"{package}.")}


def test_every_module_has_its_level() -> None:
    """The table holds each module once, and nothing else."""
    assert sorted(PLACE) == sorted(path.stem for path in DAEMON)
    assert len(PLACE) == sum(len(names.split()) for names in LEVELS)


@pytest.mark.parametrize("path", DAEMON, ids=lambda path: path.stem)
def test_daemon_imports_point_downward(path: Path) -> None:
    """A module imports lower levels; in the levels that are ordered also what stands to its left; never `web`."""
    level, column = PLACE[path.stem]
    for name in ours(path, "daemon"):
        other, position = PLACE[name]
        beside = other == level and level in ORDERED and position < column
        assert other < level or beside, f"{path.stem} (level {level}) imports {name} (level {other})"
    assert not ours(path, "web")


@pytest.mark.parametrize("path", [path for path in DAEMON if path.stem != "__main__"], ids=lambda path: path.stem)
def test_docstring_says_the_level(path: Path) -> None:
    """What a module says of its level is what the table says."""
    found = re.search(r"Level (\d)", ast.get_docstring(ast.parse(path.read_text())) or "")
    assert found is not None
    assert int(found[1]) == PLACE[path.stem][0]


@pytest.mark.parametrize("path", WEB, ids=lambda path: path.stem)
def test_web_knows_the_shared_modules_only(path: Path) -> None:
    """The workers import levels 0 and 1 of the daemon, and nothing above."""
    assert ours(path, "daemon") <= set(SHARED)


def test_web_imports_make_no_circle() -> None:
    """Within `web` there is an order, too."""
    left = {path.stem: ours(path, "web") for path in WEB}
    while free := {name for name, needs in left.items() if not needs & left.keys()}:
        left = {name: needs for name, needs in left.items() if name not in free}
    assert not left


@pytest.mark.parametrize("library", HEAVY)
def test_heavy_library_is_known_to_its_modules_only(library: str) -> None:
    """Replacing a library means changing the modules of the table, and each of them still needs it."""
    users = {path.stem for path in [*DAEMON, *WEB] if any(name.split(".")[0] == library for name in imports(path))}
    assert users == HEAVY[library]


def loaded(code: str) -> set[str]:
    """Top-level modules in memory after `code` has run in a fresh interpreter."""
    code += "\nimport sys; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_worker_loads_no_heavy_library() -> None:
    """An HTTP worker is up in a blink: it imports neither scikit-learn, pandas, MLflow, DVC nor SQLAlchemy."""
    heavy = {
        "sklearn",
        "scipy",
        "pandas",
        "pyarrow",
        "mlflow",
        "dvc",
        "sqlalchemy",
        "skl2onnx",
        "matplotlib",
        "watchdog",
        "treelite",
    }
    assert not loaded("import web.server, web.app, web.dashboard, web.exposition") & heavy


def test_command_line_and_service_start_without_heavy_libraries() -> None:
    """`retraind --help`, and the daemon until its workers run, wait for none of them."""
    heavy = {"sklearn", "pandas", "pyarrow", "mlflow", "dvc", "sqlalchemy", "skl2onnx", "numpy", "granian"}
    assert not loaded("import daemon.cli, daemon.service") & heavy
