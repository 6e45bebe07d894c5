"""A dataset with very many batches, made in minutes instead of hours; used while no daemon runs.

Segments are written and merged, and the journal is told, by the daemon's own functions. Only `dvc add` and `git commit`
are done without their programs: DVC's objects and lists are put where it would put them, and `git fast-import` makes the
commits, as loose objects like the ones that `git commit` leaves.
"""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

import orjson
import pyarrow as pa
import pyarrow.parquet

from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import SegmentRow
from retraind.daemon.core.status import utcnow
from retraind.daemon.dataset import segment_tiers, segment_writer, segments
from retraind.daemon.dataset.dvc_cache import SECURED
from retraind.daemon.dataset.segment_folder import SegmentFolder
from retraind.daemon.storage.journal import Journal

_TOGETHER = 2000
"""Batches in one transaction."""


def grow(home: Home, count: int) -> None:
    """Add `count` batches, each with the number of rows and the columns of the newest one, and the merges that fall due."""
    with closing(Journal.open(home.journal)) as journal, History.open(home) as history, _unsynced():
        sample = _sample(home, journal)
        for start in range(0, count, _TOGETHER):
            with journal.together():
                for number in range(start, min(start + _TOGETHER, count)):
                    _add(home, journal, history, sample, number)
    _copy_to_cache(home, history.live)


@contextmanager
def _unsynced() -> Iterator[None]:
    """Let nothing wait for the disk meanwhile: what is measured comes later."""
    waiting, os.fsync = os.fsync, lambda fd: None
    try:
        yield
    finally:
        os.fsync = waiting
        os.sync()


def _sample(home: Home, journal: Journal) -> pa.Table:
    newest = journal.segments.current()[-1]
    return pyarrow.parquet.read_table(home.segments / newest["name"], read_dictionary=segments.REPEATED)


def _add(home: Home, journal: Journal, history: "History", sample: pa.Table, number: int) -> None:
    name = f"grown-{number:06}.csv"
    table = _variant(sample, number, sha256 := hashlib.sha256(name.encode()).hexdigest())
    segment = segment_writer.write(home.segments, [table]).place()
    drop: Any = {"sha256": sha256, "name": name, "source": "file", "bytes": 300, "settled_at": utcnow()}
    rows = {"rows_read": table.num_rows, "rows_accepted": table.num_rows}
    live = _commit(home, journal, history, journal.batches.accept(segment.record, [drop | rows]))
    while sources := segment_tiers.due(live):
        known = {row["name"]: row["sha256"] for row in live}
        *_, sealed = SegmentFolder(home).merging({name: known[name] for name in sources})
        assert sealed is not None
        live = _commit(home, journal, history, journal.batches.merge(sealed.place().record, sources))


def _variant(sample: pa.Table, number: int, drop: str) -> pa.Table:
    """Other rows of the same columns: nothing that compresses better because it is always the same."""
    column = next(name for name in sample.column_names if pa.types.is_floating(sample.schema.field(name).type))
    moved = pa.array([value + number * 1e-7 for value in sample[column].to_pylist()], sample.schema.field(column).type)
    table = sample.set_column(sample.column_names.index(column), column, moved)
    marks = pa.array([drop] * table.num_rows).dictionary_encode()
    return table.set_column(table.column_names.index("_drop"), "_drop", marks)


def _commit(home: Home, journal: Journal, history: "History", seq: int) -> list[SegmentRow]:
    live = journal.segments.current()
    commit, folder = history.commit(seq, live)
    journal.batches.commit(seq, commit, folder)
    for name, md5 in history.leave(live):
        _object(home, md5).parent.mkdir(exist_ok=True)
        (home.segments / name).replace(_object(home, md5))
        _stamp(home, md5)
    return live


def _copy_to_cache(home: Home, live: Mapping[str, str]) -> None:
    for name, md5 in live.items():
        if not (target := _object(home, md5)).exists():
            target.parent.mkdir(exist_ok=True)
            shutil.copy2(home.segments / name, target)
            _stamp(home, md5)


def _stamp(home: Home, md5: str) -> None:
    os.utime(_object(home, md5), ns=(SECURED, SECURED))


def _object(home: Home, md5: str) -> Path:
    return home.data / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


class History:
    """Commits of DVC's pointer through one `git fast-import`."""

    def __init__(self, home: Home, feed: IO[bytes], answers: IO[bytes]) -> None:
        self._home, self._feed, self._answers = home, feed, answers
        self._pointer = (home.data / "dataset.dvc").read_text()
        self._parent = _git(home, "rev-parse", "HEAD").strip()
        self._number = 0
        self.live: dict[str, str] = {}
        """Segments of the newest commit: name to md5."""

    @classmethod
    @contextmanager
    def open(cls, home: Home) -> Iterator["History"]:
        """Begin at the present commit; at the end files and index of the repository are those of the last one."""
        # Without the limit, so many commits would come as one pack, and git would find things sooner than in real life.
        command = ["git", "-c", "fastimport.unpackLimit=100000000", "fast-import", "--quiet", "--date-format=now"]
        process = subprocess.Popen(command, cwd=home.data, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        history = cls(home, process.stdin, process.stdout)
        try:
            yield history
        finally:
            process.stdin.close()
            process.wait()
            process.stdout.close()
        if process.returncode:
            raise RuntimeError("git fast-import failed")
        (home.data / "dataset.dvc").write_text(history._pointer)
        _git(home, "reset", "-q")

    def commit(self, seq: int, live: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
        """Commit the pointer to these segments; git's name of the commit and DVC's md5 of the list."""
        entries = sorted(({"md5": row["md5"], "relpath": row["name"]} for row in live), key=lambda row: row["relpath"])
        listed = b"[" + b", ".join(_entry(entry) for entry in entries) + b"]"
        folder = hashlib.md5(listed, usedforsecurity=False).hexdigest() + ".dir"
        path = _object(self._home, folder)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(listed)
        path.chmod(0o444)
        _stamp(self._home, folder)
        self._pointer = _pointing(self._pointer, folder, sum(row["bytes"] for row in live), len(live))
        self._number += 1
        text, message = self._pointer.encode(), f"Batch {seq}\n\nBatch-Id: {seq}\nDvc-Md5: {folder}\n".encode()
        self._feed.write(
            b"commit refs/heads/main\nmark :%d\ncommitter retraind <retraind@localhost> now\ndata %d\n%b"
            b"from %b\nM 100644 inline dataset.dvc\ndata %d\n%b\nget-mark :%d\n"
            % (self._number, len(message), message, self._parent.encode(), len(text), text, self._number)
        )
        self._feed.flush()
        self._parent = f":{self._number}"
        return self._answers.readline().decode().strip(), folder

    def leave(self, live: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
        """Name and md5 of segments that were in the commit before and are not among `live`."""
        known = {row["name"]: row["md5"] for row in live}
        gone = [(name, md5) for name, md5 in self.live.items() if name not in known]
        self.live = known
        return gone


def _entry(entry: Mapping[str, str]) -> bytes:
    return orjson.dumps(entry).replace(b'":"', b'": "').replace(b'","', b'", "')


def _pointing(text: str, md5: str, size: int, files: int) -> str:
    """The text of `dataset.dvc`, pointing to another list."""
    for key, value in (("md5", md5), ("size", size), ("nfiles", files)):
        text = re.sub(rf"(\b{key}: ).*", rf"\g<1>{value}", text, count=1)
    return text


def _git(home: Home, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=home.data, check=True, capture_output=True, text=True).stdout
