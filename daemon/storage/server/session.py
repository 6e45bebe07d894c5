"""Sessions of a PostgreSQL server, and the lock that lets only one of them write a journal."""

import time
import zlib
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, RowMapping, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError

from retraind.daemon.core.errors import AlreadyRunning, RetraindError, Unavailable
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.journal.journal_server import JournalServer
from retraind.daemon.core.leader.identity import Leader
from retraind.daemon.storage.server.leadership import BEHIND

LOCK_CLASS = 0x72657472
"""The first half of the key of our locks, `retr`; the second half is derived from the schema's name."""

LOCK_SECONDS = 5.0
"""Maximum time for which the session of a killed process may still hold the lock, at a start."""

LOCKED = """
locktype = 'advisory' AND granted AND classid = :class AND objid = :key AND objsubid = 2
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
"""The lock in `pg_locks`."""

HOLDER = text(f"""
SELECT application_name, host(client_addr) AS address, backend_start FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE {LOCKED}""")

OWN = text(f"""
SELECT pid FROM pg_locks JOIN leadership USING (pid)
WHERE {LOCKED} AND (epoch = :epoch OR (home IN (:home, :behind) AND boot = :boot AND home <> ''))""")
"""The session of this process, or of an earlier one of its home, if it has the lock."""

END = text("SELECT pg_terminate_backend(:pid)")

OWN_SECONDS = 1.0
"""After this time a session of our own, whose connection broke without notice, is ended; until then it may end its
commit."""

STATE = text("""
SELECT current_schema() AS schema, current_setting('server_encoding') AS encoding,
  current_setting('transaction_read_only') = 'on' AS follows""")

PREPARATIONS = (
    # An answer before the commit is on the disk would be worthless. Stronger settings are kept.
    text("SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"),
    # All tables are in one schema: equal names further on in the path are tables of other programs.
    text("SELECT set_config('search_path', quote_ident(current_schema()), false)"),
    # A machine that loses its power or its network does not say so, and its session would keep the lock for the two
    # hours of the kernel's default.
    text("SELECT set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '2', false)"),
    text("SELECT set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '10000', false)"),
)
"""Settings of a session that writes."""

ENCODINGS = ("UTF8", "SQL_ASCII")
"""Encodings of databases that can store every text."""


def engine(server: JournalServer, name: str) -> Engine:
    """The engine that opens sessions, which the server shows as `name`; raises RetraindError if the driver is missing."""
    url = make_url(server.url)
    wanted = {"application_name": name[:63], **journal_server.PATIENCE}
    options = {key: value for key, value in wanted.items() if key not in url.query}
    try:
        made = create_engine(url, poolclass=NullPool, connect_args=options)
    except ModuleNotFoundError:
        raise journal_server.missing_driver() from None
    event.listen(made, "before_cursor_execute", _without_nul, retval=True)
    return made


def lock(
    connection: Connection,
    server: JournalServer,
    leader: Leader | None = None,
    *,
    epoch: int = 0,
    seconds: float | None = None,
) -> None:
    """Give a session the lock of the journal until the session ends.

    Raises AlreadyRunning if another one has it after `seconds` (default: LOCK_SECONDS). A session that the process of
    this `epoch`, or an earlier one of the home of `leader`, has left behind is ended.
    """
    schema = _prepare(connection, server)
    values = {"class": LOCK_CLASS, "key": lock_key(schema)}
    began, patience = time.monotonic(), LOCK_SECONDS if seconds is None else seconds
    while True:
        with connection.begin():
            if connection.execute(text("SELECT pg_try_advisory_lock(:class, :key)"), values).scalar_one():
                return
            holder = connection.execute(HOLDER, values).mappings().first()
            own = _own(connection, leader, epoch, values)
            waited = time.monotonic() - began
            if own is not None and waited > OWN_SECONDS:
                connection.execute(END, {"pid": own})
        if waited > (max(patience, LOCK_SECONDS) if own is not None else patience):
            raise AlreadyRunning(
                f"The journal at {server.url} is in use by {_described(holder)}.",
                hint="Only one daemon may write a journal: stop the other one, or give this home its own journal.",
            )
        time.sleep(0.05)


def lock_key(schema: str) -> int:
    """The second half of the lock's key, for the journal in this schema."""
    return zlib.crc32(schema.encode()) & 0x7FFFFFFF


def _own(connection: Connection, leader: Leader | None, epoch: int, values: dict[str, int]) -> int | None:
    """The session of our own that has the lock; None if it is another's."""
    if leader is None or not connection.execute(text("SELECT to_regclass('leadership')")).scalar_one():
        return None
    own = {"epoch": epoch, "home": leader.home, "behind": leader.home + BEHIND, "boot": leader.boot}
    return connection.execute(OWN, values | own).scalar()


def _prepare(connection: Connection, server: JournalServer) -> str:
    """Set up a session that will write; returns the name of its schema. Raises RetraindError, Unavailable."""
    with connection.begin():
        schema, encoding, follows = connection.execute(STATE).one()
        if schema is None:
            raise RetraindError(f"{server.url} names a schema that does not exist.", hint="Create it first.")
        if encoding not in ENCODINGS:
            hint = "Create one with `createdb -E UTF8 -T template0`."
            raise RetraindError(f"The database at {server.url} can't store every text ({encoding}).", hint=hint)
        if follows:
            hint = "Name the server that takes entries; for several hosts add target_session_attrs=read-write."
            raise Unavailable(f"The server at {server.url} is read-only.", hint=hint)
        for preparation in PREPARATIONS:
            connection.execute(preparation)
    return str(schema)


def sentence(error: DBAPIError) -> str:
    """The driver's message, in one line."""
    return " ".join(str(error.orig).split()).rstrip(".")


def _described(holder: RowMapping | None) -> str:
    if holder is None:
        return "another process"
    place = f" ({holder['address']})" if holder["address"] else ""
    return f"{holder['application_name'] or 'another program'}{place}, connected since {holder['backend_start']:%Y-%m-%d %H:%M:%S %Z}"


def _without_nul(
    _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
) -> tuple[str, Any]:
    if isinstance(parameters, list):
        return statement, [_storable(row) for row in parameters]
    return statement, _storable(parameters)


def _storable(row: Any) -> Any:
    return {name: journal_server.storable(value) for name, value in row.items()} if isinstance(row, dict) else row
