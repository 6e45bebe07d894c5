"""PostgreSQL for tests: Debian's, one server for the tests of a process, with a schema for each home that keeps its journal there."""

from collections.abc import Callable
from pathlib import Path

import pytest
import run_wide

from benchmarks.postgres import Postgres, programs
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.storage.server import copies

NAME = "postgres"

OPTIONS = {
    "fsync": "off",  # the machine does not fail here, only processes do
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "autovacuum": "off",
}

PASSWORD = "hush-a-secret"
"""Of the user `guarded`, the only one that needs one."""

Place = Callable[[Home], object]
"""What gives a home the place of its journal."""


def make() -> Postgres:
    """A server, which whoever makes it must remove."""
    server = Postgres.make(OPTIONS, "local all guarded scram-sha-256\n")
    server.sql(f"CREATE ROLE guarded LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    return server


def terminate(server: Postgres, name: str) -> int:
    """End the sessions of programs whose name is like this; how many."""
    where = f"application_name LIKE '{name}' AND pid <> pg_backend_pid()"
    return len(server.sql(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {where}"))


def shared(base: Path) -> Postgres:
    """The server of a run, whose temporary folder is `base`: made by the first test that needs it, ended by `end`."""
    return Postgres(Path(run_wide.noted(base, NAME, lambda: str(make().folder))))


def end(base: Path) -> None:
    """End the server of a run, if there is one."""
    for note in run_wide.forgotten(base, NAME):
        Postgres(Path(note)).remove()


def required() -> None:
    """Skip a test where there is no server to start, or no driver."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'retraind[postgres]'")
    if programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian, Ubuntu: apt install postgresql)")


def follow(home: Home) -> None:
    """After files were copied into a home: move the journal that came with them to the home's server, if it has one."""
    server = journal_server.named(home.journal)
    if server is not None and home.journal.exists():
        copies.move_to_server(home, server.url)
        (home.registry / copies.MOVED).unlink()
