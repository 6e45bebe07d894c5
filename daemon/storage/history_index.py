"""The index of files of old predictions: its tables in the journal. They are made if missing; older programs work without them."""

from sqlalchemy import Column, String, Table

from retraind.daemon.storage.journal_tables import WHOLE, tables

files = Table(  # the columns are those of `HistoryFile`
    "history_files",
    tables,
    Column("object", String, primary_key=True),
    Column("sha256", String, nullable=False),
    Column("day", String, nullable=False, index=True),
    Column("bytes", WHOLE, nullable=False),
    Column("rows", WHOLE, nullable=False),
    Column("first_at", String, nullable=False),
    Column("last_at", String, nullable=False),
    Column("first_seq", WHOLE, nullable=False),
    Column("last_seq", WHOLE, nullable=False, index=True),
    Column("tail", WHOLE, nullable=False),
    Column("writers", String, nullable=False),
)

logs = Table(  # log files whose predictions are in those files: whoever still has one removes it
    "history_logs",
    tables,
    Column("name", String, primary_key=True),
    Column("at", String, nullable=False),
)
