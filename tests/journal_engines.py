"""Fixtures for tests of a journal in its file and on a server; a plugin of pytest."""

from collections.abc import Iterator

import postgres as servers
import pytest
import run_wide
from postgres import Place

from benchmarks.postgres import Postgres
from retraind.daemon.core.home import Home


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests marked `engines` with a journal in its file, and with one on a server: `full=True`: in the long form only, `server=False`: not at all."""
    mark = metafunc.definition.get_closest_marker("engines")
    if mark is not None and mark.kwargs.get("server", True) and "engine" in metafunc.fixturenames:
        server = pytest.param("postgres", marks=pytest.mark.slow) if mark.kwargs.get("full") else "postgres"
        metafunc.parametrize("engine", ["sqlite", server], indirect=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the server that the tests have shared."""
    servers.end(run_wide.folder(session.config))


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> Postgres:
    """A PostgreSQL server that all tests share: they must leave it as it is, and take a schema of their own."""
    servers.required()
    return servers.shared(run_wide.folder(pytestconfig))


@pytest.fixture
def own_server() -> Iterator[Postgres]:
    """A server that the test may stop."""
    servers.required()
    server = servers.make()
    yield server
    server.remove()


@pytest.fixture
def placed(home: Home, postgres: Postgres) -> Home:
    """An empty home whose journal is to be on the shared server."""
    postgres.place(home)
    return home


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Gives a home the place of its journal: nothing to do, or with `engines` a server."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield lambda _home: None
        return
    server: Postgres = request.getfixturevalue("postgres")
    yield server.place
    from retraind.daemon.records.server import reader

    reader.close()  # each test has an address of its own, for which connections would be kept
