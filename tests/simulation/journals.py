"""The journals of simulated homes: in their files, or on a PostgreSQL server."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import postgres as servers
from acts import SERVER_ACTS
from world import World

from benchmarks.postgres import Postgres
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server


@dataclass(frozen=True)
class Journals:
    """Which worlds have their journal on a server."""

    on: str
    """`file`, `server` or `both`, where every second world has it there."""
    server: Postgres | None

    def of(self, seed: int) -> Postgres | None:
        """The server that has the journal of this seed's world; None: it is in its file."""
        return None if self.on == "file" or (self.on == "both" and seed % 2 == 0) else self.server


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where journals are."""
    both = "where journals are; both: of every second seed on a server"
    parser.add_argument("--journals", choices=("file", "server", "both"), default="file", help=both)
    parser.add_argument("--server", type=Path, help="the folder of a running PostgreSQL server; else one is made")


@contextmanager
def placed(on: str, folder: Path | None) -> Iterator[Journals]:
    """Journals on the server in this folder, or on one that is made and removed, if any are on a server."""
    if on == "file" or folder is not None:
        yield Journals(on, Postgres(folder) if folder else None)
        return
    server = servers.make()
    try:
        yield Journals(on, server)
    finally:
        server.remove()


def move(world: World, home: Home, server: Postgres) -> None:
    """Move the journal of a world to a server, which may let it down."""
    world.server = str(server.folder)
    world.weights |= {name: act.weight for name, act in SERVER_ACTS.items()}
    server.place(home)
    servers.follow(home)


def leave(home: Home, server: Postgres | None) -> None:
    """Remove the journal of a world that has ended from its server."""
    named = journal_server.named(home.journal)
    if server is not None and named is not None:
        server.sql(f"DROP SCHEMA {named.url.rpartition('%3D')[2]} CASCADE")
