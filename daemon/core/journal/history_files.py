"""Files of old predictions in the journal's index, and the writers of predictions by their ids.

An id begins with the identity of the process that made it, a random number; behind it is a serial number.
"""

import json
from typing import TypedDict

FOLDER = "predictions"
"""Where the files lie: in `logs/`, and under this prefix in the object store."""

HIDDEN = ".new-"
"""The beginning of the name of a file that is not recorded yet."""

MOST_SERIAL = 2**63 - 1


class HistoryFile(TypedDict):
    """A Parquet file of old predictions of one day."""

    object: str
    """Its name below `logs/`, or in the object store: `predictions/dt=2026-11-30/SHA256.parquet`."""
    sha256: str
    day: str
    """UTC, `2026-11-30`."""
    bytes: int
    rows: int
    first_at: str
    last_at: str
    """UTC, ISO 8601, as in the log."""
    first_seq: int
    last_seq: int
    """The smallest and the largest number of its predictions in the history."""
    tail: int
    """Bytes at its end with everything that a reader must know before it reads rows."""
    writers: str
    """JSON: identity, first and last serial of each process that made predictions of the file."""


def name_of(day: str, sha256: str) -> str:
    """The name of a file."""
    return f"{FOLDER}/dt={day}/{sha256}.parquet"


def place_of(prediction: str) -> tuple[str, int, int]:
    """Identity and serial (0 without one) of the writer of a prediction id, and the row's number in its request."""
    request, _, number = prediction.partition(".")
    identity, _, serial = request.partition("-")
    return identity, _whole(serial, 16), _whole(number, 10)


def _whole(text: str, base: int) -> int:
    try:
        return min(max(int(text, base), 0), MOST_SERIAL) if text else 0
    except ValueError:
        return 0


def writers_of(file: HistoryFile) -> dict[str, tuple[int, int]]:
    """First and last serial by identity."""
    return {identity: (first, last) for identity, first, last in json.loads(file["writers"])}
