"""Blocks: lines of the prediction log that hold many rows of one request, with a column for each fact.

A worker writes them; the daemon expands them into single predictions and erases rows. Doubles are base64 of their
bytes, little-endian, row after row, which takes a quarter of the time of decimals. An erased row keeps its position
with NaN as its answers, which no model gives.
"""

import struct
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence, Set
from typing import Any, NotRequired, TypedDict, cast

import orjson

CELLS = 8192
"""Features and answers of one line, so that no write delays those of other requests: as text, 87 kB of numbers."""


class Block(TypedDict):
    """Rows that follow one another in a request."""

    timestamp: str
    """UTC, ISO 8601."""
    model_version: int
    latency_ms: float
    block: str
    """The id of the request; a row's id adds a point and the row's number in the request, from 0."""
    first: int
    """The number of the first row."""
    rows: int
    features: str | Sequence[Sequence[Any]]
    """By row, in the order of the columns: JSON values, or doubles if all values are numbers."""
    classes: list[str] | None
    predictions: list[int] | None
    """Codes of the classes; None, like `classes`, for values."""
    answers: str
    """Doubles: by row the probabilities in the order of the classes' codes, or the value."""
    caller: NotRequired[str]
    """Name of the token; absent for a local program."""


def of(entry: dict[str, Any]) -> Block | None:
    """A line as a block; None if it is another kind of line."""
    return cast(Block, entry) if "block" in entry else None


def identity(request: str, number: int) -> str:
    """The prediction id of a row."""
    return f"{request}.{number}"


def expand(block: Block) -> Iterator[dict[str, Any]]:
    """The rows as single lines, without erased ones. Raises LookupError, TypeError or ValueError if it is not a block."""
    count, features, classes = block["rows"], block["features"], block["classes"]
    values = _table(features, count) if isinstance(features, str) else features
    same: dict[str, Any] = {
        "timestamp": block["timestamp"],
        "model_version": block["model_version"],
        "latency_ms": block["latency_ms"],
        "caller": block.get("caller", ""),
    }
    predictions = block["predictions"] or [0] * count
    rows = zip(values, predictions, _table(block["answers"], count), strict=True)
    for number, (row, code, shares) in enumerate(rows, block["first"]):
        if shares[0] != shares[0]:  # NaN
            continue
        yield {
            **same,
            "prediction_id": identity(block["block"], number),
            "features": row,
            "prediction": shares[0] if classes is None else code,
            "prediction_name": None if classes is None else classes[code],
            "confidence": None if classes is None else shares[code],
            "probabilities": None if classes is None else shares,
        }


def rows_of(line: bytes) -> int:
    """The number of predictions in a complete line of the log."""
    return int(orjson.loads(line).get("rows", 1))


def requests(ids: Set[str]) -> Set[str]:
    """The ids of the requests that these prediction ids would belong to."""
    return {prediction.rpartition(".")[0] for prediction in ids}


def places(block: Block, ids: Set[str], of_requests: Set[str]) -> Set[int]:
    """The rows, counted from the block's first, with one of these prediction ids; `of_requests` is `requests(ids)`."""
    numbers = range(block["first"], block["first"] + block["rows"])
    # Usually no id belongs to this request, so its rows' ids need not be made.
    if block["block"] not in of_requests:
        return frozenset()
    return {place for place, number in enumerate(numbers) if identity(block["block"], number) in ids}


def without(block: Block, erased: Set[int]) -> Block:
    """The block without the facts about these rows; as JSON it is never longer than before."""
    changed, features, count = block.copy(), block["features"], block["rows"]
    changed["answers"] = _blank(block["answers"], count, erased)
    if isinstance(features, str):
        changed["features"] = _blank(features, count, erased)
    else:
        changed["features"] = [[] if place in erased else row for place, row in enumerate(features)]
    if (codes := block["predictions"]) is not None:
        changed["predictions"] = [0 if place in erased else code for place, code in enumerate(codes)]
    return changed


def _table(packed: str, count: int) -> list[tuple[float, ...]]:
    """The doubles of each row."""
    data = b64decode(packed, validate=True)
    width, rest = divmod(len(data) // 8, max(count, 1))
    if rest or not width or len(data) % 8:
        raise ValueError(f"{len(data)} bytes are not {count} rows of doubles")
    return list(struct.iter_unpack(f"<{width}d", data))


def _blank(packed: str, count: int, erased: Set[int]) -> str:
    """The answers with NaN in some rows."""
    rows = _table(packed, count)
    nothing = (float("nan"),) * len(rows[0])
    kept = (nothing if place in erased else row for place, row in enumerate(rows))
    return b64encode(b"".join(struct.pack(f"<{len(row)}d", *row) for row in kept)).decode()
