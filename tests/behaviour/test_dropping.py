"""Who may drop files, and nothing else: a second user with a real uid, who does with the inbox whatever its rights allow."""

import errno
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import names, open_up
from service import wait_until

from daemon.backup import backup
from daemon.backup.archive import Packer
from daemon.core import durable, requests
from daemon.core.clock import DAY, Reading
from daemon.core.errors import InvalidDrop, Unavailable
from daemon.core.home import Home
from daemon.core.settings import Inbox as Limits
from daemon.inbox.drop import Drop
from daemon.inbox.inbox import Inbox
from daemon.inbox.rejected_folder import MOST_COPIED
from daemon.inbox.rejected_retention import Retention
from daemon.inbox.settling import Stamp
from daemon.inbox.watcher import Watcher
from daemon.service import parts as service_parts
from daemon.tabular.file_content import Content

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="a second user needs root")

NOBODY = 65534

EXCHANGE = """
import ctypes, os, sys, time
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
os.chdir(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
done = failed = 0
print("ready", flush=True)
until = time.monotonic() + 30
while time.monotonic() < until and not os.path.exists("stop.tmp"):
    if libc.renameat2(-100, b"rejected", -100, b"trap.tmp", 2):
        failed += 1
        time.sleep(0.001)
    else:
        done += 1
print(done, failed)
"""
"""Exchanges `rejected` and `trap.tmp` as often as it can."""


@contextmanager
def exchanging(home: Home, target: Path) -> Iterator[list[int]]:
    """A user who may only write to the inbox replaces `rejected` by a link to `target`, again and again.

    Gives, at the end, how often that worked and how often not.
    """
    (home.inbox / "trap.tmp").symlink_to(os.path.relpath(target, home.inbox))
    command = [sys.executable, "-c", EXCHANGE, str(home.inbox)]
    counts: list[int] = []
    open_up(home.root)  # pytest closes the folder of all tests whenever another of its processes starts
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as attacker:
        assert attacker.stdout is not None
        assert attacker.stdout.readline() == "ready\n"
        try:
            yield counts
        finally:
            (home.inbox / "stop.tmp").touch()
        counts += map(int, attacker.stdout.readline().split())


LEASE = """
import fcntl, os, signal, sys
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
signal.signal(signal.SIGIO, signal.SIG_IGN)
held = [os.open(path, os.O_RDONLY) for path in sys.argv[1:]]
for fd in held:
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("ready", flush=True)
sys.stdin.read()
"""
"""Takes leases on files of its own and ignores the kernel, which asks for them back and takes them after a while (45 s)."""


@contextmanager
def leasing(*paths: Path) -> Iterator[None]:
    """The second user holds a lease on each of its files."""
    open_up(paths[0].parent.parent)
    command = [sys.executable, "-c", LEASE, *map(str, paths)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            holder.communicate("")


@pytest.fixture
def shared(home: Home) -> Home:
    """A home whose inbox a second user may write to, without the sticky bit that would keep names apart."""
    open_up(home.root)
    os.chown(home.inbox, 0, NOBODY)
    home.inbox.chmod(0o2770)
    return home


def put(home: Home, name: str, data: bytes, mode: int = 0o644) -> Stamp:
    """A drop of the second user."""
    path = home.inbox / name
    path.write_bytes(data)
    os.chown(path, NOBODY, NOBODY)
    path.chmod(mode)
    return Stamp.of(path.lstat())


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


def test_sticky_inbox_lets_no_other_user_replace_a_file(shared: Home) -> None:
    """The rights that an old home's inbox has are completed at the next start."""
    shared.make()
    assert stat.S_IMODE(shared.inbox.stat().st_mode) == 0o3770
    with exchanging(shared, shared.requests) as counts:
        time.sleep(0.2)
    assert counts[0] == 0
    assert counts[1] > 10


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


# What a refused file brings along


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
    assert "of another user" in str(inbox.reject([("a.csv", stamp, {"reason": "bad"})])["a.csv"])
    assert (shared.inbox / "a.csv").stat().st_size == MOST_COPIED + 1
    assert names(shared.rejected) == ["a.csv.report.json"]


@contextmanager
def acting_as(user: int) -> Iterator[None]:
    """Without root's rights, for this process."""
    os.setegid(user)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def test_unreadable_file_is_taken_once_it_can_be_read(shared: Home) -> None:
    """It stays where it is, is not looked at again and again, and needs no new copy: rights are enough."""
    daemon = 65533
    for path in (shared.root, shared.inbox, shared.rejected, shared.registry):
        os.chown(path, daemon, daemon)
    put(shared, "a.csv", b"x", 0o600)
    inbox = Inbox(shared, Limits(settle_seconds=0.5), lambda: None)
    with acting_as(daemon):
        inbox.hint("a.csv", closed=True)
        inbox.settled(100.0)
        [(name, stamp)] = inbox.settled(101.0).items()
        with pytest.raises(InvalidDrop, match="can't be read"):
            inbox.read(name, stamp)
        assert set(inbox.reject([(name, stamp, {"reason": "can't be read"})])) == {"a.csv"}
        assert names(shared.rejected) == ["a.csv.report.json"]
        inbox.leave("a.csv")
        assert not inbox.settled(102.0)
    (shared.inbox / "a.csv").chmod(0o644)
    with acting_as(daemon):
        inbox.hint("a.csv", closed=True)
        inbox.settled(103.0)
        assert list(inbox.settled(104.0)) == ["a.csv"]
        assert inbox.read("a.csv", stamp) is not None


def test_file_of_another_user_is_ready_when_it_was_closed(shared: Home) -> None:
    """The kernel gives no lease on it to a daemon without rights of its own; that its writer has closed it is enough."""
    put(shared, "a.csv", b"x")
    inbox = Inbox(shared, Limits(settle_seconds=0.5), lambda: None)
    watcher = Watcher(shared, inbox.hint, lambda: None)
    try:
        with acting_as(65533):
            os.seteuid(0)
            os.chown(shared.inbox, 65533, NOBODY)
            os.chown(shared.rejected, 65533, NOBODY)
            os.chown(shared.root, 65533, NOBODY)
            os.seteuid(65533)
            watcher.watch(100.0)
            wait_until(lambda: watcher.description().startswith("Watched."))
            inbox.settled(100.0)
            assert not inbox.settled(109.0), "nobody knows whether it is still written"
            os.seteuid(0)
            with (shared.inbox / "a.csv").open("ab") as file:
                file.write(b"y")
                file.flush()
                os.seteuid(65533)
                inbox.settled(200.0)
                assert not inbox.settled(209.0), "it is still written"
            wait_until(lambda: inbox._settling._closed)
            inbox.settled(300.0)
            assert list(inbox.settled(300.5)) == ["a.csv"]
    finally:
        watcher.close()


@pytest.mark.parametrize("name", ["a.csv.1a2b3c4d.bad.csv", "a.csv.report.json"])
def test_dropped_file_keeps_no_name_that_means_something(home: Home, name: str) -> None:
    """Reports and files of refused rows are ours alone, by their names."""
    (home.inbox / name).write_bytes(b"x")
    stamp = Stamp.of((home.inbox / name).lstat())
    assert Inbox(home, Limits(), lambda: None).reject([(name, stamp, {"reason": "bad"})]) == {}
    assert sorted(names(home.rejected)) == [f"{name}.csv", f"{name}.csv.report.json"]


# Leases


def test_lease_on_a_drop_holds_up_no_other(shared: Home) -> None:
    """A leased file counts as one that is being written; the others are taken, and it is as well once the lease has gone."""
    stamps = {name: put(shared, name, name.encode()) for name in ("a.csv", "b.csv", "victim.csv")}
    inbox = Inbox(shared, Limits(settle_seconds=0.5), lambda: None)
    for name in stamps:
        inbox.hint(name, closed=True)
    inbox.settled(100.0)
    with leasing(shared.inbox / "a.csv", shared.inbox / "b.csv"):
        assert list(inbox.settled(101.0)) == ["victim.csv"]
        assert inbox.read("a.csv", stamps["a.csv"]) is None, "the lease came after it had settled"
        assert inbox.read("victim.csv", stamps["victim.csv"]) is not None
    assert sorted(inbox.settled(102.0)) == sorted(stamps)
    assert inbox.read("a.csv", stamps["a.csv"]) is not None


def test_lease_on_a_file_that_leaves_is_not_waited_for(shared: Home) -> None:
    """What is to be removed or kept aside stays until the lease has gone; nothing waits 45 s for it, and nothing is lost."""
    stamps = {name: put(shared, name, b"bad") for name in ("a.csv", "b.csv", "c.csv")}
    report = {"reason": "bad", "sha256": durable.sha256(b"bad")}
    inbox = Inbox(shared, Limits(), lambda: None)
    os.utime(shared.inbox / "b.csv", (1, 1))  # so that its bytes have to be compared
    refused = [(name, stamps[name], report) for name in ("a.csv", "b.csv")]
    before = set(os.listdir("/proc/self/fd"))
    with leasing(*(shared.inbox / name for name in stamps)):
        begun = time.monotonic()
        stuck = inbox.reject(refused) | inbox.clear([("c.csv", report["sha256"])])
        assert time.monotonic() - begun < 20
    assert {name: error.errno for name, error in stuck.items()} == dict.fromkeys(stamps, errno.EAGAIN)
    assert set(os.listdir("/proc/self/fd")) == before, "a descriptor is still open"
    assert sorted(names(shared.inbox)) == [*stamps, "rejected"]
    assert inbox.reject(refused) == inbox.clear([("c.csv", report["sha256"])]) == {}
    assert names(shared.inbox) == ["rejected"]
    assert (shared.rejected / "a.csv").read_bytes() == b"bad"


def test_lease_on_a_drop_does_not_hold_up_a_backup(shared: Home) -> None:
    """It is left out and said, as a file is that is being written."""
    put(shared, "a.csv", b"x")
    wait_until(lambda: time.time() - (shared.inbox / "a.csv").stat().st_ctime > backup.SETTLED_SECONDS)
    with leasing(shared.inbox / "a.csv"), Packer(shared.root / "home.tar") as packer:
        begun = time.monotonic()
        assert backup._pack_waiting(shared, packer) == 1
        assert time.monotonic() - begun < 20
        packer.finish({})


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


def test_link_of_another_user_is_no_inbox(shared: Home) -> None:
    """A link of ours may lead to a share; one of another user is said and not followed."""
    shared.inbox.rename(shared.root / "share")
    shared.inbox.symlink_to("share")
    inbox = Inbox(shared, Limits(), lambda: None)
    assert inbox.settled(100.0) == {}
    os.chown(shared.inbox, NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(Unavailable, match="another user"):
        inbox.settled(101.0)


def test_inbox_is_kept_sticky_while_the_service_runs(shared: Home) -> None:
    """What the owner of the folder can put right is put right; else the health says what it costs."""
    watcher = Watcher(shared, lambda *_, **__: None, lambda: None)
    try:
        watcher.watch(100.0)
        assert stat.S_IMODE(shared.inbox.stat().st_mode) == 0o3770
        os.chown(shared.inbox, NOBODY, NOBODY)
        shared.inbox.chmod(0o2770)
        watcher.watch(101.0)
        assert stat.S_IMODE(shared.inbox.stat().st_mode) == 0o2770
        assert "chmod +t" in watcher.description()
    finally:
        watcher.close()
