"""The format of the journal, by which a program notices that a newer one has written it."""

FORMAT = 4
"""`PRAGMA user_version` of the tables in `retraind.daemon.storage.journal_tables`; a newer retraind writes a larger number."""
