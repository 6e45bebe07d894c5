"""Journal server: a small file in the home names the server of the journal, if that is not `registry/journal.db`.

Every process of a home reads the same file, so all use the same journal. If there is a `journal.db`, that is the
journal. The address has no password: the driver takes it from PGPASSWORD, ~/.pgpass or a service file.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from retraind.daemon.core import durable
from retraind.daemon.core.errors import BadSettings, RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import home_identity

NAME = "journal-server.json"
"""The file, in the folder of `journal.db`."""

PATIENCE = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
    "client_encoding": "utf8",
}
"""Seconds (`tcp_user_timeout`: milliseconds) after which an unreachable server counts as lost, and an encoding for every
text, whatever PGCLIENTENCODING says; the address may override them."""


@dataclass(frozen=True)
class JournalServer:
    """The address of a journal's server, and the id of the journal."""

    url: str
    journal: str
    """A random id, stored in the journal's tables too, so that no home uses the journal of another."""


def beside(journal: Path) -> JournalServer | None:
    """The server that has the journal instead of this file; None if the file exists, or if there is no server."""
    if journal.exists():
        return None
    return named(journal)


def named(journal: Path) -> JournalServer | None:
    """The server named in this file's folder, whether or not the file exists.

    Raises RetraindError if the name can't be read.
    """
    path = journal.with_name(NAME)
    try:
        return JournalServer(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise RetraindError(
            f"{path} can't be read: {error}.", hint="It names the server of the journal: restore it from a backup."
        ) from None


def write(home: Home, server: JournalServer) -> None:
    """Record the server of a home's journal, durably."""
    durable.write(home.journal_server, json.dumps(asdict(server)).encode() + b"\n")


def settle(home: Home, url: str) -> None:
    """Record the server in the settings as that of the home's journal, before it is opened; raises BadSettings.

    With an empty setting the journal stays where it is, so other processes of the home do not need the setting.
    """
    if home.journal.exists():
        if url:
            raise BadSettings(
                f"journal.url names a server, but the journal of this home is {home.journal}.",
                hint=f"`retraind migrate {url}` moves it there; without journal.url it stays.",
            )
        return
    server = named(home.journal)
    if url and (server is None or server.url != url):
        # The id stays, so if the server has moved, its journal is recognised; another server has no journal with this
        # id.
        write(home, JournalServer(url, server.journal if server else home_identity.settle(home)))


def require_original(home: Home) -> None:
    """Raise BadSettings for a copy of a home whose journal is on a server; call while holding the home's lock."""
    server = beside(home.journal)
    if server is None:
        return
    home_identity.require_original(home, f"the journal at {server.url}", "retraind migrate file")
    if home_identity.read(home) is None:
        home_identity.write(home, server.journal)


def identity(home: Home) -> str:
    """The id of the home's journal, by which an object store knows its owner; empty if it has none yet."""
    server = beside(home.journal)
    if server is not None:
        return server.journal
    own = home_identity.read(home)
    return "" if own is None or home_identity.is_copy(home) else own.id


def settle_identity(home: Home) -> str:
    """As `identity`; a journal without one gets it. Call while holding the home's lock."""
    return identity(home) or home_identity.settle(home)


def exists(home: Home) -> bool:
    """Whether a home has a journal, in its file or on a server."""
    return home.journal.exists() or home.journal_server.exists()


def shown(home: Home) -> str:
    """The place of a home's journal, for people."""
    server = beside(home.journal)
    return str(home.journal) if server is None else f"The journal at {server.url}"


def hint(reason: str, url: str) -> str:
    """How to reach a server again that could not be reached for this reason."""
    if "certificate" in reason:
        return "Name the certificate of its authority in the address (sslrootcert=FILE), and the host as in its certificate."
    return f"It is at {url}."


def missing_driver() -> RetraindError:
    """The error if the driver is not installed."""
    return RetraindError(
        "A journal on a PostgreSQL server needs psycopg, which is not installed.",
        hint="pip install 'retraind[postgres]'",
    )


def storable(value: Any) -> Any:
    """A value that the server accepts, without NUL, which a reason may quote from a cell."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) and "\0" in value else value
