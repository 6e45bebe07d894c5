"""An inbox that other users write to, and what they try there; a test module makes a fixture of `shared`."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conftest import open_up

from retraind.daemon.core.home import Home
from retraind.daemon.inbox.settling import Stamp

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
