"""The journal's tables on a PostgreSQL server, with wider numbers than in the file, and texts sorted by bytes.

SQLite numbers the rows of every table by insertion (`rowid`). Here the two tables that need this order have a column
for it.
"""

from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Identity,
    Index,
    MetaData,
    String,
    Table,
    inspect,
    select,
    text,
)

from retraind.daemon.core.errors import BadSettings, RetraindError
from retraind.daemon.core.journal.journal_format import FORMAT
from retraind.daemon.core.journal.journal_server import JournalServer
from retraind.daemon.storage import history_index, journal_tables  # noqa: F401 - the first adds its tables to the second

tables = MetaData()

state = Table(
    "journal_state",
    tables,
    Column(
        "journal", String, primary_key=True
    ),  # the id that a home compares, see daemon/core/journal/journal_server.py
    Column("format", BigInteger, nullable=False),  # like `PRAGMA user_version` of the file
    Column("writes", BigInteger, nullable=False),  # transactions so far; each starts by incrementing it
    Column("writer", String, nullable=False),  # the process of the last transaction
)
"""One row: the id and state of this journal."""

NEXT = text("""
UPDATE journal_state SET writes = writes + 1, writer = :writer WHERE journal = :journal AND writes = :writes""")
"""The first statement of every transaction. It changes no row if another process has written since the last one."""

CLOSE_GAPS = text(
    "SELECT setval(pg_get_serial_sequence('labels', 'rowid'), (SELECT COALESCE(MAX(rowid), 0) + 1 FROM labels), false)"
)
"""A failed transaction uses up numbers, but the last label's number must be the count of labels."""


def _take_over(source: Table) -> Table:
    table = source.to_metadata(tables)
    for column in table.columns:
        if isinstance(column.type, String):
            column.type = String(collation="C")  # by bytes, as SQLite sorts
    return table


for _source in journal_tables.tables.sorted_tables:
    _take_over(_source)

for _name in ("labels", "requests"):
    tables.tables[_name].append_column(Column("rowid", BigInteger, Identity(), nullable=False, unique=True))

labels = tables.tables["labels"]
labels.indexes.clear()
Index("labels_of_version", labels.c.version, labels.c.batch, labels.c.rowid)  # SQLite's indexes end with the rowid


class LastWrite(NamedTuple):
    """The newest transaction of a journal: its number (0: there is none), and the process that made it."""

    number: int
    writer: str


def prepare(connection: Connection, server: JournalServer) -> LastWrite:
    """Make or migrate the tables within the caller's transaction; returns the newest transaction of the journal.

    Raises BadSettings if the journal belongs to another home, RetraindError if a newer retraind wrote it.
    """
    if not inspect(connection).has_table("journal_state"):
        tables.create_all(connection)
        begin(connection, server)
        return LastWrite(0, "")
    journal, stored, writes, writer = connection.execute(select(state)).one()
    if journal != server.journal:
        raise BadSettings(
            f"The journal at {server.url} belongs to another home.",
            hint="Give each home its own database or schema. If the other home is gone for good, run `retraind claim`.",
        )
    require_known(stored, server, writable=True)
    if tables.tables.keys() - set(inspect(connection).get_table_names()):  # later releases have added some
        tables.create_all(connection)
    if all(column["name"] != "origin" for column in inspect(connection).get_columns("drops")):
        connection.execute(text('ALTER TABLE drops ADD COLUMN origin VARCHAR COLLATE "C"'))
    for version in range(stored, FORMAT):
        for statement in journal_tables.MIGRATIONS[version]:
            connection.execute(text(statement))
    if stored < FORMAT:
        connection.execute(state.update().values(format=FORMAT))
    return LastWrite(int(writes), writer)


def begin(connection: Connection, server: JournalServer) -> None:
    """Say in new tables which journal they are."""
    connection.execute(state.insert(), {"journal": server.journal, "format": FORMAT, "writes": 0, "writer": ""})


def require_known(stored: int, server: JournalServer, *, writable: bool = False) -> None:
    """Raise RetraindError for a format that this retraind can't read, or, with `writable`, can't migrate."""
    if stored > FORMAT or (stored < FORMAT and not writable):
        hint = "The next `retraind run` migrates it." if stored < FORMAT else "Install the newer version again."
        raise RetraindError(
            f"The journal at {server.url} has format {stored}; this retraind knows {FORMAT}.", hint=hint
        )
