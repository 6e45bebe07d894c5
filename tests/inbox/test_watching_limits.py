"""retraind.daemon.inbox.watcher in processes of their own: kernel limits, rights, floods, and a running daemon."""

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from conftest import open_up
from service import Service, flowers, parsed, wait_until
from watched_folders import needs_root

from retraind.daemon.core.home import Home

ROOT = Path(__file__).parents[2]


PRELUDE = """
import os, sys, time
sys.path[:0] = ['tests/inbox', 'tests']
from pathlib import Path
from watching import Watched
from retraind.daemon.core.home import Home
from retraind.daemon.inbox.watcher import RETRY_SECONDS
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
        # The check is missing until the daemon, stopped a moment ago, reports again.
        wait_until(lambda: "dropped events" in str(service.ask("/health")[1]["checks"].get("inbox")))
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
