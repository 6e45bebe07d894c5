"""The SQL of SQLite that PostgreSQL spells otherwise: all that differs between the two in these queries."""

import re
from functools import cache

ARRIVAL = "rowid"
"""The order in which the rows of a table without a number of its own came; on a server a column (`daemon.storage.server.tables`)."""

BY_ID = "NOT INDEXED"
"""Forces reading the newest rows by number: SQLite would read a whole index instead, to avoid sorting a few rows."""

UNSORTED = "+"
"""Prefix of a column whose index must not be used."""

TRANSLATED = (
    (re.compile(re.escape(BY_ID)), ""),
    (re.compile(rf"(?<=\s){re.escape(UNSORTED)}(?=\w)"), ""),
    # Squares of absurd numbers: an error in floating point, where SQLite has infinity.
    (re.compile(r"\bAS REAL\)"), "AS NUMERIC)"),
)

_PLACEHOLDER = re.compile(r"\?(\d*)")


@cache
def for_server(query: str) -> str:
    """A query for PostgreSQL, with its placeholders: `?` is the next value, `?2` the second."""
    for pattern, words in TRANSLATED:
        query = pattern.sub(words, query)
    count = iter(range(1, query.count("?") + 1))
    return _PLACEHOLDER.sub(lambda place: f"${place[1] or next(count)}", query)
