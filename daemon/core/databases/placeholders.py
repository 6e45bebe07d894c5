"""Placeholders of values in statements that are written once for SQLite and PostgreSQL."""

import re
from functools import cache

_PLACEHOLDER = re.compile(r"\?(\d*)")


@cache
def numbered(statement: str) -> str:
    """A statement for PostgreSQL: `?` is the next value, `?2` the second; it may have no other question mark."""
    count = iter(range(1, statement.count("?") + 1))
    return _PLACEHOLDER.sub(lambda place: f"${place[1] or next(count)}", statement)
