"""Ingestion that is killed, stopped, or fails at any step: it continues, and drops are rejected only for their own faults."""

import contextlib
import errno
import os
from collections.abc import Generator

import interrupting
import orjson
import pytest
from conftest import names
from ingesting import HEADER, Killed, Parts, row
from interrupting import bad_rows, run_ended_at

from retraind.daemon.core import shared_folder
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.dataset import segment_writer
from retraind.daemon.inbox.drop import Drop
from retraind.daemon.inbox.inbox import Inbox
from retraind.daemon.inbox.settling import Stamp
from retraind.daemon.records.query import texts
from retraind.daemon.tabular import file_content

pytestmark = pytest.mark.engines(full=True)

parts = pytest.fixture(interrupting.parts)


@pytest.mark.parametrize(
    "step",
    [f"{where}{call}" for where in "-+" for call in ("write", "quarantine", "accept", "dataset_commit", "commit", "clear", "refuse", "reject")],
)  # fmt: skip
def test_end_at_any_step_loses_and_doubles_nothing(parts: Parts, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the process ends, the next one finishes: each row once, the bad file rejected, the inbox empty."""
    parts.drop("a.csv", HEADER + row(1) + row(2))
    parts.drop("b.csv", HEADER + row(3) + "x,1,1,1,setosa\n")
    parts.drop("bad.csv", "nonsense")
    run_ended_at(parts, step, monkeypatch)
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
    run_ended_at(parts, f"{where}clear", monkeypatch)
    once = [("a.csv", "accepted"), ("again.csv", "duplicate"), ("bad.csv", "rejected")]
    assert (sorted(parts.drops()), parts.waiting) == (once, [])
    assert orjson.loads((parts.home.rejected / "bad.csv.report.json").read_bytes())["reason"]
    parts.reopen()
    (parts.home.rejected / "bad.csv").rename(parts.home.inbox / "bad.csv")
    parts.run()
    assert sorted(parts.drops()) == [*once, ("bad.csv", "rejected")]


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
    [message] = texts(parts.home.journal, "SELECT message FROM events WHERE kind = 'problem'")
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
