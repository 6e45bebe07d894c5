"""retraind.daemon.inbox.settling: when a file is finished. Real files, leases and processes."""

import os
import subprocess
import sys

import inboxes
import pytest
from inboxes import LIMITS, read

from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.inbox.inbox import Inbox
from retraind.daemon.inbox.settling import Settling

inbox = pytest.fixture(inboxes.inbox)

# Settling


def test_file_settles_when_it_is_quiet(home: Home, inbox: Inbox) -> None:
    """A drop is ready after the quiet time, not before; the loop knows how long to wait."""
    (home.inbox / "a.csv").write_text("x")
    assert list(inbox.settled(100.0)) == []
    assert inbox.wait_seconds(100.1) == pytest.approx(0.4)
    assert list(inbox.settled(100.4)) == []
    assert list(inbox.settled(100.5)) == ["a.csv"]
    assert inbox.backlog == (1, 1)


def test_quiet_time_begins_while_the_daemon_imports(home: Home) -> None:
    """What lay there at the start, and has not changed since, is ready at the first look of the loop."""
    settling = Settling(LIMITS.settle_seconds)
    for name in ("a.csv", "b.csv", "c.part"):
        (home.inbox / name).write_text("x")
    settling.look(home, 100.0)
    (home.inbox / "b.csv").write_text("xy")
    assert list(Inbox(home, LIMITS, lambda: None, settling).settled(100.5)) == ["a.csv"]


def test_folder_that_can_not_be_listed_at_the_start_is_left_to_the_loop(home: Home) -> None:
    """Nothing is noted, and nothing raised: the watcher makes the folder again and says so."""
    home.rejected.rmdir()
    home.inbox.rmdir()
    settling = Settling(LIMITS.settle_seconds)
    settling.look(home, 100.0)
    assert settling.wait_seconds(100.0) is None


def test_change_starts_the_quiet_time_again(home: Home, inbox: Inbox) -> None:
    """A file that grows, or is replaced by another of equal size, has to be quiet again."""
    drop = home.inbox / "a.csv"
    drop.write_text("x")
    inbox.settled(100.0)
    with drop.open("a") as file:
        file.write("y")
    assert list(inbox.settled(100.5)) == []
    durable.write(home.root / "other", b"zz")
    (home.root / "other").rename(drop)
    assert list(inbox.settled(101.0)) == []
    assert list(inbox.settled(101.5)) == ["a.csv"]


def test_file_that_is_open_for_writing_is_not_ready(home: Home, inbox: Inbox) -> None:
    """However quiet a file is, it is not read while a process has it open for writing, and nothing waits in a busy loop."""
    drop = home.inbox / "a.csv"
    code = "import sys; f = open(sys.argv[1], 'w'); f.write('x'); f.flush(); print(1, flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code, str(drop)], text=True, **pipes) as writer:  # type: ignore[call-overload]
        writer.stdout.readline()
        inbox.settled(100.0)
        assert list(inbox.settled(200.0)) == []
        assert inbox.wait_seconds(200.0) is None
        writer.communicate("")
    assert list(inbox.settled(200.1)) == ["a.csv"]


def test_writer_that_comes_during_the_check_ends_no_process(home: Home) -> None:
    """The kernel sends a signal to who holds the lease; the daemon survives it, whatever its signal handlers are."""
    (home.inbox / "a.csv").write_text("x")
    code = """
import fcntl, os, sys
from retraind.daemon.inbox import settling
from retraind.daemon.core.shared_folder import inbox
from retraind.daemon.core.home import Home
from pathlib import Path
path, real = sys.argv[1], fcntl.fcntl
def interrupted(fd, what, value):
    answer = real(fd, what, value)
    if (what, value) == (fcntl.F_SETLEASE, fcntl.F_RDLCK):
        try:
            os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except BlockingIOError:
            print("a writer waits", flush=True)
    return answer
fcntl.fcntl = interrupted
print(settling._being_written(inbox(Home(Path(path).parent.parent)), "a.csv"))
"""
    done = subprocess.run([sys.executable, "-c", code, str(home.inbox / "a.csv")], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split("\n")) == (0, ["a writer waits", "False", ""]), done.stderr


def test_reader_does_not_hold_a_drop_back(home: Home, inbox: Inbox) -> None:
    """A file that is only open for reading is ready."""
    (home.inbox / "a.csv").write_text("x")
    inbox.settled(100.0)
    with (home.inbox / "a.csv").open():
        assert list(inbox.settled(101.0)) == ["a.csv"]


def test_oldest_drop_comes_first(home: Home, inbox: Inbox) -> None:
    """Order is that of modification, then of names."""
    for name, modified in (("c", 1), ("b", 3), ("a", 3), ("d", 2)):
        (home.inbox / name).touch()
        os.utime(home.inbox / name, (modified, modified))
    inbox.settled(100.0)
    assert list(inbox.settled(101.0)) == ["c", "d", "a", "b"]


def test_writer_that_opens_and_closes_again_is_waited_for(home: Home, inbox: Inbox) -> None:
    """Each time it goes on, the quiet time begins again; it is read once, whole."""
    drop = home.inbox / "a.csv"
    for now, text in ((100.0, "a"), (100.4, "b"), (100.8, "c")):
        with drop.open("a") as file:
            file.write(text)
        assert not inbox.settled(now)
    assert list(inbox.settled(101.3)) == ["a.csv"]
    table = read(home, inbox, "a.csv")
    assert table is not None
    assert table.content.data == b"abc"


@pytest.mark.parametrize("modified", [0, 4_102_444_800], ids=["1970", "2100"])
def test_time_of_modification_decides_nothing_but_the_order(home: Home, inbox: Inbox, modified: int) -> None:
    """A clock that is wrong where the file was written neither holds it back nor hurries it."""
    (home.inbox / "a.csv").write_text("x")
    os.utime(home.inbox / "a.csv", (modified, modified))
    assert not inbox.settled(100.0)
    assert list(inbox.settled(100.5)) == ["a.csv"]
