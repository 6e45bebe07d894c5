"""Answer records: what became of a file of `inbox/predict`, durable before any of it can be seen.

A record says which hidden files get which names. So a killed process is continued from it, and nothing is answered twice.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from retraind.daemon.core import durable, file_modes, logs
from retraind.daemon.core.home import Home

log = logs.Logger()


class AnswerRecord(BaseModel):
    """One file, known by the sha256 of its bytes; names without folders."""

    model_config = ConfigDict(frozen=True)

    state: Literal["prepared", "answered"]
    """`prepared`: its hidden files are whole, and still get their names."""
    sha256: str
    name: str
    """The file's name in `inbox/predict`."""
    version: int
    rows: int
    answered: int
    bad: int
    answers: tuple[str, str]
    """The file of answers in the outbox: its hidden name, and its name."""
    bad_rows: tuple[str, str] | None
    """The file of bad rows there."""
    predictions: tuple[str, str]
    """The file of the prediction log in `logs/`."""
    at: str
    """UTC, ISO 8601."""


class AnswerRecords:
    """The records of a home: a file for each, which goes when the answers have left the outbox."""

    def __init__(self, home: Home) -> None:
        self._folder = home.outbox_records
        file_modes.make(self._folder)

    def get(self, sha256: str) -> AnswerRecord | None:
        """The record of a file with these bytes; None if there is none, or it can't be read."""
        return _read(self._path(sha256))

    def put(self, record: AnswerRecord) -> None:
        """Write a record durably; raises OSError."""
        durable.write(self._path(record.sha256), record.model_dump_json().encode())

    def remove(self, record: AnswerRecord) -> None:
        """Forget a file."""
        durable.remove(self._path(record.sha256))

    def all(self) -> Iterator[AnswerRecord]:
        """Every record, in no order; raises OSError."""
        yield from filter(None, map(_read, self._folder.glob("*.json")))

    def _path(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.json"


def _read(path: Path) -> AnswerRecord | None:
    try:
        return AnswerRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        log.warning("answer_record_unreadable", path=str(path), reason=f"{error.error_count()} problems")
        return None
