"""daemon.inbox.watcher with real folders, mounts and kernel queues."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import names, open_up
from service import Service, flowers, parsed, wait_until
from watchdog.observers.inotify_c import InotifyFD
from watching import Watched, wait

from daemon.core import durable
from daemon.core.home import Home
from daemon.inbox.watcher import CANARY_SECONDS, RETRY_SECONDS, SILENT, STARTING

ROOT = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="mounts and other users need root")


@pytest.fixture
def watched(home: Home) -> Iterator[Watched]:
    watched = Watched(home)
    assert watched.watch() == []
    watched.until("Watched.")
    watched.forget()
    yield watched
    watched.watcher.close()


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


PRELUDE = """
import os, sys, time
sys.path[:0] = ['tests/inbox', 'tests']
from pathlib import Path
from watching import Watched
from daemon.core.home import Home
from daemon.inbox.watcher import RETRY_SECONDS
watched = Watched(Home(Path(sys.argv[1])))
"""


def run(code: str, home: Home, *around: str) -> list[str]:
    """Lines that begin with `>`, of code that has a `Watched`, run in a process of its own, perhaps within another program."""
    command = [*around, sys.executable, "-c", PRELUDE + code, str(home.root)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [line[2:] for line in done.stdout.splitlines() if line.startswith("> ")]


@pytest.mark.parametrize(
    ("limit", "setting"),
    [
        ("max_inotify_instances", "fs.inotify.max_user_instances"),
        ("max_inotify_watches", "fs.inotify.max_user_watches"),
    ],
)
def test_kernel_limit_leaves_scanning_until_there_is_room(home: Home, limit: str, setting: str) -> None:
    """Without a watch drops are found all the same, the state names the setting to raise, and later it is tried again."""
    if subprocess.run(["unshare", "-Ur", "true"], capture_output=True).returncode:
        pytest.skip("user namespaces, in which the limit can be set for one process, are not allowed here")
    code = f"""
limit = Path('/proc/sys/user/{limit}')
limit.write_text('0')
watched.watch()
print('>', watched.watcher.watching(), watched.watcher.description())
limit.write_text('50')
watched.watch()
print('>', watched.watcher.description().startswith('Only'))
watched.watch(RETRY_SECONDS)
watched.until('Watched.')
watched.watcher.close()
"""
    said, still = run(code, home, "unshare", "-Ur")
    assert said.startswith("None Only scanned: watching is refused")
    assert f"Raise {setting}" in said
    assert still == "True"


@needs_root
@pytest.mark.parametrize("mode", [0o000, 0o733, 0o555])
def test_folder_that_this_user_may_not_use_is_reported_until_it_may(home: Home, mode: int) -> None:
    """Without the rights the health names the folder; once they are given, it is watched without a restart."""
    open_up(home.root)
    for folder in (home.inbox, home.rejected):
        folder.chmod(0o755)
    home.inbox.chmod(mode)
    code = f"""
inbox = watched.home.inbox
os.seteuid(65534)
watched.watch()
print('>', watched.watcher.watching())
os.seteuid(0); inbox.chmod(0o777); os.seteuid(65534)
watched.watch(RETRY_SECONDS)
watched.until('Watched.')
print('>', watched.watcher.watching(), watched.hears('a.csv'))
os.seteuid(0); inbox.chmod({mode}); os.seteuid(65534)
watched.watch()
print('>', watched.watcher.watching())
watched.watcher.close()
"""
    first, healed, again = run(code, home)
    assert str(home.inbox) in first
    assert "can't be" in first
    assert healed == "None True"
    assert "can't be" in again


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


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_burst_that_overflows_the_queue_is_taken_whole(tmp_path_factory: pytest.TempPathFactory, served: Path) -> None:
    """20,000 files written while the daemon is stopped: the kernel drops events, and every row is there once all the same."""
    count = 20_000
    service = (
        Service(tmp_path_factory.mktemp("home"), RETRAIND_RETRAIN__THRESHOLD_ROWS="1000000").copied(served).start()
    )
    try:
        service.wait_served(1)
        service.wait_ingested()
        expected = service.rows()
        os.kill(service.pid, signal.SIGSTOP)
        for number in range(count):
            service.drop(f"{number}.csv", [f"{number / 8},3.5,1.4,0.2,setosa"])
        os.kill(service.pid, signal.SIGCONT)
        wait_until(lambda: "dropped events" in service.ask("/health")[1]["checks"]["inbox"]["detail"])
        wait_until(lambda: not service.drops(), 300, "an empty inbox")
        service.wait_ingested()
        expected += Counter((number / 8, 3.5, 1.4, 0.2, "setosa") for number in range(count))
        assert service.rows() == expected
    finally:
        os.kill(service.pid, signal.SIGCONT)
        service.end()


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_running_daemon_notices_lost_folders_and_gets_over_it(
    tmp_path_factory: pytest.TempPathFactory, served: Path
) -> None:
    """inbox/ is made again and the journal says so; data/ is missed in the health until it is back, then drops are taken."""
    service = Service(tmp_path_factory.mktemp("home")).copied(served).start()
    home = service.home
    try:
        service.wait_served(1)
        service.wait_ingested()
        expected = service.rows()
        shutil.rmtree(home.inbox)
        wait_until(home.rejected.is_dir)
        service.drop("a.csv", flowers(1))
        wait_until(lambda: service.rows() == expected + parsed(flowers(1)), what=service.log()[-1500:])
        assert "The inbox was gone and has been made again" in service.ask("/dashboard")[1]
        home.data.rename(home.root / "away")
        wait_until(lambda: "data: " in str(service.ask("/health")[1]["reasons"]))
        assert service.predict() is not None
        service.drop("b.csv", flowers(2))
        (home.root / "away").rename(home.data)
        wait_until(lambda: service.rows() == expected + parsed(flowers(1) + flowers(2)), what=service.log()[-1500:])
        wait_until(lambda: service.ask("/health")[0] == 200, what=str(service.ask("/health")))
    finally:
        service.end()
