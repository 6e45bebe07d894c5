"""The server that keeps a home's journal, where that is not `registry/journal.db`: a small file of the home names it.

Every process of a home reads the same file, so none can take another journal for it. While there is a `journal.db`, that is
the journal. The address has no password: the driver takes that from PGPASSWORD, ~/.pgpass or a service file.
"""

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from daemon.core import durable
from daemon.core.errors import BadSettings, RetraindError
from daemon.core.home import Home

NAME = "journal-server.json"
"""The file, next to where the journal would be."""

PATIENCE = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
}
"""How soon a server that is cut off counts as lost: seconds, and the last one milliseconds. What the address says comes first."""


@dataclass(frozen=True)
class JournalServer:
    """Where a journal is, and which it is among those that may have been there."""

    url: str
    journal: str
    """Made with the journal, and in its tables, too: a home never goes on with that of another one."""


def beside(journal: Path) -> JournalServer | None:
    """The server that has what would be in this file; None if there is the file itself, or no server."""
    if journal.exists():
        return None
    return named(journal)


def named(journal: Path) -> JournalServer | None:
    """The server that is named next to this file, whether or not that exists; raises RetraindError where it can't be read."""
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
    """Name the server of a home's journal, durably."""
    durable.write(home.journal_server, json.dumps(asdict(server)).encode() + b"\n")


def settle(home: Home, url: str) -> None:
    """Name the server of a home's journal before that is opened, as the settings have it; raises BadSettings.

    Empty settings leave the journal where it is: no process of the home needs to know them.
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
        # A journal that has moved with its server is the same one; on another server there is none of this name.
        write(home, JournalServer(url, server.journal if server else secrets.token_hex(16)))


def exists(home: Home) -> bool:
    """Whether a home has a journal, in its file or on a server."""
    return home.journal.exists() or home.journal_server.exists()


def shown(home: Home) -> str:
    """Where a home's journal is, for people."""
    server = beside(home.journal)
    return str(home.journal) if server is None else f"The journal at {server.url}"


def missing_driver() -> RetraindError:
    """The error where the driver is not installed."""
    return RetraindError(
        "A journal on a PostgreSQL server needs psycopg, which is not installed.",
        hint="pip install 'retraind[postgres]'",
    )


def storable(value: Any) -> Any:
    """A value as the server takes it: no text with NUL in it, which a reason may quote from a cell."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) and "\0" in value else value
