"""The types of orders for rows of a drop, for the process that reads them and for who asks; loads no pyarrow."""

from typing import Any, TypedDict


class RowsOrder(TypedDict):
    """The rows of the `drop` (sha256) to read from the segments at `paths`: `limit` rows after the first `offset`."""

    paths: list[str]
    drop: str
    columns: list[str]
    offset: int
    limit: int


class RowsRead(TypedDict):
    """Rows in the order of the segments; a cell is a number, a text, true or false, or null."""

    columns: list[str]
    rows: list[list[Any]]
