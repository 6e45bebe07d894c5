"""The parts of these queries that differ between SQLite and PostgreSQL."""

import re
from functools import cache

from retraind.daemon.core.databases.placeholders import numbered

ARRIVAL = "rowid"
"""The order of insertion into a table without its own number; on a server it is a column
(`retraind.daemon.storage.server.tables`)."""

BY_ID = "NOT INDEXED"
"""Forces reading the newest rows by number: SQLite would read a whole index instead, to avoid sorting a few rows."""

UNSORTED = "+"
"""Prefix of a column whose index must not be used."""

TRANSLATED = (
    (re.compile(re.escape(BY_ID)), ""),
    (re.compile(rf"(?<=\s){re.escape(UNSORTED)}(?=\w)"), ""),
    # The square of a huge number is infinite in SQLite, but an error in PostgreSQL's floating point.
    (re.compile(r"\bAS REAL\)"), "AS NUMERIC)"),
)


@cache
def for_server(query: str) -> str:
    """A query for PostgreSQL, with its placeholders: `?` is the next value, `?2` the second."""
    for pattern, words in TRANSLATED:
        query = pattern.sub(words, query)
    return numbered(query)
