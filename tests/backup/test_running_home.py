"""Backups of a home while its service works."""

import json
import shutil
import sqlite3
import threading
from contextlib import closing
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import backing_up
import pytest
from ingesting import HEADER, Parts
from running import retraind
from service import Service, flowers, parsed, wait_until

from retraind.daemon.artifacts.bundle import Pointer
from retraind.daemon.backup import backup, database_copies
from retraind.daemon.backup import restore as restoring
from retraind.daemon.backup.restore import restore
from retraind.daemon.core import durable
from retraind.daemon.core.errors import Exit
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import EventKind
from retraind.daemon.storage import artifact_paths
from retraind.daemon.storage.journal import Journal

parts = pytest.fixture(backing_up.parts)
settle_soon = pytest.fixture(autouse=True)(backing_up.settle_soon)


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
    snapshot, calls = database_copies.snapshot, list[str]()

    def then_purge(path: Path, copy: Path) -> Path:
        result = snapshot(path, copy)
        if path == parts.home.journal and not calls:
            parts.journal.events.record(EventKind.PURGED, "A drop's rows.")
        calls.append(path.name)
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database_copies, "snapshot", then_purge)
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


@pytest.mark.parametrize(("module", "after"), [(database_copies, "snapshot"), (backup, "_pack_folder")])
def test_swap_meanwhile_leaves_no_pointer_without_its_model(
    parts: Parts, tmp_path: Path, module: ModuleType, after: str
) -> None:
    """Another version is promoted and the served one removed, before or after the models are copied."""
    home, real = parts.home, getattr(module, after)

    def then_swap(*arguments: Any) -> Any:
        result = real(*arguments)
        if home.bundle(1).exists() and (after == "snapshot" or home.bundles in arguments):
            serve(home, 2)
            shutil.rmtree(home.bundle(1))
        return result

    serve(home, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, after, then_swap)
        backup.backup(home, tmp_path / "home.tar")
    restore(tmp_path / "home.tar", again := Home(tmp_path / "again"))
    named = Pointer.model_validate_json(again.pointer.read_bytes()).version
    assert named == (2 if after == "snapshot" else 1)
    assert (again.bundle(named) / "manifest.json").exists()
