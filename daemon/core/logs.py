"""The program's own log: one line per fact, on standard error, in the same shape from every process and library.

Text for a terminal, JSON elsewhere. It uses the standard library's logging, with fields; structlog would add a sixth of
a second to every start, most of it for tracebacks by rich.
"""

import json
import logging
import os
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from retraind.daemon.core.settings import Log

NOISY = (
    "alembic",
    "dvc",
    "dvc_data",
    "git",
    "matplotlib",
    "mlflow",
    "sqlalchemy",
    "skl2onnx",
    "_granian",
)

COLOURS = {"debug": 2, "info": 32, "warning": 33, "error": 31, "critical": 31}
"""How a terminal shows the levels: codes of ECMA-48."""


class Logger:
    """Writes facts: the name of an event, and fields. Any thread may call it."""

    def __init__(self, name: str = "retraind") -> None:
        self._log = logging.getLogger(name)

    def info(self, event: str, **fields: object) -> None:
        """Log a normal event."""
        self._log.info(event, extra={"fields": fields})

    def warning(self, event: str, **fields: object) -> None:
        """Log an event that a person should look at."""
        self._log.warning(event, extra={"fields": fields})

    def error(self, event: str, *, exc_info: bool | BaseException = False, **fields: object) -> None:
        """Log a failure; with `exc_info`, also its traceback."""
        self._log.error(event, exc_info=exc_info, extra={"fields": fields})

    def exception(self, event: str, **fields: object) -> None:
        """Log the exception that is being handled, with its traceback."""
        self._log.exception(event, extra={"fields": fields})


class JsonLines(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's line; a field overrides an attribute of the record with the same name."""
        line: dict[str, Any] = {"timestamp": _moment(record), "level": record.levelname.lower()}
        line |= {"event": record.getMessage(), "logger": record.name, "pid": record.process} | _fields(record)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class TextLines(logging.Formatter):
    """Time, level, event and fields; coloured for a terminal."""

    def __init__(self, *, coloured: bool) -> None:
        super().__init__()
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        """The record's line, and the lines of its traceback."""
        level = record.levelname.lower()
        mark = f"\x1b[{COLOURS.get(level, 0)}m{level:8}\x1b[0m" if self._coloured else f"{level:8}"
        words = [_moment(record), mark, record.getMessage()]
        words += [f"{name}={_shown(value)}" for name, value in _fields(record).items()]
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return " ".join(words) + trace


def configure(settings: Log) -> None:
    """Set up logging for this process: of its libraries, of Python's warnings and of uncaught exceptions, too."""
    pretty = settings.format == "text" or (settings.format == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextLines(coloured=sys.stderr.isatty()) if pretty else JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    os.environ["MLFLOW_CONFIGURE_LOGGING"] = "false"  # MLflow's own handler would write lines of another shape
    logging.captureWarnings(True)
    sys.excepthook, threading.excepthook = _uncaught, _uncaught_in_thread


def writes_json() -> bool:
    """Whether this process writes JSON lines."""
    return any(isinstance(handler.formatter, JsonLines) for handler in logging.getLogger().handlers)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("retraind").critical("uncaught", exc_info=(kind, error, trace), extra={"fields": {}})


def _uncaught_in_thread(failure: threading.ExceptHookArgs) -> None:
    if failure.exc_value is not None:
        name = failure.thread.name if failure.thread else ""
        trace = failure.exc_type, failure.exc_value, failure.exc_traceback
        logging.getLogger("retraind").critical("uncaught", exc_info=trace, extra={"fields": {"thread": name}})


def _moment(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields


def _shown(value: object) -> str:
    """A value as one word: quoted if it is empty or holds blanks, so that lines can be parsed."""
    text = str(value)
    return text if text and text.isprintable() and " " not in text else repr(text)
