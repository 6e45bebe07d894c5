"""Rejected files of other users: where they go, whose they become, and what may stand in the place of `rejected/`."""

import os
import stat
import time
from pathlib import Path

import other_users
import pytest
from conftest import names
from other_users import NOBODY, exchanging, put

from retraind.daemon.core import durable, requests
from retraind.daemon.core.clock import DAY, Reading
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Inbox as Limits
from retraind.daemon.inbox.drop import Drop
from retraind.daemon.inbox.inbox import Inbox
from retraind.daemon.inbox.rejected_folder import MOST_COPIED
from retraind.daemon.inbox.rejected_retention import Retention
from retraind.daemon.inbox.settling import Stamp
from retraind.daemon.inbox.watcher import Watcher
from retraind.daemon.service import parts as service_parts
from retraind.daemon.tabular.file_content import Content

shared = pytest.fixture(other_users.shared)

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="a second user needs root")


def files(folder: Path) -> list[Path]:
    """Every file below a folder, without following links."""
    return [Path(at, name) for at, _, found in os.walk(folder) for name in found if not Path(at, name).is_symlink()]


def outside(home: Home) -> set[Path]:
    """Every file that is not in the inbox."""
    return {path for path in files(home.root) if not path.is_relative_to(home.inbox)}


@pytest.mark.parametrize("place", ["requests", "home"])
def test_refused_file_never_lands_outside(shared: Home, place: str) -> None:
    """However often `rejected` is exchanged for a link while files are refused and rows kept apart."""
    target = {"requests": shared.requests, "home": shared.root}[place]
    before = outside(shared)
    inbox = Inbox(shared, Limits(), lambda: None)
    refused: list[bytes] = []
    with exchanging(shared, target) as counts:
        for number in range(300):
            wish = b'{"kind": "promote", "version": 1, "by": "%d"}' % number
            stamp = put(shared, f"{number}.json", wish)
            try:
                if not inbox.reject([(f"{number}.json", stamp, {"reason": "bad"})]):
                    refused.append(wish)
                inbox.quarantine(Drop("a.csv", stamp, Content.of(wish), "now"), [wish])
            except (Unavailable, OSError):
                time.sleep(0.002)
    assert counts[0] > 50, "the attack did not take place"
    assert len(refused) > 20
    assert outside(shared) == before
    assert requests.pending(shared) == []
    assert {path.read_bytes() for path in files(shared.inbox)} >= set(refused)


def test_sweeps_follow_no_link(shared: Home) -> None:
    """Neither what is old nor what is unfinished goes anywhere but in our own folder."""
    shared.rejected.rmdir()
    shared.rejected.symlink_to(shared.data)
    old = [shared.data / f"{durable.MARK}a{durable.TMP}", shared.data / "b.bad.csv"]
    for path in old:
        path.touch()
    keeper = Retention(shared, 1)
    keeper.sweep(Reading(time.time(), 0.0))
    with pytest.raises(Unavailable, match="not a folder"):
        keeper.sweep(Reading(time.time() + 1000 * DAY, 1000 * DAY))
    assert service_parts.sweep_rejected(shared) == 0
    assert all(path.exists() for path in old)


# What a rejected file brings along


def test_refused_file_of_another_user_becomes_ours(shared: Home) -> None:
    """Neither its owner nor its mode nor its other names come along; the group of the inbox may read it."""
    stamp = put(shared, "a.csv", b"bad", 0o6755)
    os.link(shared.inbox / "a.csv", shared.root / "mine")
    inbox = Inbox(shared, Limits(), lambda: None)
    assert inbox.reject([("a.csv", stamp, {"reason": "bad"})]) == {}
    for name in ("a.csv", "a.csv.report.json"):
        status = (shared.rejected / name).stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode), status.st_nlink) == (0, NOBODY, 0o640, 1)
    assert (shared.rejected / "a.csv").read_bytes() == b"bad"
    assert stat.S_IMODE(shared.rejected.stat().st_mode) == 0o750
    assert names(shared.inbox) == ["rejected"]
    assert stat.S_IMODE((shared.root / "mine").stat().st_mode) == 0o6755


def test_file_of_ours_with_another_name_elsewhere_keeps_its_rights_there(home: Home) -> None:
    """A link to a file of ours may be dropped; that file stays as it is."""
    (home.data / "mine").write_bytes(b"bad")
    (home.data / "mine").chmod(0o444)
    os.link(home.data / "mine", home.inbox / "a.csv")
    stamp = Stamp.of((home.inbox / "a.csv").lstat())
    assert Inbox(home, Limits(), lambda: None).reject([("a.csv", stamp, {"reason": "bad"})]) == {}
    assert stat.S_IMODE((home.data / "mine").stat().st_mode) == 0o444
    assert stat.S_IMODE((home.rejected / "a.csv").stat().st_mode) == 0o600


def test_copy_that_a_kill_left_beside_the_drop_is_not_made_again(shared: Home) -> None:
    """The next start refuses the same bytes once more and finds them kept."""
    inbox = Inbox(shared, Limits(), lambda: None)
    for _ in range(2):
        stamp = put(shared, "a.csv", b"bad")
        assert inbox.reject([("a.csv", stamp, {"reason": "bad"})]) == {}
    assert sorted(names(shared.rejected)) == ["a.csv", "a.csv.report.json"]


def test_large_file_of_another_user_stays_where_it_is(shared: Home) -> None:
    """It is neither copied, which would take the loop's time, nor moved as it is; the report says why it was refused."""
    stamp = put(shared, "a.csv", b"")
    os.truncate(shared.inbox / "a.csv", MOST_COPIED + 1)
    stamp = Stamp.of((shared.inbox / "a.csv").lstat())
    inbox = Inbox(shared, Limits(), lambda: None)
    assert "belongs to another user" in str(inbox.reject([("a.csv", stamp, {"reason": "bad"})])["a.csv"])
    assert (shared.inbox / "a.csv").stat().st_size == MOST_COPIED + 1
    assert names(shared.rejected) == ["a.csv.report.json"]


@pytest.mark.parametrize("name", ["a.csv.1a2b3c4d.bad.csv", "a.csv.report.json"])
def test_dropped_file_keeps_no_name_that_means_something(home: Home, name: str) -> None:
    """Reports and files of rejected rows are ours alone, by their names."""
    (home.inbox / name).write_bytes(b"x")
    stamp = Stamp.of((home.inbox / name).lstat())
    assert Inbox(home, Limits(), lambda: None).reject([(name, stamp, {"reason": "bad"})]) == {}
    assert sorted(names(home.rejected)) == [f"{name}.csv", f"{name}.csv.report.json"]


# Something else in the place of the folder


@pytest.mark.parametrize("what", ["link", "file", "other"])
def test_drops_wait_until_rejected_is_ours(shared: Home, what: str) -> None:
    """The health says what is wrong; nothing is taken, and nothing is lost. Once it is put right, all goes on."""
    stamp = put(shared, "a.csv", b"bad")
    shared.rejected.rmdir()
    match what:
        case "link":
            shared.rejected.symlink_to(shared.requests)
        case "file":
            shared.rejected.touch()
        case _:
            shared.rejected.mkdir()
            os.chown(shared.rejected, NOBODY, NOBODY)
    inbox = Inbox(shared, Limits(settle_seconds=0), lambda: None)
    watcher = Watcher(shared, inbox.hint, lambda: None)
    try:
        watcher.watch(100.0)
        assert "Until then drops wait in the inbox." in (watcher.watching() or "")
        assert not inbox.settled(200.0)
        assert inbox.backlog == (1, 3)
        with pytest.raises(Unavailable):
            inbox.reject([("a.csv", stamp, {"reason": "bad"})])
        shared.rejected.rename(shared.root / "away")
        watcher.watch(101.0)
        assert watcher.watching() is None
        assert list(inbox.settled(300.0)) == ["a.csv"]
        assert list(shared.requests.iterdir()) == []
    finally:
        watcher.close()
