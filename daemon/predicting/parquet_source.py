"""Parquet source: the rows of a Parquet file as text cells, from a process that reads it (`parquet_reader`)."""

import os
import subprocess
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import IO, BinaryIO

import numpy as np
import orjson
import pyarrow as pa

from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.predicting.parquet_reader import REFUSED
from retraind.daemon.predicting.sources import Piece
from retraind.daemon.processes.child import ELSEWHERE, environment, python
from retraind.daemon.schema.schema import REMARKS, Schema
from retraind.daemon.tabular.checks import bad_rows, unlabelled_rows
from retraind.daemon.tabular.checks.bad_rows import BadRecord
from retraind.daemon.tabular.file_content import Content

GONE = "Not a readable Parquet file: it is damaged, or reading it takes too much memory."


class ParquetSource:
    """A Parquet file, whose values are checked like the cells of a CSV file."""

    delimiter, plain = ",", False
    start, ending = "", "\n"

    def __init__(self, content: Content, schema: Schema, *, partial: bool = False) -> None:
        """Raise InvalidDrop if it can't be read or lacks a column."""
        self._content = content
        self._decimals = {column.name: column.decimal_mark(schema.decimal) for column in schema.columns}
        with closing(_read(content, self._decimals)) as tables:
            self.names: Sequence[str] = next(tables).column_names
        unlabelled_rows.require_columns(self.names, schema, partial=partial)

    def pieces(self) -> Iterator[Piece]:
        """The rows, numbered from 0."""
        at = 0
        for table in _read(self._content, self._decimals):
            if table.num_rows:
                yield Piece(table, np.arange(at, at + table.num_rows), [])
                at += table.num_rows

    def report(self, bad: Sequence[BadRecord]) -> Iterator[bytes]:
        """The rows as text; `_line` is the number of the row, from 1."""
        yield (bad_rows.joined(",", [*REMARKS, *self.names]) + "\n").encode()
        reasons = {one.record: one for one in bad}
        for piece in self.pieces():
            for place in np.flatnonzero(np.isin(piece.records, list(reasons))).tolist():
                bad_record = reasons[int(piece.records[place])]
                cells = [piece.cells[name][place].as_py() for name in self.names]
                line = bad_rows.joined(
                    ",", [str(bad_record.record + 1), bad_record.column or "", bad_record.reason, *cells]
                )
                yield (line + "\n").encode()


def _read(content: Content, decimals: Mapping[str, str]) -> Generator[pa.Table, None, None]:
    """An empty table with the columns, then the rows, while the process reads them; raises InvalidDrop if it failed."""
    with _inherited(content) as file, tempfile.TemporaryFile() as said, _reader(file, decimals, said) as process:
        assert process.stdout is not None
        damaged = False
        try:
            with pa.ipc.open_stream(process.stdout) as stream:
                yield stream.schema.empty_table()
                yield from (pa.Table.from_batches([batch]) for batch in stream)
        except GeneratorExit:
            process.kill()
            raise
        except (pa.ArrowException, OSError):
            damaged = True  # the process says why
        process.stdout.close()  # or it would wait for us
        # Also after a good end of the stream: it looks the same if the process died between two pieces.
        if (code := process.wait()) or damaged:
            raise InvalidDrop(_last_line(said) if code == REFUSED else GONE)


@contextmanager
def _inherited(content: Content) -> Iterator[BinaryIO]:
    """The content as an open file, which the process can inherit."""
    if content.data is None:
        with content.open() as file:
            yield file
        return
    with tempfile.TemporaryFile(buffering=0) as copy:
        copy.write(content.data)
        yield copy


def _reader(file: BinaryIO, decimals: Mapping[str, str], said: IO[bytes]) -> "subprocess.Popen[bytes]":
    """The process; it writes its complaints to `said`."""
    fd = file.fileno()
    command = [
        *python("retraind.daemon.predicting.parquet_reader"),
        str(os.getpid()),
        str(fd),
        orjson.dumps(decimals).decode(),
    ]
    return subprocess.Popen(
        command, cwd=ELSEWHERE, env=environment(), stdout=subprocess.PIPE, stderr=said, pass_fds=(fd,)
    )


def _last_line(said: IO[bytes]) -> str:
    said.seek(0)
    return said.read().decode(errors="replace").rstrip().rpartition("\n")[2]
