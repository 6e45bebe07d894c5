"""daemon.ingest.ingestion, with batch_intake, batch_record, batch_commit, drop_opening, read_attempts and refused_drops: drops become rows exactly once.

Also daemon.ingest.reading (reader, reading, quarantine_file, joined_files). Real git, DVC, SQLite and folders.
"""

import contextlib
import errno
import gzip
import itertools
import os
import sqlite3
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
from conftest import names
from ingesting import HEADER, Killed, grow
from ingesting import Parts as Parts  # noqa: PLC0414 - others find it here, too
from ingesting import row as row  # noqa: PLC0414

from daemon.core import durable, requests, shared_folder
from daemon.core.errors import Unavailable
from daemon.core.home import Home
from daemon.core.settings import Inbox as Limits
from daemon.core.settings import Settings
from daemon.dataset import segment_tiers, segment_writer, segments
from daemon.inbox.drop import Drop
from daemon.inbox.inbox import Inbox
from daemon.inbox.settling import Stamp
from daemon.schema import labelled_row
from daemon.schema import schema as schema_module
from daemon.schema.schema import Schema
from daemon.tabular import file_content


@pytest.fixture
def parts(home: Home, schema: Schema) -> Iterator[Parts]:
    assert schema
    parts = Parts(home)
    yield parts
    parts.close()


FILES = [(f"{number}.csv", HEADER + row(number)) for number in range(segment_tiers.FAN)]
"""Drops of a row each, as many as a merge needs."""


@pytest.fixture
def full_tier(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """An ingestion that has taken FILES, each as a batch, and has not begun to merge them."""
    grow(home, FILES, tmp_path_factory)
    parts = Parts(home)
    yield parts
    parts.close()


def bad_rows(parts: Parts, name: str) -> Path:
    """The only file of refused rows of drops with this name."""
    [file] = parts.home.rejected.glob(f"{name}.????????.bad.csv")
    return file


def test_drop_becomes_a_revision_and_leaves_the_inbox(parts: Parts, iris: bytes) -> None:
    """150 rows, one batch, one commit, nothing left in the inbox."""
    parts.drop("iris.csv", iris)
    parts.run()
    assert len(parts.lengths) == 150
    [batch] = parts.journal.batches.all()
    revision = parts.dataset.revision()
    assert revision is not None
    assert (batch["state"], batch["revision"], batch["dvc_md5"]) == ("committed", revision.commit, revision.dvc_md5)
    assert parts.waiting == []
    [drop] = parts.journal.drops.of_batch(1)
    assert (drop["rows_read"], drop["rows_accepted"], drop["rows_refused"]) == (150, 150, 0)


def test_many_drops_are_one_batch(parts: Parts, schema: Schema) -> None:
    """What is ready together, files and samples, is committed together; each row knows its drop and its source."""
    for number in range(5):
        parts.drop(f"{number}.csv", HEADER + row(number) + row(number + 0.5))
    labelled_row.drop(parts.home, labelled_row.make(schema, [9, 1, 1, 1], "virginica"))
    parts.run()
    assert parts.lengths == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 9]
    [batch] = parts.journal.batches.all()
    [(_, table)] = segments.read(parts.home.segments, {batch["segment"]: batch["sha256"]})
    assert len(set(table["_drop"].to_pylist())) == 6
    assert table["_source"].to_pylist().count("http") == 1


def test_batches_are_bounded(home: Home, parts: Parts) -> None:
    """More drops than a batch may hold become several batches, and each drop is taken once."""
    parts.close()
    parts.settings = Settings(inbox=Limits(settle_seconds=0.0, batch_drops=2))
    parts.open()
    for number in range(5):
        parts.drop(f"{number}.csv", HEADER + row(number))
    parts.run()
    assert parts.lengths == [0, 1, 2, 3, 4]
    assert [batch["rows"] for batch in parts.journal.batches.all()] == [2, 2, 1]


def test_same_bytes_count_once(parts: Parts) -> None:
    """A copy beside the first, and one dropped later under another name, are duplicates of its batch."""
    parts.drop("a.csv", HEADER + row(1))
    parts.drop("b.csv", HEADER + row(1))
    parts.run()
    parts.drop("c.csv", HEADER + row(1))
    parts.drop("d.csv", HEADER + row(2))
    parts.run()
    assert parts.lengths == [1, 2]
    assert sorted(parts.drops()) == [
        ("a.csv", "accepted"),
        ("b.csv", "duplicate"),
        ("c.csv", "duplicate"),
        ("d.csv", "accepted"),
    ]
    assert parts.waiting == []


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("", None, None),
        (HEADER + "x,1,1,1,setosa\n", 2, "sepal_length"),
        (b"\xff\xfe", 1, None),
        ("a,b\n1,2\n", 1, "sepal_length"),
    ],
)
def test_bad_drop_is_kept_with_a_report_and_holds_nothing_back(
    parts: Parts, text: str | bytes, line: int | None, column: str | None
) -> None:
    """The good drop beside it is taken; the bad one lies in rejected/ whole, with line, column and reason."""
    parts.drop("bad.csv", text)
    parts.drop("good.csv", HEADER + row(7))
    parts.run()
    assert parts.lengths == [7]
    assert parts.waiting == []
    kept = (parts.home.rejected / "bad.csv").read_bytes()
    assert kept == (text if isinstance(text, bytes) else text.encode())
    report = orjson.loads((parts.home.rejected / "bad.csv.report.json").read_bytes())
    assert (report["line"], report["column"], report["sha256"]) == (line, column, durable.sha256(kept))
    assert report["reason"]
    assert ("bad.csv", "rejected") in parts.drops()


def test_rejected_bytes_may_come_again(parts: Parts) -> None:
    """Dropping a bad file twice is rejected twice, and nothing is lost or replaced."""
    for _ in range(2):
        parts.drop("bad.csv", "nonsense")
        parts.run()
    assert parts.drops() == [("bad.csv", "rejected")] * 2
    assert (parts.home.rejected / "2-bad.csv").exists()


def test_drop_over_the_size_limit_is_rejected_unread(parts: Parts) -> None:
    """A file that is too large for memory goes to rejected/ without having been read."""
    parts.close()
    parts.settings = Settings(inbox=Limits(settle_seconds=0.0, max_bytes=100))
    parts.open()
    parts.drop("big.csv", HEADER + row(1) * 10)
    parts.drop("small.csv", HEADER + row(2))
    parts.run()
    assert parts.lengths == [2]
    assert ("big.csv", "rejected") in parts.drops()


@pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9.csv"), "\N{HERB}" * 60 + ".csv", "a b'\"; DROP.csv"])
def test_any_name_goes_through(parts: Parts, name: str) -> None:
    """Accepted, dropped again as a duplicate, and rejected: names of any kind end nowhere but in the journal."""
    for text in (HEADER + row(1), HEADER + row(1), "nonsense"):
        parts.drop(name, text)
        parts.run()
    assert parts.lengths == [1]
    assert parts.waiting == []


def test_without_a_schema_drops_wait(home: Home, parts: Parts) -> None:
    """Until `init` has written one, nothing is judged; then the drop is taken."""
    text = home.schema.read_bytes()
    home.schema.unlink()
    parts.drop("a.csv", HEADER + row(1))
    parts.run()
    assert parts.waiting == ["a.csv"]
    durable.write(home.schema, text)
    parts.run()
    assert parts.lengths == [1]


def test_file_that_is_replaced_while_it_is_taken_is_another_drop(parts: Parts) -> None:
    """Bytes that come under the same name between reading and clearing are neither lost nor removed."""
    parts.drop("a.csv", HEADER + row(1))
    while not parts.journal.batches.all():
        parts.ingestion.step(100.0)
    parts.drop("a.csv", HEADER + row(2))
    parts.run()
    assert parts.lengths == [1, 2]


def cut(parts: Parts, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process end right after (`+`) or right before (`-`) one call, once."""
    where, name = step[0], step[1:]
    owners = {"write": segment_writer, "dataset_commit": parts.dataset, "quarantine": parts.inbox, "clear": parts.inbox}
    owners |= {"reject": parts.inbox, "refuse": parts.journal.drops}
    owner = owners.get(name, parts.journal.batches)
    name = name.removeprefix("dataset_")
    real: Callable[..., object] = getattr(owner, name)

    def call(*arguments: object, **named: object) -> object:
        if where == "+":
            real(*arguments, **named)
        raise Killed

    monkeypatch.setattr(owner, name, call)


@pytest.mark.parametrize(
    "step",
    [f"{where}{call}" for where in "-+" for call in ("write", "quarantine", "accept", "dataset_commit", "commit", "clear", "refuse", "reject")],
)  # fmt: skip
def test_end_at_any_step_loses_and_doubles_nothing(parts: Parts, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the process ends, the next one finishes: each row once, the bad file rejected, the inbox empty."""
    parts.drop("a.csv", HEADER + row(1) + row(2))
    parts.drop("b.csv", HEADER + row(3) + "x,1,1,1,setosa\n")
    parts.drop("bad.csv", "nonsense")
    with monkeypatch.context() as patch:
        cut(parts, step, patch)
        with pytest.raises(Killed):
            parts.run()
    parts.reopen()
    parts.run()
    assert parts.lengths == [1, 2, 3]
    assert {batch["state"] for batch in parts.journal.batches.all()} == {"committed"}
    assert parts.waiting == []
    assert (parts.home.rejected / "bad.csv").exists()
    assert sorted(parts.drops()) == [("a.csv", "accepted"), ("b.csv", "accepted"), ("bad.csv", "rejected")]
    assert [bad_rows(parts, "b.csv")] == list(parts.home.rejected.glob("*.bad.csv"))
    parts.reopen()
    parts.run()
    assert parts.lengths == [1, 2, 3]


@pytest.mark.parametrize("where", "-+")
def test_end_between_the_record_and_the_removal_records_nothing_twice(
    parts: Parts, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what is refused, and of what adds nothing; a file that comes back later is judged again."""
    parts.drop("a.csv", HEADER + row(1))
    parts.run()
    parts.drop("again.csv", HEADER + row(1))
    parts.drop("bad.csv", "nonsense")
    with monkeypatch.context() as patch:
        cut(parts, f"{where}clear", patch)
        with pytest.raises(Killed):
            parts.run()
    parts.reopen()
    parts.run()
    once = [("a.csv", "accepted"), ("again.csv", "duplicate"), ("bad.csv", "rejected")]
    assert (sorted(parts.drops()), parts.waiting) == (once, [])
    assert orjson.loads((parts.home.rejected / "bad.csv.report.json").read_bytes())["reason"]
    parts.reopen()
    (parts.home.rejected / "bad.csv").rename(parts.home.inbox / "bad.csv")
    parts.run()
    assert sorted(parts.drops()) == [*once, ("bad.csv", "rejected")]


def test_bad_rows_go_into_quarantine_and_come_back_corrected(parts: Parts) -> None:
    """The good rows are accepted. The bad ones are in rejected/, verbatim, with line, column and reason; corrected, they are accepted."""
    parts.drop("a.csv", HEADER + row(1) + "x,3.5,1.4,0.2,setosa\n" + row(2) + '3,3.5,1.4,0.2,"ro\nse"\n4,1\n')
    parts.run()
    assert parts.lengths == [1, 2]
    bad = bad_rows(parts, "a.csv")
    lines = bad.read_text().splitlines()
    assert lines[0] == "_line,_column,_reason," + HEADER.strip()
    assert lines[1].startswith("3,sepal_length,")
    assert lines[1].endswith(",x,3.5,1.4,0.2,setosa")
    assert lines[2].startswith("5,species,")
    assert lines[4].startswith("7,,")
    [drop] = parts.journal.drops.of_batch(1)
    assert (drop["rows_read"], drop["rows_accepted"], drop["rows_refused"]) == (5, 2, 3)
    assert (drop["line"], drop["column"], drop["bad_file"]) == (3, "sepal_length", bad.name)
    mended = bad.read_text().replace(",x,3.5", ",3,3.5").replace('"ro\nse"', "setosa")
    parts.drop("mended.csv", mended)
    parts.run()
    assert parts.lengths == [1, 2, 3, 3]
    again = bad_rows(parts, "mended.csv").read_text().splitlines()
    assert again[0] == lines[0]
    assert again[1].endswith(",4,1")


def test_many_small_files_are_read_as_one(parts: Parts) -> None:
    """Torn rows, bad cells, no final line end, other headers: each file gets what it gets when it comes alone."""
    other = "species,sepal_length,sepal_width,petal_length,petal_width\n"
    texts = {
        "a.csv": HEADER + row(1) + row(2),
        "b.csv": HEADER + row(3).strip(),
        "c.csv": HEADER + "x,1,1,1,setosa\n" + row(4) + "1,2\n",
        "d.csv": HEADER + "1,2\n",
        "e.csv": other + "setosa,5,1,1,1\n",
        "f.csv": HEADER + '"6",1,1,1,setosa\r\n',
        "g.csv": "\ufeff" + HEADER + row(7),
        "h.csv": HEADER + "\n\n" + row(8),
    }
    for name, text in texts.items():
        parts.drop(name, text)
    parts.run()
    assert parts.lengths == [1, 2, 3, 4, 5, 6, 7, 8]
    assert ("d.csv", "rejected") in parts.drops()
    outcomes = {drop["name"]: drop for drop in parts.journal.drops.of_batch(1)}
    assert {name: drop["rows_accepted"] for name, drop in outcomes.items()} == {
        "a.csv": 2, "b.csv": 1, "c.csv": 1, "e.csv": 1, "f.csv": 1, "g.csv": 1, "h.csv": 1,
    }  # fmt: skip
    assert (outcomes["c.csv"]["line"], outcomes["c.csv"]["rows_refused"]) == (2, 2)
    known = {one["name"]: one["sha256"] for one in parts.journal.segments.current()}
    [(_, table)] = segments.read(parts.home.segments, known)
    place = {(drop, number) for drop, number in zip(table["_drop"].to_pylist(), table["_row"].to_pylist(), strict=True)}
    assert (outcomes["c.csv"]["sha256"], 1) in place
    assert len(place) == 8


def test_large_file_comes_in_parts(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than fits into memory: many steps, one segment, the same rows."""
    monkeypatch.setattr(file_content, "SMALL_BYTES", 1000)
    parts.drop("big.csv", HEADER + "".join(row(number) for number in range(300)) + "x,1,1,1,setosa\n")
    parts.drop("packed.csv.gz", gzip.compress((HEADER + "".join(row(1000 + n) for n in range(300))).encode()))
    parts.drop("small.csv", HEADER + row(5000))
    parts.run()
    assert parts.lengths == [*range(300), *range(1000, 1300), 5000]
    assert [batch["rows"] for batch in parts.journal.batches.all()] == [300, 300, 1]
    assert bad_rows(parts, "big.csv").read_text().splitlines()[1].startswith("302,sepal_length,")


def test_packed_file_is_inflated_in_steps(parts: Parts) -> None:
    """Half a megabyte that becomes a hundred: the loop has its turn in between."""
    parts.drop("zeros.csv.gz", gzip.compress(bytes(4 * file_content.PIECE_BYTES + 1), 1))
    parts.now += 5
    steps = 0
    while not parts.drops():
        assert parts.ingestion.step(parts.now)
        steps += 1
    assert parts.drops() == [("zeros.csv.gz", "rejected")]
    assert steps > 4


def test_reject_file_takes_all_or_nothing(home: Home, parts: Parts) -> None:
    """With bad_rows = reject_file one bad row refuses its drop, small, large or among others; nothing of it stays."""
    parts.close()
    parts.settings = Settings(inbox=Limits(settle_seconds=0.0, bad_rows="reject_file"))
    parts.open()
    for name, text in {"a.csv": row(1), "b.csv": row(2) + "x,1,1,1,setosa\n", "c.csv": row(3) + "1\n"}.items():
        parts.drop(name, HEADER + text)
    parts.run()
    assert parts.lengths == [1]
    assert (home.rejected / "b.csv").exists()
    assert orjson.loads((home.rejected / "c.csv.report.json").read_bytes())["line"] == 3


def test_many_batches_stay_few_segments(full_tier: Parts) -> None:
    """Small segments are merged; rows, their order and git's history stay; DVC's list is the journal's."""
    parts = full_tier
    parts.drop("a.csv", HEADER + row(segment_tiers.FAN))
    parts.run()
    assert len(names(parts.home.segments)) == 2
    assert parts.lengths == list(range(segment_tiers.FAN + 1))
    newest = parts.journal.batches.committed()
    assert newest.rows == segment_tiers.FAN + 1
    parts.reopen()
    assert len(names(parts.home.segments)) == 2
    assert not (parts.home.data / "orphans").exists()


def steps_of_a_merge(parts: Parts) -> Iterator[int]:
    """Merge a full tier; pauses before the first step and after each, and counts these moments."""
    for moment in itertools.count():
        yield moment
        if not parts.ingestion.step(parts.now):
            return


@pytest.mark.parametrize("moment", range(5))
def test_drop_that_comes_in_any_step_of_a_merge_stops_nothing(full_tier: Parts, moment: int) -> None:
    """No file of the dataset has a name that the journal does not know, so nothing is set aside, and all rows stay."""
    parts = full_tier
    for now in steps_of_a_merge(parts):
        assert {path.name for path in parts.home.segments.iterdir()} >= {
            segment["name"] for segment in parts.journal.segments.current()
        }
        if now == moment:
            parts.drop("between.csv", HEADER + row(200))
            parts.now += 100
    parts.drop("after.csv", HEADER + row(300))
    parts.run()
    assert "merge" in [batch["kind"] for batch in parts.journal.batches.all()]
    assert parts.lengths == [*range(segment_tiers.FAN), 200, 300]
    assert not parts.home.orphans.exists()


@pytest.mark.parametrize("moment", range(5))
def test_drop_forgotten_in_any_step_of_a_merge_is_nowhere(full_tier: Parts, moment: int) -> None:
    """A merge that has begun with the drop's segment writes no row of it into a file that stays."""
    parts = full_tier
    for now in steps_of_a_merge(parts):
        if now == moment:
            requests.submit(parts.home, "forget", drop=durable.sha256((HEADER + row(3)).encode()), purge=True)
    parts.run()
    assert ("3.csv", "forgotten") in parts.drops()
    assert parts.lengths == sorted({*range(segment_tiers.FAN)} - {3})
    for path in parts.home.data.rglob("*"):
        if path.is_file() and path.read_bytes()[:4] == b"PAR1":
            assert 3 not in pq.read_table(path, columns=["sepal_length"])["sepal_length"].to_pylist(), path


@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("name", ["", "renamed.parquet"])
def test_segment_among_the_orphans_comes_back(full_tier: Parts, restart: bool, name: str) -> None:
    """What the journal names is found by its bytes wherever it was set aside, and leaves that folder."""
    parts = full_tier
    for _ in steps_of_a_merge(parts):
        pass
    [merged] = (one["name"] for one in parts.journal.segments.current())
    parts.home.orphans.mkdir()
    (parts.home.segments / merged).rename(parts.home.orphans / (name or merged))
    if restart:
        parts.reopen()
    parts.drop("after.csv", HEADER + row(300))
    parts.run()
    assert parts.lengths == [*range(segment_tiers.FAN), 300]
    assert names(parts.home.orphans) == []


@pytest.mark.parametrize("step", ["-merge", "+merge", "-dataset_commit", "+dataset_commit", "-commit"])
def test_end_in_a_merge_loses_and_doubles_nothing(full_tier: Parts, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A merge that is cut off is done again or finished; no segment is lost, none stays behind."""
    parts = full_tier
    with monkeypatch.context() as patch:
        cut(parts, step, patch)
        with pytest.raises(Killed):
            parts.run()
    parts.reopen()
    parts.run()
    assert parts.lengths == [*range(segment_tiers.FAN)]
    assert len(parts.journal.segments.current()) == 1
    assert parts.dataset.folder.verify({one["name"]: one["sha256"] for one in parts.journal.segments.current()}) == []


def test_drop_that_ends_the_process_is_found_and_given_up(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file that kills whoever reads it: the others get through, and it is rejected after some attempts."""
    for number in range(8):
        parts.drop(f"{number}.csv", HEADER + row(number))
    real = Inbox.reading

    def reading(inbox: Inbox, name: str, stamp: Stamp) -> Generator[None, None, Drop | None]:
        if name == "5.csv":
            raise Killed
        return (yield from real(inbox, name, stamp))

    monkeypatch.setattr(Inbox, "reading", reading)
    deaths = 0
    while True:
        try:
            parts.run()
            break
        except Killed:
            deaths += 1
            assert deaths < 20
            parts.reopen()
    assert parts.lengths == [0, 1, 2, 3, 4, 6, 7]
    assert ("5.csv", "rejected") in parts.drops()


def test_full_disk_is_not_the_drops_fault(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often there is no space, the drop waits and is taken when there is."""
    parts.drop("a.csv", HEADER + row(1))
    with monkeypatch.context() as patch:
        patch.setattr(segment_writer, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        for _ in range(6):
            with pytest.raises(OSError, match="space"):
                parts.run()
            parts.now += 100
    parts.reopen()
    parts.run()
    assert parts.lengths == [1]


def test_schema_grows_with_the_data_that_needs_it(home: Home, parts: Parts) -> None:
    """Accepted classes and columns are in schema.json, committed with the batch, and told."""
    parts.close()
    parts.settings = Settings(inbox=Limits(settle_seconds=0.0, new_classes="accept", extra_columns="add"))
    parts.open()
    parts.drop("a.csv", HEADER + row(1))
    parts.run()
    parts.drop("b.csv", HEADER.strip() + ",hour\n2,1,1,1,rosa,7\n")
    parts.run()
    grown = schema_module.load(home.schema)
    assert grown is not None
    assert grown.classes[-1] == "rosa"
    assert grown.columns[-1].name == "hour"
    shown = subprocess.run(["git", "show", "HEAD:schema.json"], cwd=home.data, capture_output=True, check=True)
    assert shown.stdout == home.schema.read_bytes()
    assert parts.lengths == [1, 2]


def test_segment_that_could_not_be_recorded_blocks_no_other(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal's disk is full after the segment was written: nothing stays behind, and later the drop is taken once."""
    parts.drop("a.csv", HEADER + row(1))
    with monkeypatch.context() as patch:
        patch.setattr(
            parts.journal.batches, "accept", lambda *_: (_ for _ in ()).throw(Unavailable("The journal is full."))
        )
        with pytest.raises(Unavailable):
            parts.run()
    assert names(parts.home.segments) == []
    parts.now += 100
    parts.run()
    assert parts.lengths == [1]


def test_drop_that_always_raises_is_given_up_without_a_restart(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unforeseen error in one file: halving identifies the file while the daemon runs on."""
    for number in range(4):
        parts.drop(f"{number}.csv", HEADER + row(number))
    real = Inbox.reading

    def reading(inbox: Inbox, name: str, stamp: Stamp) -> Generator[None, None, Drop | None]:
        if name == "2.csv":
            raise ValueError("nobody thought of this")
        return (yield from real(inbox, name, stamp))

    monkeypatch.setattr(Inbox, "reading", reading)
    failures = 0
    while True:
        try:
            parts.run()
            break
        except ValueError:
            failures += 1
            assert failures < 15
    assert parts.lengths == [0, 1, 3]
    assert ("2.csv", "rejected") in parts.drops()


def test_failure_of_the_machine_on_one_drop_holds_up_no_other(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine lacks for one file: it is never given up, and its neighbours do not wait for it."""
    for number in range(5):
        parts.drop(f"{number}.csv", HEADER + row(number))
    real = Inbox.reading

    def reading(inbox: Inbox, name: str, stamp: Stamp) -> Generator[None, None, Drop | None]:
        if name == "2.csv":
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        return (yield from real(inbox, name, stamp))

    with monkeypatch.context() as patch:
        patch.setattr(Inbox, "reading", reading)
        for _ in range(20):
            with contextlib.suppress(OSError):
                parts.run()
    assert parts.lengths == [0, 1, 3, 4]
    assert parts.waiting == ["2.csv"]
    parts.now += 100
    parts.run()
    assert parts.lengths == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE])
def test_drop_that_cannot_be_read_holds_up_no_step(parts: Parts, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """The others of its batch are taken in the same step, nothing fails, and the journal says it once."""
    for number in range(5):
        parts.drop(f"{number}.csv", HEADER + row(number))
    real = shared_folder.Folder.open

    def broken(place: shared_folder.Folder, name: str, flags: int = shared_folder.READING) -> int:
        if name == "2.csv":
            raise OSError(code, os.strerror(code))
        return real(place, name, flags)

    with monkeypatch.context() as patch:
        patch.setattr(shared_folder.Folder, "open", broken)
        for _ in range(3):
            parts.now += 100
            parts.run()
        assert parts.lengths == [0, 1, 3, 4]
    with closing(sqlite3.connect(parts.home.journal)) as connection:
        [(message,)] = connection.execute("SELECT message FROM events WHERE kind = 'problem'").fetchall()
    assert message.startswith("2.csv can't be read: ")
    parts.now += 100
    parts.run()
    assert parts.lengths == [0, 1, 2, 3, 4]


def test_being_stopped_is_not_the_drops_fault(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the daemon is stopped while it reads a large file, the file is taken in the end."""
    monkeypatch.setattr(file_content, "SMALL_BYTES", 1000)
    parts.drop("big.csv", HEADER + "".join(row(number) for number in range(100)))
    for _ in range(5):
        parts.now += 100
        assert parts.ingestion.step(parts.now)
        parts.ingestion.step(parts.now)
        parts.ingestion.close()
        parts.reopen()
    parts.run()
    assert len(parts.lengths) == 100


def test_edit_of_the_schema_survives_growth(home: Home, parts: Parts) -> None:
    """schema.json is edited while a batch that extends it is read: the batch is read again with the edit."""
    parts.close()
    parts.settings = Settings(inbox=Limits(settle_seconds=0.0, new_classes="accept"))
    parts.open()
    parts.drop("a.csv", HEADER + row(1) + "2,1,1,1,rosa\n")
    real = segment_writer.write

    parts.now += 100
    assert parts.ingestion.step(parts.now)
    edited = home.schema.read_text().replace('"missing": false', '"missing": true', 1)
    assert parts.ingestion.step(parts.now)
    home.schema.write_text(edited)
    with pytest.raises(Unavailable, match="changed meanwhile"):
        parts.run()
    parts.now += 100
    parts.run()
    assert segment_writer.write is real
    grown = schema_module.load(home.schema)
    assert grown is not None
    assert grown.columns[0].missing
    assert grown.classes[-1] == "rosa"
    assert parts.lengths == [1, 2]


def test_kind_edited_by_hand_stops_neither_merging_nor_drops(
    home: Home, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Segments of two types are not merged; those of one still are, and drops go on."""
    monkeypatch.setattr(segment_tiers, "FAN", 4)
    grow(home, FILES[:3], tmp_path_factory)
    parts = Parts(home)
    text = home.schema.read_text().replace('"kind": "number"', '"kind": "category"', 1)
    home.schema.write_text(text)
    for number in range(3, 3 + segment_tiers.FAN + 2):
        parts.drop("a.csv", HEADER + row(number))
        parts.run()
    assert len(parts.journal.segments.current()) == 3 + 1 + 2
    assert parts.journal.batches.committed().rows == 3 + segment_tiers.FAN + 2
    parts.close()


def test_name_that_is_not_utf8_with_a_bad_row(home: Home, parts: Parts) -> None:
    """The good rows are taken; the quarantine file has the drop's own name."""
    parts.drop(os.fsdecode(b"caf\xe9.csv"), HEADER + row(1) + "x,1,1,1,setosa\n")
    parts.run()
    assert parts.lengths == [1]
    assert len(list(home.rejected.iterdir())) == 1


def test_name_that_is_not_utf8_is_one_record(home: Home, parts: Parts) -> None:
    """The file goes once its rows are committed; it does not come again as a duplicate of itself."""
    parts.drop(os.fsdecode(b"caf\xe9.csv"), HEADER + row(1))
    parts.run()
    parts.run()
    assert parts.drops() == [("caf\N{REPLACEMENT CHARACTER}.csv", "accepted")]
    assert [path for path in home.inbox.iterdir() if path.is_file()] == []


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("x,y\n" + "1,2\n" * 7, "quarantine"),
        (HEADER + "x,1,1,1,setosa\n" * 7, "quarantine"),
        (HEADER + "\r\n".join(["x,1,1,1,setosa", *["1,1,1,1,setosa"] * 6]), "reject_file"),
    ],
)
def test_a_file_refused_whole_counts_all_its_rows(home: Home, schema: Schema, text: str, policy: Any) -> None:
    """Whether its header did not fit, all its rows were bad, or one of them was enough."""
    assert schema
    with closing(Parts(home, Settings(inbox=Limits(settle_seconds=0, bad_rows=policy)))) as parts:
        parts.drop("a.csv", text)
        parts.run()
    with closing(sqlite3.connect(home.journal)) as connection:
        recorded = connection.execute("SELECT state, rows_read, rows_refused FROM drops").fetchall()
    assert recorded == [("rejected", 7, 7)]
    (report,) = home.rejected.glob("*.report.json")
    assert orjson.loads(report.read_bytes())["rows_read"] == 7


def test_same_bytes_of_which_the_first_is_refused(parts: Parts) -> None:
    """A CSV text under the name of a sample is no sample; the same bytes under a good name are a good drop."""
    parts.drop("a.sample.json", HEADER + row(1))
    parts.drop("b.csv", HEADER + row(1))
    parts.run()
    assert parts.lengths == [1]
    assert sorted(parts.drops()) == [("a.sample.json", "rejected"), ("b.csv", "accepted")]
