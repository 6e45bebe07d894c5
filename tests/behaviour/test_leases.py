"""A user who drops a file may keep a lease on it: nothing else waits for it."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import other_users
import pytest
from conftest import names, open_up
from other_users import put
from service import wait_until

from retraind.daemon.backup import backup
from retraind.daemon.backup.archive import Packer
from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Inbox as Limits
from retraind.daemon.inbox.inbox import Inbox

shared = pytest.fixture(other_users.shared)

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="a second user needs root")


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
