"""The rejected rows of a drop: its quarantine file in `inbox/rejected`, to be shown in part or downloaded."""

import csv
import io
import os
import stat
from collections.abc import Iterator
from typing import TypedDict

from retraind.daemon.core import shared_folder
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.schema.schema import REMARKS
from retraind.web.http.problems import Problem

SHOWN = 50
"""Number of rows that a page shows."""

SHOWN_BYTES = 256 * 1024
SHOWN_CELLS = 500
"""Maximum length of the shown text of a row."""

MOST_BYTES = 64 * 1024 * 1024
"""Maximum size of a download."""

FOLDER = "rejected"


class BadRow(TypedDict):
    """A rejected row: its line in the file, the column (empty: the row as a whole), the reason, and its cells."""

    line: str
    column: str
    reason: str
    cells: str


class BadRows(TypedDict):
    """The first rejected rows; `gone`: the file is not there any more."""

    file: str
    rows: list[BadRow]
    gone: bool


def first(home: Home, name: str) -> BadRows:
    """The first rows of a quarantine file."""
    try:
        data = _read(home, name, SHOWN_BYTES)
    except (OSError, Unavailable):
        return {"file": name, "rows": [], "gone": True}
    return {"file": name, "rows": list(_rows(data.decode("utf-8-sig", "replace"))), "gone": False}


def whole(home: Home, name: str) -> bytes:
    """A quarantine file; raises Problem 404 if it is gone, and 413 if it is too large to be sent."""
    try:
        data = _read(home, name, MOST_BYTES + 1)
    except (OSError, Unavailable):
        hint = "Old files in inbox/rejected are removed after inbox.rejected_days."
        raise Problem(404, f"inbox/rejected/{name} is gone.", hint=hint) from None
    if len(data) > MOST_BYTES:
        raise Problem(413, f"inbox/rejected/{name} is larger than {MOST_BYTES >> 20} MiB.", hint="Copy it from there.")
    return data


def _read(home: Home, name: str, most: int) -> bytes:
    """The first bytes of a regular file of ours; others can replace the folder, so no link is followed."""
    folder = shared_folder.inbox(home).folder(FOLDER)
    fd = folder.open(name)
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in folder.owners:
            raise OSError("it is not a file of ours")
        return file.read(most)


def _rows(text: str) -> Iterator[BadRow]:
    # The file has the separator of the drop; it follows the first remark.
    separator = text[len(REMARKS[0]) : len(REMARKS[0]) + 1] or ","
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        for number, cells in enumerate(lines):
            if number > SHOWN:
                return
            if number and len(cells) >= len(REMARKS):
                line, column, reason, *rest = cells
                shown = separator.join(rest)[:SHOWN_CELLS]
                yield {"line": line, "column": column, "reason": reason, "cells": shown}
    except csv.Error:  # a cell larger than what was read
        return
