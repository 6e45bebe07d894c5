"""Archives that are damaged or were made to do harm: restoring one fails and writes nothing outside."""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import backing_up
import pytest
from commands import forked
from conftest import names
from ingesting import Parts

from retraind.daemon.backup import backup
from retraind.daemon.backup.restore import restore
from retraind.daemon.core.errors import BackupDamaged, Exit
from retraind.daemon.core.home import Home

parts = pytest.fixture(backing_up.parts)
settle_soon = pytest.fixture(autouse=True)(backing_up.settle_soon)


def rewritten(file: Path, change: Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes] | None]) -> Path:
    """A copy of an archive with other members."""
    target = file.with_name("changed.tar")
    with tarfile.open(file) as source, tarfile.open(target, "w") as tar:
        for member in source:
            content = source.extractfile(member)
            assert content is not None
            if changed := change(member, content.read()):
                tar.addfile(changed[0], io.BytesIO(changed[1]))
    return target


def flip(member: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return member, data[:-1] + bytes([data[-1] ^ 1]) if member.name == "registry/journal.db" else data


def leave_out(member: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes] | None:
    return None if member.name == "registry/token" else (member, data)


def rename(name: str) -> Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes]]:
    def change(member: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
        if member.name == "registry/token":
            member.name = name
        return member, data

    return change


def link(member: tarfile.TarInfo, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    if member.name == "registry/token":
        member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0
        data = b""
    return member, data


EVIL = {
    "flipped": flip,
    "missing": leave_out,
    "absolute": rename("/tmp/evil"),
    "parent": rename("../evil"),
    "deep parent": rename("registry/../../evil"),
    "other place": rename("evil.py"),
    "not normal": rename("registry//token"),
    "link": link,
}


@pytest.mark.parametrize("change", EVIL.values(), ids=EVIL.keys())
def test_archive_that_was_tampered_with_is_refused(parts: Parts, tmp_path: Path, change: Callable[..., None]) -> None:
    """Nothing is written outside, and no home is left."""
    backup.backup(parts.home, tmp_path / "home.tar")
    with pytest.raises(BackupDamaged):
        restore(rewritten(tmp_path / "home.tar", change), Home(tmp_path / "again"))
    assert sorted(names(tmp_path)) == ["changed.tar", "home", "home.tar"]


def test_torn_archive_is_refused(parts: Parts, tmp_path: Path) -> None:
    """Cut off anywhere, or no archive at all; by the command line with an exit code of its own."""
    file = tmp_path / "home.tar"
    backup.backup(parts.home, file)
    parts.close()
    size = file.stat().st_size
    for left in (size - 20_000, size // 2, 700, 0):
        os.truncate(file, left)
        done = forked("restore", file, home=Home(tmp_path / "again"))
        assert done.returncode == Exit.DAMAGED, done.stderr
    parts.open()
    assert sorted(names(tmp_path)) == ["home", "home.tar"]
