"""retraind.daemon.core.durable with real files, processes and kills."""

import ctypes
import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import names

from retraind.daemon.core import durable

LOCK = "import sys, time; from pathlib import Path; from retraind.daemon.core import durable; fd = durable.try_lock(Path(sys.argv[1])); "


def test_write_replaces_the_whole_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    """The new bytes are there, the old ones and the temporary file are not."""
    durable.write(tmp_path / "a", b"old and longer")
    durable.write(tmp_path / "a", b"new", mode=0o600)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert names(tmp_path) == ["a"]


def test_write_takes_any_name_that_the_file_system_takes(tmp_path: Path) -> None:
    """The temporary name is not longer than a name may be, also if each character has four bytes."""
    name = "\N{HERB}" * 63
    durable.write(tmp_path / name, b"x")
    assert names(tmp_path) == [name]


def test_failed_write_keeps_the_old_bytes(tmp_path: Path) -> None:
    """A disk that takes no more bytes leaves the old file, and no temporary one."""
    target = tmp_path / "a"
    target.write_bytes(b"old")
    code = (
        "import resource, sys; from pathlib import Path; from retraind.daemon.core import durable\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "durable.write(Path(sys.argv[1]), b'x' * 1000)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(target)], capture_output=True, text=True)
    assert "File too large" in done.stderr
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_reader_never_sees_half_a_file_while_the_writer_is_killed(tmp_path: Path) -> None:
    """Whenever the writer dies, the file is one of the versions it wrote."""
    target = tmp_path / "a"
    durable.write(target, b"0" * 100_000)
    code = (
        "import itertools, sys; from pathlib import Path; from retraind.daemon.core import durable\n"
        "for i in itertools.count(): durable.write(Path(sys.argv[1]), str(i % 10).encode() * 100_000)"
    )
    for pause in (0.15, 0.2, 0.25):
        writer = subprocess.Popen([sys.executable, "-c", code, str(target)])
        until = time.monotonic() + pause
        while time.monotonic() < until:
            data = target.read_bytes()
            assert data == data[:1] * 100_000
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        data = target.read_bytes()
        assert data == data[:1] * 100_000
    durable.sweep(tmp_path)
    assert names(tmp_path) == ["a"]


def test_write_new_is_won_by_exactly_one(tmp_path: Path) -> None:
    """Of many that write the same new name at once one wins, and the file is the winner's."""
    won: list[bytes] = []

    def attempt(data: bytes) -> None:
        if durable.write_new(tmp_path / "a", data):
            won.append(data)

    threads = [threading.Thread(target=attempt, args=(str(i).encode(),)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert (tmp_path / "a").read_bytes() == won[0]
    assert names(tmp_path) == ["a"]


def test_publish_replaces_the_file(tmp_path: Path) -> None:
    """What is published is there at once, whole."""
    durable.publish(tmp_path / "a", b"1")
    durable.publish(tmp_path / "a", b"2")
    assert (tmp_path / "a").read_bytes() == b"2"
    assert names(tmp_path) == ["a"]


def test_remove_does_not_mind_a_file_that_is_gone(tmp_path: Path) -> None:
    """Removing twice is as good as once."""
    (tmp_path / "a").touch()
    durable.remove(tmp_path / "a")
    durable.remove(tmp_path / "a")
    assert names(tmp_path) == []


def test_sweep_takes_temporary_files_only(tmp_path: Path) -> None:
    """Files of people, and folders, stay whatever they are called; young ones of ours where others write too."""
    kept = ["a.tmp", ".hidden", ".a.tmp.csv", ".upload.csv.tmp"]
    for name in [*kept, ".retraind-a.csv.0123456789ab.tmp"]:
        (tmp_path / name).touch()
    (tmp_path / ".folder.tmp").mkdir()
    assert durable.sweep(tmp_path, seconds=60) == 0
    assert durable.sweep(tmp_path) == 1
    assert sorted(names(tmp_path)) == sorted([*kept, ".folder.tmp"])


def test_sha256_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    """Both ways give the hash that everybody else computes."""
    (tmp_path / "a").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert durable.sha256_file(tmp_path / "a") == durable.sha256(b"abc") == expected


def test_lock_is_given_to_one_process_and_back_by_a_kill(tmp_path: Path) -> None:
    """While another process holds the lock there is none; its death frees it."""
    lock = tmp_path / "lock"
    command = [sys.executable, "-c", LOCK + "print(fd is not None, flush=True); time.sleep(60)", str(lock)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    assert durable.try_lock(lock) is None
    holder.kill()
    holder.communicate()
    fd = durable.try_lock(lock)
    assert fd is not None
    os.close(fd)


@pytest.mark.parametrize("name", ["write", "write_new", "publish"])
def test_missing_folder_is_an_error(tmp_path: Path, name: str) -> None:
    """Nothing is made up: a file for a folder that is not there raises."""
    with pytest.raises(FileNotFoundError):
        getattr(durable, name)(tmp_path / "gone" / "a", b"x")


WAYS = ["rename", "link", "look", "nothing"]
"""What a file system can do for a rename that replaces nothing."""


def allow(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take from the file system what others lack: NFS, 9p, folders of a virtual machine's host, FUSE."""
    number = errno.ENOSYS if way == "nothing" else errno.EINVAL

    def unknown(*_: object) -> int:
        ctypes.set_errno(number)
        return -1

    def refused(*_: object, **__: object) -> None:
        refusal = errno.ENOTSUP if way == "nothing" else errno.EPERM
        raise OSError(refusal, os.strerror(refusal))

    if way != "rename":
        monkeypatch.setattr(durable, "_LIBC", SimpleNamespace(renameat2=unknown))
    if way in ("look", "nothing"):
        monkeypatch.setattr(os, "link", refused)


@pytest.mark.parametrize("way", WAYS)
def test_new_file_needs_no_links(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`retraind init` works on a stick (exFAT) and on shares; what is there stays, and nothing else is left."""
    allow(way, monkeypatch)
    assert durable.write_new(tmp_path / "a", b"1")
    assert not durable.write_new(tmp_path / "a", b"2")
    assert (tmp_path / "a").read_bytes() == b"1"
    assert names(tmp_path) == ["a"]


def test_new_file_on_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on exFAT, which has the rename and refuses every link."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refused)
    assert durable.write_new(tmp_path / "a", b"1")
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("way", WAYS)
def test_rename_never_replaces(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the file system can do for it: what has the name already, a dangling link too, stays, and so does the other."""
    allow(way, monkeypatch)
    old, new, taken, link = (str(tmp_path / name) for name in ("old", "new", "taken", "link"))
    Path(old).write_text("old")
    Path(taken).write_text("taken")
    Path(link).symlink_to("nowhere")
    assert not durable.rename_new(old, taken)
    assert not durable.rename_new(old, link)
    assert durable.rename_new(old, new)
    assert (Path(new).read_text(), Path(taken).read_text()) == ("old", "taken")
    assert sorted(names(tmp_path)) == ["link", "new", "taken"]
    with pytest.raises(FileNotFoundError):
        durable.rename_new(old, str(tmp_path / "other"))
