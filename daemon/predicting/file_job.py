"""One file for a person: its answers to a file or standard output, its bad rows to a file of their own."""

import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from retraind.daemon.core import durable
from retraind.daemon.core.errors import BadSettings
from retraind.daemon.predicting import input_file
from retraind.daemon.predicting.answers import Answerer
from retraind.daemon.predicting.file_answers import FileAnswers, Summary

SUFFIX = ".bad.csv"
"""The end of the name of a file of bad rows."""


@dataclass(frozen=True)
class Files:
    """The names of one job: what is read, and where answers (None: standard output) and bad rows (None: nowhere) go."""

    source: str
    answers: Path | None
    bad: Path | None

    @classmethod
    def of(cls, source: str, answers: Path | None, bad: Path | None) -> "Files":
        """The bad rows go beside the answers by default; raises BadSettings if a file would replace another one."""
        files = cls(source, answers, bad or (answers and answers.with_name(f"{answers.stem}{SUFFIX}")))
        taken = [] if source == input_file.STANDARD else [Path(source)]
        for path in filter(None, (files.answers, files.bad)):
            if any(_same(path, other) for other in taken):
                raise BadSettings(f"{path} is read or written already.", hint="Name other files with -o and --bad.")
            if path.is_dir() or not path.parent.is_dir():
                raise BadSettings(f"{path} can't be written: its folder is missing, or it is one.")
            taken.append(path)
        return files


def run(files: Files, answerer: Answerer, most: int) -> Summary:
    """Answer the file; `most` as for `input_file.opened`. An answers file exists only if it is whole.

    Raises NotRows, NotFound and OSError.
    """
    with input_file.opened(files.source, answerer.schema, most, partial=answerer.partial) as source:
        work = FileAnswers(source, answerer)
        with _written(files.answers) as target:
            _write(target, work.lines())
            # Before the answers have their name: whoever waits for them has the bad rows, too.
            if work.summary.bad and files.bad is not None:
                with _written(files.bad) as reasons:
                    _write(reasons, source.report(work.summary.bad))
    return work.summary


def _write(target: BinaryIO, lines: Iterable[bytes]) -> None:
    target.writelines(lines)


@contextmanager
def _written(path: Path | None) -> Iterator[BinaryIO]:
    """A file that gets its name, durably, when it is complete; None is standard output."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    temporary = path.with_name(f"{durable.MARK}{path.name[:40]}.{secrets.token_hex(6)}{durable.TMP}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    durable.fsync_dir(path.parent)


def _same(path: Path, other: Path) -> bool:
    if path.absolute() == other.absolute():
        return True
    with suppress(OSError):
        return path.samefile(other)
    return False
