"""The formats of a body, and what the worker and its reader say to each other about one."""

from enum import StrEnum
from typing import TypedDict


class Format(StrEnum):
    """A format of columns in binary."""

    STREAM = "Arrow IPC stream"
    FILE = "Arrow IPC file"
    PARQUET = "Parquet"


MEDIA_TYPES = {
    "application/vnd.apache.arrow.stream": Format.STREAM,
    "application/vnd.apache.arrow.file": Format.FILE,
    "application/vnd.apache.parquet": Format.PARQUET,
    "application/x-parquet": Format.PARQUET,
}


class Order(TypedDict):
    """What to read from the `bytes` that follow."""

    format: Format
    names: list[str]
    """The columns to read, those that are there."""
    most_rows: int
    most_bytes: int
    """The most that the values may take, here and on the way back."""
    bytes: int


class Outcome(TypedDict):
    """What was read, or why nothing; the values are in the `bytes` that follow."""

    problem: str | None
    too_large: bool
    rows: int
    """Of a matrix of doubles in the order of all names, NaN where a value is missing; 0: the bytes are JSON, a list by column."""
    bytes: int
