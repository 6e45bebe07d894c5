"""The rows of an accepted drop as the dataset has them, a page at a time: for people, as JSON and as CSV."""

import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, TypedDict

import orjson

from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import DropState
from retraind.daemon.records import segments
from retraind.daemon.records.drops.decided import ExaminedDrop
from retraind.daemon.records.records import Records
from retraind.daemon.schema import schema as schemas
from retraind.web.columnar.row_orders import RowsOrder, RowsRead
from retraind.web.http import payload
from retraind.web.http.problems import Problem
from retraind.web.http.reply import Reply, json_object
from retraind.web.lists import csv_text
from retraind.web.pages.drop.distributions import MOST_BYTES, SECONDS, WAIT_SECONDS
from retraind.web.pages.frame import PageRequest

COMMAND = [sys.executable, "-P", "-m", "retraind.web.columnar.drop_rows"]

USUAL, MOST = 100, 1_000
"""Number of rows of a page, and the maximum."""

KEPT = 8
"""Number of pages that a worker keeps."""

WIDEST = 40
"""Number of columns that the page for people shows."""


class DropRows(TypedDict):
    """Rows of a drop from `offset` on, of `total` ones in the dataset."""

    id: int
    name: str
    total: int
    offset: int
    limit: int
    columns: list[str]
    rows: list[list[Any]]


_lock = threading.Lock()
_made: OrderedDict[bytes, RowsRead] = OrderedDict()


def find(home: Home, records: Records, key: str, query: Mapping[str, str]) -> DropRows:
    """The rows that a query asks for; raises Problem 404, 413, 422, and 503 if they can't be read now."""
    drop = records.drops.find(key)
    if drop is None or drop["state"] != DropState.ACCEPTED or drop["batch"] is None:
        raise Problem(404, f"The dataset holds no rows of a drop {key!r:.100}.", hint="GET /drops lists the drops.")
    offset = payload.number(query, "offset", 0, 0) or 0
    limit = payload.number(query, "limit", USUAL, 1, MOST) or USUAL
    rows = _read(_order(home, drop, offset, limit))
    place = {"id": drop["id"], "name": drop["name"], "total": drop["rows_accepted"], "offset": offset, "limit": limit}
    return {**place, **rows}  # type: ignore[typeddict-item]


def reply(home: Home, records: Records, key: str, query: Mapping[str, str]) -> Reply:
    """The answer to a query as JSON, or as CSV with `format=csv`; raises Problem."""
    form = query.get("format", "json")
    if form not in ("json", "csv"):
        fault = f"'format' must be json or csv, not {form!r:.40}."
        raise Problem(422, fault, errors=[{"field": "format", "detail": fault}])
    rows = find(home, records, key, query)
    if form == "json":
        return json_object(rows)
    name = f"drop-{rows['id']}-rows-{rows['offset'] + 1}.csv"
    headers = {"Content-Type": "text/csv; charset=utf-8; header=present"}
    headers["Content-Disposition"] = f'attachment; filename="{name}"'
    lines = (dict(zip(rows["columns"], row, strict=True)) for row in rows["rows"])
    return Reply(csv_text.write(rows["columns"], lines), headers=headers)


def content(request: PageRequest) -> Mapping[str, object]:
    """The page; raises Problem."""
    rows = find(request.home, request.records, request.key, request.query)
    end, step = rows["offset"] + len(rows["rows"]), rows["limit"]
    shown = [["missing" if cell is None else str(cell) for cell in row[:WIDEST]] for row in rows["rows"]]
    return {
        **rows,
        "cells": shown,
        "end": end,
        "hidden": max(0, len(rows["columns"]) - WIDEST),
        "older": f"?offset={max(0, rows['offset'] - step)}&limit={step}" if rows["offset"] else "",
        "newer": f"?offset={end}&limit={step}" if rows["rows"] and end < rows["total"] else "",
    }


def _order(home: Home, drop: ExaminedDrop, offset: int, limit: int) -> RowsOrder:
    batch = drop["batch"] or 0
    holding = [row for row in segments.current(home.journal).values() if row["first"] <= batch <= row["last"]]
    if sum(row["bytes"] for row in holding) > MOST_BYTES:
        hint = f"Read {', '.join(row['name'] for row in holding[:3])} in data/dataset with a program for Parquet files."
        raise Problem(413, f"The segment with its rows is larger than {MOST_BYTES >> 20} MB.", hint=hint)
    try:
        schema = schemas.load(home.schema)
    except RetraindError as error:
        raise Problem(503, str(error)) from None
    if schema is None:
        raise Problem(404, "There is no schema yet, so there are no rows.")
    columns = [*schema.features, schema.target]
    paths = [str(home.segments / row["name"]) for row in holding]
    return {"paths": paths, "drop": drop["sha256"], "columns": columns, "offset": offset, "limit": limit}


def _read(order: RowsOrder) -> RowsRead:
    """The rows by a process of its own, one at a time; raises Problem 503."""
    key = orjson.dumps(order)
    if (made := _made.get(key)) is not None:
        return made
    if not _lock.acquire(timeout=WAIT_SECONDS):
        raise Problem(503, "The rows of another drop are being read.", hint="Ask again in a second.")
    try:
        done = subprocess.run(COMMAND, input=key, stdout=subprocess.PIPE, timeout=SECONDS, check=True)
        rows: RowsRead = orjson.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        hint = "`retraind doctor` checks the dataset."
        raise Problem(503, "The rows of this drop can't be read now.", hint=hint) from None
    finally:
        _lock.release()
    _made[key] = rows
    while len(_made) > KEPT:
        _made.popitem(last=False)
    return rows
