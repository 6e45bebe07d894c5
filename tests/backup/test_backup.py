"""daemon.backup.backup, daemon.backup.restore, daemon.backup.archive: a running home in one file, and back; nothing is lost, nothing points back."""

import io
import json
import os
import shutil
import sqlite3
import stat
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commands import forked
from conftest import names
from ingesting import HEADER, Parts, grow, numbered, row
from service import Service, flowers, parsed, wait_until
from test_commands import retraind

from daemon.access import tokens
from daemon.access.tokens import Keyring
from daemon.artifacts.bundle import Pointer
from daemon.backup import archive, backup
from daemon.backup import restore as restoring
from daemon.backup.restore import restore
from daemon.cli import doctor
from daemon.core import durable, requests
from daemon.core.errors import BackupDamaged, BadSettings, Exit, NotFound
from daemon.core.home import Home
from daemon.core.scopes import Scope
from daemon.core.states import EventKind
from daemon.dataset import git_history, journal_match
from daemon.schema.schema import Schema
from daemon.storage import artifact_paths
from daemon.storage.journal import Journal


@pytest.fixture
def parts(mlflow_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """An ingestion with three batches, a token and a drop that waits."""
    grow(mlflow_home, numbered(3), tmp_path_factory)
    parts = Parts(mlflow_home)
    mlflow_home.token.write_text("secret\n")
    mlflow_home.token.chmod(0o600)
    yield parts
    parts.close()


@pytest.fixture(autouse=True)
def settle_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup made in this process takes files that have not changed for a tenth of a second."""
    monkeypatch.setattr(backup, "SETTLED_SECONDS", 0.1)


def wait_quiet(path: Path) -> None:
    """Until a file has not been changed for as long as a backup demands."""
    wait_until(lambda: time.time() - path.stat().st_ctime > backup.SETTLED_SECONDS)


def test_backup_is_a_home_again(parts: Parts, tmp_path: Path) -> None:
    """Rows, revisions, token, refused files, requests and what waits in the inbox; git keeps its commits."""
    parts.drop("bad.csv", "nonsense\n1\n")
    parts.run()
    parts.drop("waits.csv", HEADER + row(4))
    wait_quiet(parts.home.inbox / "waits.csv")
    requests.submit(parts.home, "retrain")
    file, again = tmp_path / "home.tar", Home(tmp_path / "again")
    facts = backup.backup(parts.home, file)
    assert facts["rows"] == 3
    assert facts["left_out"] == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    manifest = restore(file, again)
    assert len(manifest.files) == facts["files"]
    assert all(one["ok"] for one in doctor.examine(again)), doctor.examine(again)
    assert [one.revision for one in git_history.recorded(again.journal)] == [
        entry.revision for entry in git_history.recorded(parts.home.journal)
    ]
    assert again.token.read_text() == "secret\n"
    assert stat.S_IMODE(again.token.stat().st_mode) == 0o600
    assert len(requests.pending(again)) == 1
    assert "bad.csv" in names(again.rejected)
    assert sorted(names(tmp_path)) == ["again", "home", "home.tar"], "nothing temporary is left"
    restored = Parts(again)
    assert restored.dataset.revision() == parts.dataset.revision()
    restored.run()
    assert restored.lengths == [1, 2, 3, 4]
    restored.close()


def test_tokens_are_in_a_backup_and_sign_ins_are_not(parts: Parts, tmp_path: Path) -> None:
    """A token goes on to be valid, and only its owner can read the file; whoever has signed in does it again."""
    home, again = parts.home, Home(tmp_path / "again")
    secret = tokens.create(home, "shop", [Scope.PREDICT])
    (used := Keyring(home)).note(card := used.find(secret) or pytest.fail("no token"))
    (home.sessions / "abc.json").write_text("{}")
    (home.tokens / f"{durable.MARK}shop.json.abc{durable.TMP}").touch()
    backup.backup(home, tmp_path / "home.tar")
    restore(tmp_path / "home.tar", again)
    assert Keyring(again).find(secret) == card
    assert [one.name for one, at in tokens.known(again) if at] == ["shop"], "that it was used is known, too"
    assert sorted(names(again.tokens)) == sorted([f"{card.id}.used", "shop.json"]), "nothing unfinished"
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (again.tokens, *again.tokens.iterdir())]
    assert modes == [0o700, 0o600, 0o600]
    assert names(again.sessions) == []


def test_backup_while_a_batch_is_accepted_and_not_committed(parts: Parts, tmp_path: Path) -> None:
    """Its segment is in no cache yet."""
    parts.drop("new.csv", HEADER + row(4))
    while parts.journal.batches.uncommitted() is None:
        assert parts.ingestion.step(100.0)
    backup.backup(parts.home, tmp_path / "home.tar")
    restore(tmp_path / "home.tar", Home(tmp_path / "again"))
    restored = Parts(Home(tmp_path / "again"))
    restored.run()
    assert restored.lengths == [1, 2, 3, 4]
    restored.close()


def test_first_batch_comes_while_a_home_is_backed_up(mlflow_home: Home, schema: Schema, tmp_path: Path) -> None:
    """The journal's copy has no batch, git's has: the restored home starts, and takes the drop that waits in it."""
    assert schema
    parts, again = Parts(mlflow_home), Home(tmp_path / "again")
    parts.drop("first.csv", HEADER + row(1))
    wait_quiet(parts.home.inbox / "first.csv")
    pack = backup._pack_git

    def take_first(home: Home, packer: archive.Packer, scratch: Path) -> None:
        parts.run()
        pack(home, packer, scratch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backup, "_pack_git", take_first)
        backup.backup(parts.home, tmp_path / "home.tar")
    assert parts.lengths == [1]
    parts.close()
    restore(tmp_path / "home.tar", again)
    journal_match.require_batch(again, 0)
    restored = Parts(again)
    restored.run()
    assert restored.lengths == [1]
    restored.close()


def test_damaged_git_is_no_obstacle(parts: Parts, tmp_path: Path) -> None:
    """It is a projection: the copy's is made from its journal."""
    shutil.rmtree(parts.home.data / ".git")
    backup.backup(parts.home, tmp_path / "home.tar")
    again = Home(tmp_path / "again")
    restore(tmp_path / "home.tar", again)
    assert all(one["ok"] for one in doctor.examine(again)), doctor.examine(again)


def test_what_is_merged_meanwhile_is_in_the_cache(parts: Parts, tmp_path: Path) -> None:
    """After the journal was copied its segments are merged away, which removes them from the dataset."""
    file, again = tmp_path / "home.tar", Home(tmp_path / "again")
    pack, done = backup._pack_rows, []

    def first_merge(home: Home, packer: archive.Packer, journal: Path) -> None:
        for path in home.segments.iterdir():
            path.rename(tmp_path / path.name)
            done.append(tmp_path / path.name)
        pack(home, packer, journal)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backup, "_pack_rows", first_merge)
        backup.backup(parts.home, file)
    for path in done:
        path.rename(parts.home.segments / path.name)
    restore(file, again)
    assert all(one["ok"] for one in doctor.examine(again))


def test_existing_places_are_refused(parts: Parts, tmp_path: Path) -> None:
    """Neither a file nor a home is overwritten; what is not there is said."""
    file = tmp_path / "home.tar"
    backup.backup(parts.home, file)
    with pytest.raises(BadSettings, match="exists"):
        backup.backup(parts.home, file)
    with pytest.raises(BadSettings, match="exists"):
        restore(file, parts.home)
    with pytest.raises(NotFound):
        restore(tmp_path / "none.tar", Home(tmp_path / "again"))
    with pytest.raises(NotFound):
        backup.backup(Home(tmp_path / "nowhere"), tmp_path / "x.tar")
    assert not (tmp_path / "x.tar").exists()


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


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_running_service_is_backed_up_while_drops_come(tmp_path: Path, served: Path) -> None:
    """A drop every 0.3 s: all that was accepted before is in the copy, which is another home that lives on by itself."""
    running = Service(tmp_path / "home").copied(served).start()
    again = Service(tmp_path / "again")
    try:
        running.wait_served(1)
        running.wait_ingested()
        stop, dropped = threading.Event(), list[str]()

        def drop() -> None:
            while not stop.wait(0.3):
                rows = flowers(300 + len(dropped), 2)
                (running.home.inbox / ".part").write_text("\n".join([HEADER.strip(), *rows]) + "\n")
                (running.home.inbox / ".part").rename(running.home.inbox / f"drop-{len(dropped)}.csv")
                dropped.extend(rows)

        thread = threading.Thread(target=drop)
        thread.start()
        try:
            for number in range(3):
                enough = 12 * (number + 1)
                wait_until(partial(lambda least: len(dropped) > least, enough))
                before = running.rows()
                done = retraind("backup", str(tmp_path / f"{number}.tar"), "--json", home=running.home)
                assert done.returncode == Exit.OK, done.stderr
        finally:
            stop.set()
            thread.join()
        done = retraind("restore", str(tmp_path / "2.tar"), "--json", home=again.home)
        assert done.returncode == Exit.OK, done.stdout + done.stderr
        assert all(one["ok"] for one in json.loads(done.stdout))
        rows = again.rows()
        assert before <= rows, "what was accepted before the backup began"
        with Journal.reading(again.home.journal) as journal:
            assert rows.total() == journal.batches.committed().rows or journal.batches.uncommitted() is not None
        assert artifact_paths.foreign_paths(again.home) == []
        again.start()
        again.wait_served(1)
        more = flowers(900)
        again.drop("more.csv", more)
        again.wait_ingested()
        assert parsed(more) <= again.rows()
        running.wait_ingested()
        assert parsed(dropped) <= running.rows(), "nothing was lost of the original"
        assert not parsed(more) <= running.rows()
    finally:
        running.end()
        again.end()


def test_purge_during_a_backup_starts_it_again(parts: Parts, tmp_path: Path) -> None:
    """Rows that were purged while the copy was made are in no copy."""
    snapshot, calls = backup._snapshot, list[str]()

    def then_purge(path: Path, copy: Path) -> Path:
        result = snapshot(path, copy)
        if path == parts.home.journal and not calls:
            parts.journal.events.record(EventKind.PURGED, "A drop's rows.")
        calls.append(path.name)
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backup, "_snapshot", then_purge)
        backup.backup(parts.home, tmp_path / "home.tar")
    assert calls.count("journal.db") == 2
    restore(tmp_path / "home.tar", Home(tmp_path / "again"))
    with closing(sqlite3.connect(tmp_path / "again/registry/journal.db")) as connection:
        assert connection.execute("SELECT COUNT(*) FROM events WHERE kind = 'purged'").fetchone() == (1,)
    assert restoring.PARTS


def serve(home: Home, version: int) -> None:
    """Point at a version, whose bundle is there then."""
    home.bundle(version).mkdir(parents=True, exist_ok=True)
    durable.write(home.bundle(version) / "manifest.json", b"{}")
    pointer = Pointer(version=version, manifest="0" * 64, since="2026-01-01T00:00:00Z")
    durable.write(home.pointer, pointer.model_dump_json().encode())


@pytest.mark.parametrize("after", ["_snapshot", "_pack_folder"])
def test_swap_meanwhile_leaves_no_pointer_without_its_model(parts: Parts, tmp_path: Path, after: str) -> None:
    """Another version is promoted and the served one removed, before or after the models are copied."""
    home, real = parts.home, getattr(backup, after)

    def then_swap(*arguments: Any) -> Any:
        result = real(*arguments)
        if home.bundle(1).exists() and (after == "_snapshot" or home.bundles in arguments):
            serve(home, 2)
            shutil.rmtree(home.bundle(1))
        return result

    serve(home, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backup, after, then_swap)
        backup.backup(home, tmp_path / "home.tar")
    restore(tmp_path / "home.tar", again := Home(tmp_path / "again"))
    named = Pointer.model_validate_json(again.pointer.read_bytes()).version
    assert named == (2 if after == "_snapshot" else 1)
    assert (again.bundle(named) / "manifest.json").exists()
