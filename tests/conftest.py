"""What every test may use, and the guard against what a test leaves behind."""

import os

# As for the trainer, and before numpy is imported: on a busy machine, threads wait for each other longer than they compute.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

# What the tests start is measured by `./ci.sh --full` only: tracing makes the imports of MLflow and DVC half as long again.
if os.environ.get("MEASURE") != "processes":
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)

import fcntl
import functools
import logging
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import bundles
import pytest
from postgres import Place
from service import Service
from sites import Client, Site

from retraind.daemon.core import process_table
from retraind.daemon.core.home import Home
from retraind.daemon.schema.schema import Schema, load
from retraind.daemon.service import bootstrap
from retraind.daemon.storage.journal import Journal

pytest_plugins = ["forked_workers", "journal_engines", "moto_server"]

LASTING = ("fsspecIO", "asyncio_", "ThreadPoolExecutor-", "tqdm_monitor", "Dummy-")
"""Threads that fsspec, DVC and MLflow start once per process and keep, and what Python thinks of a foreign one that has logged."""


LONGEST = (
    "behaviour/test_gate.py",
    "dashboard/test_accessibility.py",
    "openapi/test_conformance.py",
    "export/test_fresh_environments.py",
    "simulation/test_simulation.py",
    "leadership/test_take_over.py",
    "objects/test_wiped_home.py",
    "behaviour/test_journal_on_server.py",
    "export/test_formats.py",
    "export/test_exporting_versions.py",
    "nodes/test_nodes.py",
    "training/test_dask_engine.py",
    "objects/test_bucket_inbox.py",
    "faults/test_faults.py",
    "trends/test_service.py",
    "cli/test_json.py",
    "cli/test_wrong_homes.py",
    "behaviour/test_end_to_end.py",
    "training/test_run.py",
    "ingest/test_ingestion.py",
    "behaviour/test_crash.py",
    "training/test_failing.py",
    "training/test_reproduction.py",
    "behaviour/test_notices.py",
    "training/test_pieces.py",
    "training/test_worked_examples.py",
    "training/test_fit_ahead.py",
    "training/test_local_pool.py",
    "behaviour/test_datasets.py",
    "server/test_server.py",
    "processes/test_renewing.py",
    "processes/test_replacing.py",
    "dataset/test_git_history.py",
    "protocols/test_clients.py",
    "behaviour/test_drift_end_to_end.py",
    "behaviour/test_moving.py",
    "server/test_thread_lanes.py",
    "cli/test_doctor.py",
    "behaviour/test_exactly_once.py",
    "project/test_layers.py",
    "project/test_imports.py",
    "behaviour/test_prometheus.py",
)
"""Modules that take longest come first, so that no worker is left with one of them when the others have finished.

The very first makes the home `served`, for which others need not wait while they have something else to do.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of LONGEST first; all others keep their order."""
    places = {str(Path(__file__).parent / name): place for place, name in enumerate(LONGEST)}
    assert all(map(os.path.exists, places)), "LONGEST names a module that has moved"
    items.sort(key=lambda item: places.get(str(item.path), len(places)))


@pytest.fixture(autouse=True)
def leave_nothing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide RETRAIND_ variables of whoever runs the tests; fail a test that leaves threads."""
    for name in [name for name in os.environ if name.startswith("RETRAIND_")]:
        monkeypatch.delenv(name)
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 2
    while (leaked := _leaked(before)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not leaked, f"threads left behind: {leaked}"


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """Take back what a test has changed of the environment: opening a dataset hides the user's settings in all of the process."""
    with unchanged():
        yield


@pytest.fixture
def children() -> Callable[[], list[process_table.Process]]:
    """Processes that this one has started since the test began; servers that several tests share may run already."""
    before = {process.pid for process in process_table.children(os.getpid())}
    return lambda: [process for process in process_table.children(os.getpid()) if process.pid not in before]


@contextmanager
def unchanged() -> Iterator[None]:
    """Take back what is changed of the environment; for fixtures that several tests share."""
    before = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            if not name.startswith("PYTEST_"):
                del os.environ[name]
        os.environ.update(before)


@pytest.fixture(autouse=True)
def same_logging() -> Iterator[None]:
    """Take back what is changed of the logging: a trainer of the next test would read its output through a thread."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, sys.excepthook, threading.excepthook
    yield
    root.handlers[:], level, sys.excepthook, threading.excepthook = before
    root.setLevel(level)
    logging.captureWarnings(False)


def _leaked(before: set[threading.Thread]) -> list[str]:
    alive = set(threading.enumerate()) - before
    return [thread.name for thread in alive if not thread.name.startswith(LASTING)]


def names(folder: Path) -> list[str]:
    """What lies in a folder, hidden files too, in no order."""
    return [path.name for path in folder.iterdir()]


def open_up(folder: Path) -> None:
    """Let other users of this machine reach a folder of a test."""
    shared = Path(tempfile.gettempdir())
    for place in (folder, *folder.parents):
        if place != shared and place.is_relative_to(shared):
            place.chmod(0o755)


@pytest.fixture
def home(tmp_path: Path, engine: Place) -> Home:
    """An empty home with its folders."""
    home = Home(tmp_path / "home")
    home.root.mkdir()
    home.make()
    engine(home)
    return home


@pytest.fixture
def iris(home: Home) -> bytes:
    """The home has the schema of Iris; gives the CSV file with its 150 rows, which is not in the inbox."""
    place = home.journal_server.read_bytes() if home.journal_server.exists() else None
    home.journal_server.unlink(missing_ok=True)  # a home is given its first drop before the place of its journal
    bootstrap.iris(home)
    if place is not None:
        home.journal_server.write_bytes(place)
    drop = home.inbox / bootstrap.NAME
    data = drop.read_bytes()
    drop.unlink()
    return data


@pytest.fixture
def schema(home: Home, iris: bytes) -> Schema:
    """The schema of Iris."""
    assert iris
    saved = load(home.schema)
    assert saved is not None
    return saved


@pytest.fixture
def journal(home: Home) -> Iterator[Journal]:
    """The home's open journal."""
    journal = Journal.open(home.journal)
    yield journal
    journal.close()


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the processes that run tests side by side make once; who changes something takes a copy."""
    base = factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            begun = place.with_suffix(".begun")
            make(begun)
            begun.rename(place)
    return place


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with every migration done, which takes seconds: tests copy it."""

    from mlflow.store.db import utils

    from retraind.daemon.registry.registry import Registry

    # For each database that it opens MLflow loads all of its migrations, to learn which is the newest.
    utils._get_latest_schema_revision = functools.cache(utils._get_latest_schema_revision)

    def migrate(root: Path) -> None:
        Home(root).registry.mkdir(parents=True)
        Registry(Home(root)).client.search_experiments()

    return Home(once(tmp_path_factory, "migrated", migrate)).mlflow


@pytest.fixture
def mlflow_home(home: Home, migrated: Path) -> Home:
    """A home with a migrated MLflow database."""
    shutil.copy(migrated, home.mlflow)
    return home


def home_below(root: Path, migrated: Path) -> Home:
    """An empty home with a migrated MLflow database, for fixtures that several tests share."""
    home = Home(root / "home")
    home.root.mkdir()
    home.make()
    shutil.copy(migrated, home.mlflow)
    return home


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that serves its first version of Iris, at rest: tests of a running service begin with a copy.

    The first start costs ten times what a later one does: git, DVC, MLflow's migrations, a training.
    """
    return once(tmp_path_factory, "served", _serve_once)


def _serve_once(root: Path) -> None:
    service = Service(root).start()
    try:
        service.wait_served(1, 240)
        service.rest()
        assert service.stop() == 0
    finally:
        service.end()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A worker that tests share; they must not break it."""
    site = Site(tmp_path_factory.mktemp("site"))
    yield site
    site.close()


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Client:
    """The application with a classification, without a process."""
    home = Home(tmp_path_factory.mktemp("flowers"))
    home.make()
    home.schema.write_bytes(bundles.SCHEMA.dump())
    bundles.point(home, bundles.make(home, 1))
    return Client(home)


@pytest.fixture
def prices(tmp_path: Path) -> Client:
    """The application with a regression, whose columns are of every kind."""
    home = Home(tmp_path / "prices")
    home.root.mkdir()
    home.make()
    home.schema.write_bytes(bundles.PRICES.dump())
    bundles.point(home, bundles.make_prices(home, 1))
    return Client(home)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Site]:
    """A worker that a test may maltreat."""
    site = Site(tmp_path)
    yield site
    site.close()
