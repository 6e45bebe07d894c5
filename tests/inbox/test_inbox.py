"""retraind.daemon.inbox.inbox with a real folder, a real observer and real writers."""

import errno
import gzip
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import inboxes
import pytest
from conftest import names, open_up
from inboxes import read, stamp

from retraind.daemon.core import durable
from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.core.home import Home
from retraind.daemon.core.inbox_names import ignored
from retraind.daemon.core.settings import Inbox as Limits
from retraind.daemon.inbox.drop_removal import HIDDEN_PREFIX
from retraind.daemon.inbox.inbox import Inbox
from retraind.daemon.tabular import file_content
from retraind.daemon.tabular.file_content import Content

inbox = pytest.fixture(inboxes.inbox)

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
        "import os, sys; from pathlib import Path; from retraind.daemon.inbox.inbox import Inbox; from retraind.daemon.inbox.settling import Stamp; from retraind.daemon.core.home import Home\n"
        "from retraind.daemon.core.settings import Inbox as Limits; from retraind.daemon.core.errors import InvalidDrop\n"
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
        "import os, sys; from pathlib import Path; from retraind.daemon.inbox import drop_removal; from retraind.daemon.core.home import Home\n"
        "from retraind.daemon.core import shared_folder\n"
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
