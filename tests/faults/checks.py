"""What has to hold after every fault, once a process without faults has finished the work."""

import hashlib
import subprocess
from collections import Counter
from pathlib import Path
from typing import Literal, Protocol

import orjson
import pyarrow.parquet as pq
from wiring import BAD, FILES, FIRST, FORGOTTEN, HEADER, LABELLED, LATER, ONLY, SAMPLE, SPOILT, Parts, put, rows_text

from retraind.daemon.core import durable, requests
from retraind.daemon.core.home import Home
from retraind.daemon.core.inbox_names import REPORT
from retraind.daemon.dataset import segments
from retraind.daemon.dataset.dataset import Dataset
from retraind.daemon.records.query import ask
from retraind.daemon.storage.journal import Journal


class Opened(Protocol):
    """An opened home: `segments` gives `sha256` or `md5` of each segment that the dataset consists of, by name."""

    home: Home
    journal: Journal
    dataset: Dataset

    def segments(self, what: Literal["sha256", "md5"]) -> dict[str, str]: ...


def lengths(parts: Parts) -> Counter[float]:
    """The first column of every row of the dataset, as a training would read it; verifies each segment's sha256."""
    tables = [table for _, table in segments.read(parts.home.segments, parts.segments("sha256"))]
    return Counter(length for table in tables for length in table["sepal_length"].to_pylist())


def expected(*numbers: range) -> Counter[float]:
    """What `lengths` has to give for the rows of these numbers."""
    return Counter(number / 8 for some in numbers for number in some)


def check(parts: Parts, *, first: bool, dvc: bool) -> None:
    """Everything that must be true; `first`: the home had never been started; `dvc`: also ask DVC, which takes a second."""
    rows = expected(FILES[ONLY]) if first else expected(FIRST, *FILES.values()) + Counter([SAMPLE, LABELLED])
    _check_rows(parts, rows)
    if not first:
        _check_rejected(parts.home)
        refused = ask(parts.home.journal, "SELECT name FROM drops WHERE state IN ('rejected', 'duplicate')")
        assert [row["name"] for row in refused] == list(BAD), "recorded twice"
        _check_forgotten(parts)
    put(parts.home, "later.csv", rows_text(LATER))
    assert parts.run(), "the next drop is not taken"
    _check_rows(parts, rows + expected(LATER))
    if dvc:
        from dvc.repo import Repo

        with Repo(str(parts.home.data)) as repo:
            assert repo.status() == {}


def _check_rows(parts: Parts, rows: Counter[float]) -> None:
    stored = lengths(parts)
    assert stored == rows, f"lost {rows - stored}, too many {stored - rows}"
    assert {path.name for path in parts.home.inbox.iterdir()} == {"rejected"}
    check_objects(parts)
    check_git(parts)


def _check_rejected(home: Home) -> None:
    """The rejected file and the bad rows are kept, each once, and every report is that of a file."""
    kept = {path.name: path.read_bytes() for path in home.rejected.iterdir()}
    [rows] = [content for name, content in kept.items() if name.endswith(".bad.csv")]
    lines = rows.decode().splitlines()
    assert HEADER.strip() in lines[0]
    assert [line.count(spoilt) for line, spoilt in zip(lines[1:], SPOILT, strict=True)] == [1, 1]
    reports = {name for name in kept if name.endswith(REPORT)}
    files = {name: content for name, content in kept.items() if name not in reports and not name.endswith(".bad.csv")}
    assert list(files.values()) == list(BAD.values())
    assert {f"{name}{REPORT}" for name in files} == reports
    for name in reports:
        assert orjson.loads(kept[name])["reason"]


def _check_forgotten(parts: Parts) -> None:
    """The drop is forgotten once, the request is answered, and no object of DVC's cache has a row of it."""
    assert [batch["rows"] for batch in parts.journal.batches.all() if batch["kind"] == "forget"] == [-len(FORGOTTEN)]
    assert not requests.pending(parts.home)
    assert not parts.journal.requests.queued()
    objects = (parts.home.data / ".dvc/cache/files/md5").glob("*/*")
    tables = [pq.read_table(path, columns=["sepal_length"]) for path in objects if path.suffix != ".dir"]
    stored = {length for table in tables for length in table["sepal_length"].to_pylist()}
    assert not stored & set(expected(FORGOTTEN)), "rows in DVC's cache"


def check_objects(parts: Opened) -> None:
    """DVC's cache holds every segment under its md5, whole."""
    for name, md5 in parts.segments("md5").items():
        path = parts.home.data / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        assert hashlib.md5(path.read_bytes()).hexdigest() == md5, f"object of {name}"
        assert durable.sha256_file(path) == parts.segments("sha256")[name]


def check_git(parts: Opened) -> None:
    """The repository is sound, has one commit for each batch, and its newest is the journal's newest revision."""
    git = ["git", "-c", "safe.directory=*", "-C", str(parts.home.data)]
    done = subprocess.run([*git, "fsck", "--strict", "--no-dangling"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
    status = subprocess.run([*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True)
    assert status.stdout == "", status.stdout
    log = subprocess.run([*git, "log", "--format=%H %(trailers:key=Batch-Id,valueonly,separator=%x2C)"],
                         capture_output=True, text=True).stdout.splitlines()  # fmt: skip
    batches = [line.split()[1] for line in log]
    revision = parts.dataset.revision()
    assert revision is not None
    assert batches == [str(batch["seq"]) for batch in reversed(parts.journal.batches.all())]
    assert log[0].split()[0] == revision.commit == parts.journal.batches.committed().revision
    listed = orjson.loads(_folder_object(parts.home, revision.dvc_md5).read_bytes())
    assert {entry["relpath"]: entry["md5"] for entry in listed} == parts.segments("md5")
    assert {path.name for path in parts.home.segments.iterdir()} == parts.segments("md5").keys()


def _folder_object(home: Home, md5: str) -> Path:
    return home.data / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
