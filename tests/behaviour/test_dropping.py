"""Who may drop files, and nothing else: a second user with a real uid, who does with the inbox whatever its rights allow."""

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager

import other_users
import pytest
from conftest import names
from other_users import NOBODY, exchanging, put
from service import wait_until

from retraind.daemon.core.errors import InvalidDrop, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Inbox as Limits
from retraind.daemon.inbox.inbox import Inbox
from retraind.daemon.inbox.watcher import Watcher

shared = pytest.fixture(other_users.shared)

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="a second user needs root")


def test_sticky_inbox_lets_no_other_user_replace_a_file(shared: Home) -> None:
    """The rights that an old home's inbox has are completed at the next start."""
    shared.make()
    assert stat.S_IMODE(shared.inbox.stat().st_mode) == 0o3770
    with exchanging(shared, shared.requests) as counts:
        time.sleep(0.2)
    assert counts[0] == 0
    assert counts[1] > 10


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
