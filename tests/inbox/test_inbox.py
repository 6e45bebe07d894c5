"""daemon.inbox.inbox with a real folder, a real observer and real writers."""

import errno
import gzip
import os
import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import orjson
import pytest
from conftest import names, open_up

from daemon.core import durable
from daemon.core.errors import InvalidDrop, Unavailable
from daemon.core.home import Home
from daemon.core.inbox_names import ignored
from daemon.core.settings import Inbox as Limits
from daemon.inbox.drop import Drop
from daemon.inbox.drop_removal import HIDDEN_PREFIX
from daemon.inbox.inbox import Inbox
from daemon.inbox.settling import Settling, Stamp
from daemon.tabular import file_content
from daemon.tabular.file_content import Content

LIMITS = Limits(settle_seconds=0.5)


@pytest.fixture
def inbox(home: Home) -> Inbox:
    return Inbox(home, LIMITS, lambda: None)


def stamp(home: Home, name: str) -> Stamp:
    """What a drop is known by while it has neither been read nor changed."""
    return Stamp.of(os.lstat(home.inbox / name))


def read(home: Home, inbox: Inbox, name: str) -> Drop | None:
    """Read a drop as it is now."""
    return inbox.read(name, stamp(home, name))


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
from daemon.inbox import settling
from daemon.core.shared_folder import inbox
from daemon.core.home import Home
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


@pytest.mark.parametrize(
    "name",
    [
        ".a.csv",
        ".gitignore",
        "a.csv.tmp",
        "a.part",
        "a.csv.crdownload",
        "a.csv~",
        ".a.csv.swp",
        "README.md",
        "x.filepart",
    ],
)
def test_temporary_and_hidden_names_are_left_alone(home: Home, inbox: Inbox, name: str) -> None:
    """What browsers, editors and copy programs still write is no drop, nor is the folder's own page."""
    (home.inbox / name).write_text("x")
    assert ignored(name)
    inbox.settled(100.0)
    assert list(inbox.settled(200.0)) == []
    assert inbox.wait_seconds(200.0) is None


def test_only_regular_files_are_drops(home: Home, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders, links, pipes and sockets are left alone and never opened."""
    (home.inbox / "folder.csv").mkdir()
    (home.inbox / "link.csv").symlink_to("/etc/passwd")
    (home.inbox / "dangling.csv").symlink_to("nowhere")
    os.mkfifo(home.inbox / "pipe.csv")
    (home.inbox / "loop.csv").symlink_to("loop.csv")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(home.inbox)  # the address of a socket is short
        server.bind("socket.csv")
    inbox.settled(100.0)
    assert list(inbox.settled(200.0)) == []
    for name in ("link.csv", "loop.csv", "socket.csv"):
        assert read(home, inbox, name) is None
    assert inbox.read("none.csv", stamp(home, "link.csv")) is None
    assert sorted(names(home.inbox)) == sorted(
        ["dangling.csv", "folder.csv", "link.csv", "loop.csv", "pipe.csv", "rejected", "socket.csv"]
    )


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


# Reading and clearing


def test_read_gives_bytes_and_their_sha256(home: Home, inbox: Inbox) -> None:
    """A packed drop is inflated, and is known by the bytes that lay in the inbox."""
    (home.inbox / "a.csv").write_bytes(b"abc")
    drop = read(home, inbox, "a.csv")
    assert drop is not None
    assert (drop.content.data, drop.sha256, drop.bytes) == (b"abc", durable.sha256(b"abc"), 3)
    packed = gzip.compress(b"abc" * 100)
    for name in ("b.csv.gz", "B.CSV.GZ"):
        (home.inbox / name).write_bytes(packed)
        drop = read(home, inbox, name)
        assert drop is not None
        assert (drop.content.data, drop.sha256, drop.bytes) == (b"abc" * 100, durable.sha256(packed), len(packed))


def test_drop_that_changes_while_it_is_read_is_not_taken(
    home: Home, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither as a drop nor, half written, as a damaged one: it settles again and is read whole."""
    packed = gzip.compress(b"abc" * 100)
    drop = home.inbox / "a.csv.gz"
    durable.write(home.inbox / ".a", packed[:-4])
    inbox.hint("a.csv.gz", moved=True)
    (home.inbox / ".a").rename(drop)
    [(name, settled)] = inbox.settled(100.0).items()
    real = file_content.taking

    def while_read(*arguments: Any, **options: Any) -> Generator[None, None, Content]:
        with drop.open("ab") as file:
            file.write(packed[-4:])
        return (yield from real(*arguments, **options))

    with monkeypatch.context() as patch:
        patch.setattr(file_content, "taking", while_read)
        assert inbox.read(name, settled) is None
    assert inbox.read(name, settled) is None
    assert not inbox.settled(101.0)
    [(name, settled)] = inbox.settled(101.5).items()
    result = inbox.read(name, settled)
    assert result is not None
    assert result.sha256 == durable.sha256(packed)


def test_drop_that_is_opened_for_writing_while_it_is_read_is_not_taken(home: Home, inbox: Inbox) -> None:
    """Its size and time have not changed since it settled, but a process is about to change it."""
    (home.inbox / "a.csv").write_bytes(b"x")
    with (home.inbox / "a.csv").open("r+"):
        assert read(home, inbox, "a.csv") is None
    assert read(home, inbox, "a.csv") is not None


def test_bomb_is_refused_before_it_fills_the_disk(home: Home) -> None:
    """What inflates beyond the limit is given up on the way."""
    inbox = Inbox(home, Limits(max_inflated_bytes=1_000_000), lambda: None)
    (home.inbox / "a.csv.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    with pytest.raises(InvalidDrop, match="more than 1000000 bytes"):
        read(home, inbox, "a.csv.gz")


def test_drop_over_the_limit_is_refused_unread(home: Home) -> None:
    """The complaint names both sizes; a sparse file of a terabyte costs no memory."""
    inbox = Inbox(home, Limits(max_bytes=1000), lambda: None)
    with (home.inbox / "a.csv").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InvalidDrop, match=r"1099511627776 bytes; inbox.max_bytes = 1000"):
        read(home, inbox, "a.csv")


def test_file_of_another_user_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A drop that this user may not read is refused, so that it does not hold the others back."""
    root = tmp_path_factory.mktemp("other")
    drop = root / "a.csv"
    drop.write_text("x")
    drop.chmod(0)
    open_up(root)
    code = (
        "import os, sys; from pathlib import Path; from daemon.inbox.inbox import Inbox; from daemon.inbox.settling import Stamp; from daemon.core.home import Home\n"
        "from daemon.core.settings import Inbox as Limits; from daemon.core.errors import InvalidDrop\n"
        "class There(Home): inbox = property(lambda self: self.root)\n"
        "inbox = Inbox(There(Path(sys.argv[1])), Limits(), print)\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "try: inbox.read('a.csv', Stamp.of(os.stat(sys.argv[1] + '/a.csv')))\n"
        "except InvalidDrop as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True)
    assert "can't be read by this user (Permission denied)" in done.stdout, done.stderr


def test_clear_removes_what_was_read_and_nothing_newer(home: Home, inbox: Inbox) -> None:
    """A file that has got other bytes since is a new drop and stays; one that is gone is fine."""
    drop = home.inbox / "a.csv"
    drop.write_bytes(b"new")
    inbox.clear([("a.csv", durable.sha256(b"old"))])
    assert drop.exists()
    inbox.clear([("a.csv", durable.sha256(b"new"))])
    inbox.clear([("a.csv", durable.sha256(b"new"))])
    assert not drop.exists()
    drop.symlink_to("/etc/passwd")
    inbox.clear([("a.csv", durable.sha256(Path("/etc/passwd").read_bytes()))])
    assert drop.is_symlink()


@pytest.mark.parametrize("name", ["a.csv", "a" * 251 + ".csv"])
def test_drop_that_can_not_be_hashed_keeps_its_name(
    home: Home, inbox: Inbox, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing disk hides no drop, and what comes in that moment is not overwritten."""
    (home.inbox / name).write_bytes(b"first")

    def fails(_: int) -> str:
        (home.inbox / name).write_bytes(b"second")
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(durable, "sha256_of", fails)
        assert set(inbox.clear([(name, durable.sha256(b"first"))])) == {name}
    numbered = names(home.inbox)
    numbered.remove("rejected")
    numbered.remove(name)
    assert (home.inbox / name).read_bytes() == b"second"
    assert (home.inbox / numbered[0]).read_bytes() == b"first"
    assert numbered[0].startswith("2-a")
    assert not ignored(numbered[0])


@pytest.mark.parametrize("name", ["a.csv", "a" * 90 + "." * 90 + "b" * 71 + ".csv", "\N{HERB}" * 63])
def test_drop_that_a_kill_left_hidden_comes_back(home: Home, inbox: Inbox, name: str) -> None:
    """Under its name, or the end of it, which is no hidden one; files that came in between stay as they are."""
    (home.inbox / name).write_bytes(b"first")
    code = (
        "import os, sys; from pathlib import Path; from daemon.inbox import drop_removal; from daemon.core.home import Home\n"
        "from daemon.core import shared_folder\n"
        "inbox = shared_folder.inbox(Home(Path(sys.argv[1])))\n"
        "with drop_removal.hidden(inbox, sys.argv[2]): os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(home.root), name], check=True)
    assert all(map(ignored, set(names(home.inbox)) - {"rejected"}))
    (home.inbox / name).write_bytes(b"second")
    inbox.recover()
    back = set(names(home.inbox)) - {"rejected", name}
    assert [(home.inbox / one).read_bytes() for one in back] == [b"first"]
    assert not any(map(ignored, back))
    assert (home.inbox / name).read_bytes() == b"second"


def test_hidden_drops_are_found_by_the_next_look(home: Home, inbox: Inbox) -> None:
    """One that could not be given its name back gets it when the folder is listed; no restart is needed."""
    (home.inbox / f"{HIDDEN_PREFIX}01234567-a.csv").write_bytes(b"x")
    (home.inbox / f"{HIDDEN_PREFIX}b.csv").write_bytes(b"y")
    assert not inbox.settled(100.0)
    assert sorted(names(home.inbox)) == ["a.csv", "b.csv", "rejected"]


ODD = [
    "a\nb.csv", "'\"<script>.csv", "-rf.csv", "x.csv.dvc", "=cmd|' calc'!A0.csv", " .csv ", "A.csv",
    "a" * 251 + ".csv", os.fsdecode(b"caf\xe9.csv"), "cafe\N{COMBINING ACUTE ACCENT}.csv",
    "caf\N{LATIN SMALL LETTER E WITH ACUTE}.csv",
]  # fmt: skip


def test_any_name_is_settled_read_and_cleared(home: Home, inbox: Inbox) -> None:
    """Names are never part of a command or a path that is made of them; twins in another normal form are two files."""
    for number, name in enumerate(ODD):
        (home.inbox / name).write_text(str(number))
    inbox.settled(100.0)
    assert set(inbox.settled(101.0)) == set(ODD)
    drops = [drop for name in ODD if (drop := read(home, inbox, name)) is not None]
    assert [drop.content.data for drop in drops] == [str(number).encode() for number in range(len(ODD))]
    assert inbox.clear([(drop.name, drop.sha256) for drop in drops]) == {}
    assert names(home.inbox) == ["rejected"]


def test_one_of_two_hard_links_is_removed(home: Home, inbox: Inbox) -> None:
    """What lies elsewhere under another name stays."""
    (home.inbox / "a.csv").write_bytes(b"x")
    os.link(home.inbox / "a.csv", home.root / "mine")
    inbox.clear([("a.csv", durable.sha256(b"x"))])
    assert names(home.inbox) == ["rejected"]
    assert (home.root / "mine").read_bytes() == b"x"


@pytest.mark.skipif(os.getuid() != 0, reason="mounting needs root")
def test_drop_in_a_read_only_inbox_is_stuck_and_left(home: Home, inbox: Inbox) -> None:
    """It can be read but not removed: that is said once, and it is not read again and again."""
    (home.inbox / "a.csv").write_bytes(b"x")
    inbox.settled(100.0)
    subprocess.run(["mount", "--bind", home.inbox, home.inbox], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", home.inbox], check=True)
        assert list(inbox.settled(101.0)) == ["a.csv"]
        assert read(home, inbox, "a.csv") is not None
        assert set(inbox.clear([("a.csv", durable.sha256(b"x"))])) == {"a.csv"}
        assert set(inbox.reject([("a.csv", stamp(home, "a.csv"), {"reason": "bad"})])) == {"a.csv"}
        inbox.leave("a.csv")
        assert not inbox.settled(102.0)
    finally:
        subprocess.run(["umount", home.inbox], check=True)
    assert names(home.rejected) == []


def test_rejected_files_never_replace_each_other(home: Home, inbox: Inbox) -> None:
    """Each refused drop keeps its bytes and its report, whatever else has that name."""
    for text in ("1", "2", "3"):
        (home.inbox / "a.csv").write_text(text)
        assert inbox.reject([("a.csv", stamp(home, "a.csv"), {"reason": text})]) == {}
    for name, text in (("a.csv", "1"), ("2-a.csv", "2"), ("3-a.csv", "3")):
        assert (home.rejected / name).read_text() == text
        assert orjson.loads((home.rejected / f"{name}.report.json").read_bytes()) == {"reason": text}


@pytest.mark.parametrize(
    "name", ["a" * 251 + ".csv", "\N{HERB}" * 63, os.fsdecode(b"caf\xe9.csv"), " ", "-rf", "a\nb.csv"]
)
def test_any_name_can_be_rejected(home: Home, inbox: Inbox, name: str) -> None:
    """Long names, and names that are not UTF-8, make room for the report's name."""
    (home.inbox / name).write_text("x")
    inbox.reject([(name, stamp(home, name), {"reason": "bad"})])
    [moved] = [found for found in names(home.rejected) if not found.endswith(".report.json")]
    assert (home.rejected / moved).read_text() == "x"
    assert (home.rejected / f"{moved}.report.json").exists()
    assert not (home.inbox / name).exists()


def test_rejecting_what_is_gone_leaves_the_report(home: Home, inbox: Inbox) -> None:
    """If the file is taken away at that moment, the report is written all the same."""
    assert inbox.reject([("a.csv", Stamp(1, 2, 3), {"reason": "bad"})]) == {}
    assert names(home.rejected) == ["a.csv.report.json"]


def test_file_that_took_the_name_of_a_refused_one_is_a_new_drop(home: Home, inbox: Inbox) -> None:
    """It stays in the inbox, also when it is a folder; the refused bytes under another stamp are still the refused ones."""
    bad, drop = b"nonsense", home.inbox / "a.csv"
    report = {"sha256": durable.sha256(bad)}
    drop.write_bytes(bad)
    judged = stamp(home, "a.csv")
    durable.write(drop, b"good")
    assert inbox.reject([("a.csv", judged, report)]) == {}
    assert drop.read_bytes() == b"good"
    assert names(home.rejected) == ["a.csv.report.json"]
    drop.unlink()
    drop.mkdir()
    assert inbox.reject([("a.csv", judged, report)]) == {}
    assert drop.is_dir()
    drop.rmdir()
    durable.write(drop, bad)
    assert inbox.reject([("a.csv", judged, report)]) == {}
    assert (home.rejected / "a.csv").read_bytes() == bad
    assert names(home.inbox) == ["rejected"]


def test_drop_that_can_not_be_moved_keeps_its_name(home: Home, inbox: Inbox) -> None:
    """Whatever is wrong with rejected/, the file is where it was, and can be seen."""
    (home.inbox / "a.csv").write_bytes(b"x")
    home.rejected.rmdir()
    home.rejected.write_text("a file")
    with pytest.raises(Unavailable, match="rejected is not a folder"):
        inbox.reject([("a.csv", stamp(home, "a.csv"), {"reason": "bad"})])
    assert sorted(names(home.inbox)) == ["a.csv", "rejected"]


def quarantined(inbox: Inbox, name: str, text: bytes, *lines: bytes) -> str:
    """The name of the file that keeps refused rows of a drop with this name and text."""
    return inbox.quarantine(Drop(name, Stamp(1, len(text), 1), Content.of(text), "now"), lines)


def test_quarantine_keeps_one_copy_of_the_same_rows(home: Home, inbox: Inbox) -> None:
    """Written again after a kill it is one file; other rows of a drop with that name get a name of their own."""
    first = quarantined(inbox, "a.csv", b"1", b"head\n", b"1\n")
    assert first == f"a.csv.{durable.sha256(b'1')[:8]}.bad.csv"
    assert quarantined(inbox, "a.csv", b"1", b"head\n", b"1\n") == first
    assert quarantined(inbox, "a.csv", b"1", b"head\n", b"2\n") == f"2-{first}"
    assert (home.rejected / first).read_text() == "head\n1\n"
    assert len(names(home.rejected)) == 2
    long = quarantined(inbox, "\N{HERB}" * 60 + ".csv", b"1", b"x")
    assert (home.rejected / long).read_bytes() == b"x"
    assert long.endswith(".bad.csv")
    odd = quarantined(inbox, os.fsdecode(b"caf\xe9.csv"), b"1", b"x")
    assert odd.encode().startswith("caf\N{REPLACEMENT CHARACTER}.csv.".encode())
    assert (home.rejected / odd).read_bytes() == b"x"


def test_quarantine_reads_no_file_of_another_drop(home: Home, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many drops had that name: the time that one takes does not grow with them."""
    hashed, real = [], durable.sha256_of

    def counted(fd: int) -> str:
        hashed.append(fd)
        return real(fd)

    monkeypatch.setattr(durable, "sha256_of", counted)
    file_names = {quarantined(inbox, "a.csv", b"%d" % number, b"row %d" % number) for number in range(20)}
    assert file_names == set(names(home.rejected))
    assert len(hashed) == len(file_names) == 20


# What is no file


def test_what_is_no_file_is_reported_once(home: Home, inbox: Inbox, tmp_path: Path) -> None:
    """Links, folders, pipes and sockets are neither followed nor opened, and do not stay unsaid."""
    (tmp_path / "elsewhere.csv").write_text("x")
    (home.inbox / "link.csv").symlink_to(tmp_path / "elsewhere.csv")
    (home.inbox / "dangling.csv").symlink_to(tmp_path / "nothing")
    (home.inbox / "folder").mkdir()
    os.mkfifo(home.inbox / "pipe.csv")
    (home.inbox / ".hidden").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home.inbox / "s"))
        assert inbox.settled(100.0) == {}
    kinds = {
        "link.csv": "a link",
        "dangling.csv": "a link",
        "folder": "a folder",
        "pipe.csv": "a pipe",
        "s": "a socket",
    }
    assert inbox.strays.found == kinds
    said = inbox.strays.remarks()
    assert len(said) == len(kinds)
    assert all(any(f"{name} in the inbox is {kind}" in one for one in said) for name, kind in kinds.items())
    inbox.settled(101.0)
    assert inbox.strays.remarks() == []
    (home.inbox / "pipe.csv").unlink()
    inbox.settled(102.0)
    os.mkfifo(home.inbox / "pipe.csv")
    inbox.settled(103.0)
    assert len(inbox.strays.remarks()) == 1


def test_very_much_that_is_no_file_is_reported_in_part(home: Home, inbox: Inbox) -> None:
    for number in range(100):
        (home.inbox / str(number)).mkdir()
    inbox.settled(100.0)
    assert len(inbox.strays.found) == len(inbox.strays.remarks()) == 20


def test_names_that_are_not_utf8_are_found_by_what_the_journal_says(home: Home, inbox: Inbox) -> None:
    """Of two names that look the same as text, the file with the drop's bytes goes."""
    for name, data in (
        (b"caf\xe9.csv", b"x"),
        (b"caf\xe8.csv", b"y"),
        ("caf\N{REPLACEMENT CHARACTER}.csv".encode(), b"z"),
    ):
        (home.inbox / os.fsdecode(name)).write_bytes(data)
    assert inbox.clear([("caf\N{REPLACEMENT CHARACTER}.csv", durable.sha256(b"x"))]) == {}
    assert {path.read_bytes() for path in home.inbox.iterdir() if path.is_file()} == {b"y", b"z"}
