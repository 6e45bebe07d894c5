"""The program's own log: one structured line per fact, on standard error.

Text for a terminal, JSON elsewhere; lines of the libraries come in the same shape.
"""

import logging
import sys
from collections.abc import MutableMapping
from enum import StrEnum
from typing import Any

import structlog

from daemon.core.settings import Log

NOISY = (
    "alembic",
    "apscheduler",
    "dvc",
    "dvc_data",
    "git",
    "matplotlib",
    "mlflow",
    "sqlalchemy",
    "skl2onnx",
    "_granian",
)


def plain(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Members of enums as their values: the renderer for terminals would print `<Trigger.FIRST: 'first rows'>`."""
    for key, value in entry.items():
        if isinstance(value, StrEnum):
            entry[key] = value.value
    return entry


def configure(settings: Log) -> None:
    """Set up structlog and the standard library's logging for this process."""
    pretty = settings.format == "text" or (settings.format == "auto" and sys.stderr.isatty())
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        plain,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    structlog.configure(
        processors=[
            *shared,
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
