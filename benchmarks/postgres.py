"""A PostgreSQL server of one's own, from the programs that are installed here; for benchmarks and tests."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_address, journal_server
from retraind.daemon.core.journal.journal_server import JournalServer

WAIT = "30"
"""Seconds in which a server must have started or stopped."""


def programs() -> Path | None:
    """The folder of the newest server's programs; None if none is installed."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return installed[-1].parent if installed else None


class Postgres:
    """A server in a folder of its own, which only a socket in that folder reaches."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._data = folder / "data"

    @classmethod
    def make(cls, options: Mapping[str, str] | None = None, access: str = "") -> "Postgres":
        """Make and start one; `options` are those of postgresql.conf, `access` the first lines of pg_hba.conf."""
        server = cls(_new_folder())
        pgdata = ("--pgdata", str(server._data))
        server._run(
            "initdb", *pgdata, "--username=postgres", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"
        )
        own = {"listen_addresses": "", "unix_socket_directories": str(server.folder), "lc_messages": "C"}
        with (server._data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in {**own, **(options or {})}.items())
        rules = server._data / "pg_hba.conf"
        rules.write_text(access + rules.read_text())
        server.start()
        return server

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._run(
            "pg_ctl", "start", "--wait", f"--timeout={WAIT}", "-D", str(self._data), "-l", str(self.folder / "log")
        )

    def stop(self, mode: str = "fast") -> None:
        """Stop it; `fast` ends its sessions, `immediate` is a crash."""
        self._run("pg_ctl", "stop", "--wait", f"--timeout={WAIT}", "-m", mode, "-D", str(self._data))

    def remove(self) -> None:
        """Stop it and remove its folder."""
        with contextlib.suppress(RuntimeError):
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, user: str = "postgres", host: str = "") -> str:
        """The address of a new schema, by the server's socket or a host's name."""
        schema = f"s{uuid.uuid4().hex}"
        self.sql(f"CREATE SCHEMA {schema}")
        place = f"host={quote(host or str(self.folder), safe='')}&options=-csearch_path%3D{schema}"
        return f"{journal_address.SCHEME}://{user}@/postgres?{place}"

    def place(self, home: Home) -> str:
        """Let a home without a journal keep it here, in a new schema; its address."""
        url = self.url()
        journal_server.write(home, JournalServer(url, uuid.uuid4().hex))
        return url

    @property
    def pid(self) -> int:
        """The process that all others of the server come from."""
        return int((self._data / "postmaster.pid").read_text().split()[0])

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as the server's owner; the rows of the last one."""
        import psycopg

        rows: list[tuple[Any, ...]] = []
        with psycopg.connect(f"host={self.folder} user=postgres dbname=postgres", autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else []
        return rows

    def _run(self, program: str, *arguments: str) -> None:
        """Run a program of the server; raises RuntimeError. What it leaves running would hold a pipe open, so its words go to a file."""
        folder = programs()
        if folder is None:
            raise RuntimeError("PostgreSQL is not installed (Debian, Ubuntu: apt install postgresql).")
        with tempfile.TemporaryFile("w+") as said:
            command = [*_as_user(), str(folder / program), *arguments]
            code = subprocess.call(command, cwd="/", stdin=subprocess.DEVNULL, stdout=said, stderr=said)
            said.seek(0)
            if code:
                raise RuntimeError(f"{program} failed: {said.read()}")


def _owner() -> pwd.struct_passwd | None:
    """Who runs the server, which refuses to be root; None: we do."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _as_user() -> list[str]:
    user = _owner()
    return [] if user is None else ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _new_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="retraind-pg-"))  # short: the address of a socket has at most 107 bytes
    if user := _owner():
        os.chown(folder, user.pw_uid, user.pw_gid)
    folder.chmod(0o755)
    return folder
