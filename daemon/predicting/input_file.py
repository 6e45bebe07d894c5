"""The file to predict: a CSV or Parquet file, or standard input, which is first copied to a nameless temporary file."""

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retraind.daemon.core.errors import InvalidDrop, NotFound, NotRows
from retraind.daemon.predicting.sources import CsvSource, Source
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import file_content
from retraind.daemon.tabular.file_content import Content

STANDARD = "-"
"""Names standard input."""

MAGIC = b"PAR1"
"""The first bytes of a Parquet file."""


@contextmanager
def opened(name: str, schema: Schema, most: int, *, partial: bool = False) -> Iterator[Source]:
    """The rows of a file; `most`: maximum bytes of a stream or of an inflated .gz; `partial`: as in `require_columns`.

    Raises NotFound, and NotRows for a file that is not one of rows, or that changes while it is read.
    """
    shown = "standard input" if name == STANDARD else name
    fd = _open(name)
    try:
        before = os.fstat(fd)
        yield source_of(_content(fd, name, most), schema, partial=partial)
        if stat.S_ISREG(before.st_mode) and _version(before) != _version(os.fstat(fd)):
            raise NotRows(f"{shown} changed while it was read.", hint="Predict it again when it is complete.")
    except InvalidDrop as error:
        place = f"{shown}, line {error.line}" if error.line else shown
        raise NotRows(f"{place}: {error.reason}") from None
    finally:
        os.close(fd)


def _open(name: str) -> int:
    if name == STANDARD:
        return os.dup(sys.stdin.fileno())
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NotFound(
            f"{name}: {error.strerror}.", hint="Name a CSV or Parquet file, or - for standard input."
        ) from None
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotFound(f"{name} is a folder.", hint="Name a CSV or Parquet file, or - for standard input.")
    return fd


def source_of(content: Content, schema: Schema, *, partial: bool = False) -> Source:
    """The rows of a file that was opened; raises InvalidDrop if it is not one of rows."""
    with content.open() as file:
        is_parquet = file.read(len(MAGIC)) == MAGIC
    if not is_parquet:
        return CsvSource(content, schema, partial=partial)
    from retraind.daemon.predicting.parquet_source import ParquetSource  # imported here, because few files need it

    return ParquetSource(content, schema, partial=partial)


def _content(fd: int, name: str, most: int) -> Content:
    """The bytes of a file in place; those of a stream or a .gz are copied, since they are read more than once."""
    packed = file_content.is_packed(name)
    if stat.S_ISREG(os.fstat(fd).st_mode) and not packed:
        return Content("", os.fstat(fd).st_size, None, os.dup(fd))
    return file_content.take(fd, Path(tempfile.gettempdir()), inflate=packed, most=most)


def _version(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns
