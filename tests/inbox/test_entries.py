"""Entries of the inbox: which are drops, which names are left alone, and what is reported because it is not a file."""

import os
import socket
from pathlib import Path

import inboxes
import pytest
from conftest import names
from inboxes import read, stamp

from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.core.inbox_names import ignored
from retraind.daemon.inbox.inbox import Inbox

inbox = pytest.fixture(inboxes.inbox)


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
