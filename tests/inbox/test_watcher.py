"""retraind.daemon.inbox.watcher with real folders, mounts and kernel queues."""

import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
import watched_folders
from conftest import names
from watchdog.observers.inotify_c import InotifyFD
from watched_folders import needs_root
from watching import Watched, wait

from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.inbox.watcher import CANARY_SECONDS, RETRY_SECONDS, SILENT, STARTING

watched = pytest.fixture(watched_folders.watched)


def test_closing_a_file_wakes_the_loop(watched: Watched) -> None:
    """The observer tells at once, so that the folder need not be listed all the time."""
    assert watched.hears("a.csv")


def test_file_renamed_in_the_folder_is_ready_at_once(watched: Watched) -> None:
    """Who writes under a temporary name and renames need not wait for the quiet time."""
    durable.write(watched.home.inbox / "a.csv", b"x")
    wait(lambda: list(watched.inbox.settled(100.0)) == ["a.csv"])


@pytest.mark.parametrize("name", ["b.csv", os.fsdecode(b"caf\xe9.csv")])
def test_file_renamed_into_the_folder_is_ready_at_once(watched: Watched, name: str) -> None:
    """`mv` from another folder of the same file system: the file was finished elsewhere."""
    (watched.home.root / "a.csv").write_text("x")
    (watched.home.root / "a.csv").rename(watched.home.inbox / name)
    wait(lambda: list(watched.inbox.settled(100.0)) == [name])


def test_canary_leaves_nothing_and_does_not_wake_the_loop(watched: Watched) -> None:
    """That events arrive is proven by a hidden file, which is gone at once; the loop has nothing to do."""
    assert names(watched.home.inbox) == ["rejected"]
    assert watched.watcher.watching() is None
    watched.watch()
    assert not watched.woken.acquire(blocking=False)


# Blindness


def test_overflow_is_noticed_and_the_loop_woken(watched: Watched) -> None:
    """Events that the kernel drops wake the loop for a scan, are counted and shown, and watching goes on."""
    queued = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    path = watched.home.inbox / ".busy.tmp"
    reader = next(thread for thread in threading.enumerate() if isinstance(thread, InotifyFD))
    with reader._lock:  # the reader waits, as it would in a process that is stopped
        for _ in range(queued):
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
            path.unlink()
    wait(lambda: watched.watch() == [] and "The kernel dropped events" in watched.watcher.description())
    assert watched.watcher.watching() is None
    assert watched.hears("a.csv")


def test_removed_folder_is_made_and_watched_again(watched: Watched) -> None:
    """An inbox/ that is removed is made again a moment later, and the journal says so."""
    shutil.rmtree(watched.home.inbox)
    assert watched.woken.acquire(timeout=5), "the loop is woken, not only the next scan"
    [message] = watched.watch()
    assert message.startswith("The inbox was gone and has been made again")
    assert names(watched.home.inbox) == ["rejected"]
    assert watched.hears("a.csv")
    assert watched.watch() == []


def test_folder_that_is_removed_during_a_start_is_made_again(home: Home) -> None:
    """A start makes the folder before it imports; who removes it then must not end the service."""
    shutil.rmtree(home.inbox)
    watched = Watched(home)
    try:
        watched.inbox.recover()
        [message] = watched.watch()
        assert message.startswith("The inbox was gone and has been made again")
        watched.until("Watched.")
        assert watched.hears("a.csv")
    finally:
        watched.watcher.close()


def test_folder_that_is_removed_and_made_at_once_is_watched_again(watched: Watched) -> None:
    """The new folder often has the old one's inode number; its watch is gone all the same."""
    shutil.rmtree(watched.home.inbox)
    watched.home.inbox.mkdir()
    wait(lambda: watched.watcher.description() != "Watched.")
    assert watched.watch() == []
    assert watched.hears("a.csv")


def test_folder_that_is_renamed_away_is_left_and_a_new_one_watched(watched: Watched) -> None:
    """Nothing tells of the renaming: the next look sees another folder at the path, or none."""
    for made in (True, False):
        old = watched.home.root / f"old-{made}"
        watched.home.inbox.rename(old)
        if made:
            watched.home.inbox.mkdir()
        assert len(watched.watch()) == (not made)
        watched.until("Watched.")
        assert watched.hears("a.csv")
        watched.forget()
        (old / "b.csv").write_text("x")
        assert watched.hears("c.csv")


@needs_root
def test_folder_that_is_mounted_and_unmounted_is_watched_each_time(watched: Watched) -> None:
    """What lies at the path counts: the mounted folder while it is mounted, then the one below."""
    inbox = watched.home.inbox
    for _ in range(2):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(inbox)], check=True)
        try:
            assert watched.watch() == []
            watched.until("Watched.")
            assert watched.hears("a.csv")
        finally:
            watched.forget()
            subprocess.run(["umount", str(inbox)], check=True)
        assert watched.woken.acquire(timeout=5)
        watched.watch()
        assert watched.hears("b.csv")


def test_link_to_a_folder_is_watched_as_that_folder(home: Home) -> None:
    """An inbox that is a symbolic link, say to a mounted disk, gives events like any other."""
    home.rejected.rmdir()
    home.inbox.rename(home.root / "elsewhere")
    home.inbox.symlink_to("elsewhere")
    watched = Watched(home)
    try:
        watched.watch()
        watched.until("Watched.")
        assert watched.hears("a.csv")
    finally:
        watched.watcher.close()


@pytest.mark.parametrize("part", ["InotifyFD", "InotifyEmitter", "BaseObserver"])
def test_dead_thread_is_replaced(watched: Watched, part: str) -> None:
    """Whichever of watchdog's threads ends, the next look starts them again."""
    victim = next(
        thread for thread in threading.enumerate() if part in {base.__name__ for base in type(thread).__mro__}
    )
    victim.stop()  # type: ignore[attr-defined]
    victim.join(5)
    assert watched.watcher.description() == STARTING
    watched.watch()
    watched.until("Watched.")
    assert watched.hears("a.csv")


def test_folder_that_sends_no_events_is_scanned(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the canary's event does not come the folder is healthy but only scanned; it is tried again later."""
    watched = Watched(home)
    try:
        with monkeypatch.context() as silence:
            silence.setattr(InotifyFD, "_parse_event_buffer", staticmethod(lambda _buffer: []))
            watched.watch()
            assert watched.watcher.description() == STARTING
            watched.watch(CANARY_SECONDS)
            assert watched.watcher.description() == SILENT
            assert watched.watcher.watching() is None
            (home.inbox / "a.csv").write_text("x")
            assert not watched.inbox.settled(200.0)
            assert list(watched.inbox.settled(200.5)) == ["a.csv"], "scanning settles it"
        watched.watch(RETRY_SECONDS)
        watched.until("Watched.")
        assert names(home.inbox) != []
    finally:
        watched.watcher.close()


def test_file_in_the_place_of_the_folder_is_reported(watched: Watched) -> None:
    """No file of another user is removed: the health asks for that."""
    shutil.rmtree(watched.home.inbox)
    watched.home.inbox.write_text("mine")
    assert watched.watch() == []
    assert "Make it a folder" in (watched.watcher.watching() or "")
    watched.home.inbox.unlink()
    assert len(watched.watch()) == 1
    assert watched.watcher.watching() is None
    assert watched.hears("a.csv")
