"""retraind.daemon.objects.ownership: a copy of a home, or a restored backup, changes nothing in the store and the journal of the original. A real S3 server."""

import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import stores
from forgetting import answer, forget, text
from ingesting import Parts
from stores import Bucket

from benchmarks.postgres import Postgres
from retraind.daemon.backup import backup as backups
from retraind.daemon.backup import restore as restoring
from retraind.daemon.cli import doctor
from retraind.daemon.core.databases import mlflow_server
from retraind.daemon.core.databases.mlflow_server import MlflowServer
from retraind.daemon.core.errors import AlreadyRunning, BadSettings, NotFound
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import home_identity, journal_address, journal_server
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.states import EventKind
from retraind.daemon.objects import opening, ownership
from retraind.daemon.objects.opening import open_store
from retraind.daemon.objects.ownership import NotOwner, OwnedStore
from retraind.daemon.objects.store import MD5, StoreUnavailable
from retraind.daemon.schema.schema import Schema
from retraind.daemon.service import claiming
from retraind.daemon.service.remote_copies import RemoteCopies
from retraind.daemon.storage.journal import Journal

server = pytest.fixture(scope="module")(stores.server)
bucket = pytest.fixture(stores.bucket)


def owned(home: Home, bucket: Bucket) -> OwnedStore:
    """The store as the daemon of a home uses it."""
    store = opening.owned(open_store(bucket.settings), home)
    assert isinstance(store, OwnedStore)
    return store


@pytest.fixture
def original(home: Home, schema: Schema, bucket: Bucket) -> Iterator[Parts]:
    """A home with two drops, whose segments are in the store."""
    assert schema
    parts = Parts(home, store=owned(home, bucket))
    for number in (1, 2):
        parts.drop(f"{number}.csv", text(float(number)))
        parts.run()
    yield parts
    parts.close()


def copied(home: Home, root: Path) -> Home:
    """A copy of a folder, as `cp -a` makes it."""
    shutil.copytree(home.root, root, symlinks=True)
    return Home(root)


def restored(home: Home, root: Path) -> Home:
    """The home of a backup."""
    backups.backup(home, root.with_suffix(".tar"))
    restoring.restore(root.with_suffix(".tar"), Home(root))
    return Home(root)


def segments(bucket: Bucket) -> set[str]:
    """The objects of rows."""
    return {entry.name for entry in bucket.store.listing(MD5)}


@pytest.mark.parametrize("again", [copied, restored])
def test_copy_removes_and_puts_nothing_of_the_original(
    original: Parts, bucket: Bucket, tmp_path: Path, again: Callable[[Home, Path], Home]
) -> None:
    """Its purge waits with a reason, and its drops wait, until it has a prefix of its own or the original is gone."""
    before = segments(bucket)
    home = again(original.home, tmp_path / "again")
    copy = Parts(home, store=owned(home, bucket))
    request = forget(copy, 1.0, purge=True)
    copy.drop("3.csv", text(3.0))
    copy.run()
    assert (answer(copy, request)[0], copy.waiting) == ("queued", ["3.csv"])
    reason = copy.dataset.stored.problem or ""
    assert str(original.home.root) in reason
    assert "retraind claim" in reason
    assert segments(bucket) == before
    with pytest.raises(NotOwner):
        RemoteCopies(home, copy.store, "").follow()
    copy.close()
    other = bucket.settings.model_copy(update={"url": f"{bucket.settings.url}-other"})
    copy.store = opening.owned(open_store(other), home)
    copy.open()
    copy.run()
    assert (answer(copy, request)[0], copy.waiting) == ("done", [])
    assert segments(bucket) == before
    copy.close()


def test_restored_home_claims_the_prefix_of_the_lost_one(original: Parts, bucket: Bucket, tmp_path: Path) -> None:
    """And if that was not lost after all, it stops: also a removal that has begun."""
    home = restored(original.home, tmp_path / "again")
    copy = Parts(home, store=owned(home, bucket))
    [advised] = claiming.advice(Settings(storage=bucket.settings))
    assert "retraind claim" in advised
    assert claiming.advice(Settings()) == []
    [sentence] = claiming.claim(home, Settings(storage=bucket.settings))
    assert f"It was that of {socket.gethostname()}:{original.home.root}" in sentence
    assert "already" in claiming.claim(home, Settings(storage=bucket.settings))[0]
    copy.drop("3.csv", text(3.0))
    copy.run()
    assert copy.lengths == [1.0, 2.0, 3.0]
    copy.close()
    before = segments(bucket)
    assert original.store is not None
    original.store._checked_at -= 1.0  # type: ignore[attr-defined]
    request = forget(original, 1.0, purge=True)
    original.run()
    assert answer(original, request)[0] == "queued"
    assert str(home.root) in (original.ingestion.forgetting.problem or "")
    assert segments(bucket) == before


def test_moved_home_stays_the_owner(original: Parts, bucket: Bucket, tmp_path: Path) -> None:
    """`mv` keeps the inode; a new file in its place would not."""
    original.close()
    home = Home(original.home.root.rename(tmp_path / "moved"))
    owned(home, bucket).check()
    original.home = home
    original.open()
    assert home_identity.read(home) is not None
    shutil.copy(home.identity, tmp_path / "home.json")
    (tmp_path / "home.json").rename(home.identity)
    with pytest.raises(NotOwner):
        owned(home, bucket).check()


def test_doctor_reports_a_foreign_prefix_and_a_damaged_mark(original: Parts, bucket: Bucket, tmp_path: Path) -> None:
    home = copied(original.home, tmp_path / "again")
    options = f"url = '{bucket.settings.url}'\nendpoint = '{bucket.settings.endpoint}'\n"
    for place in (home, original.home):
        place.settings.write_text(f"[storage]\n{options}")
    assert "belongs to the home" in storage_of(home)["detail"]
    assert storage_of(original.home)["ok"]
    bucket.store.put(ownership.NAME, b"{")
    assert "is damaged, so its owner is unknown" in storage_of(original.home)["detail"]
    with pytest.raises(StoreUnavailable, match="is damaged"):
        owned(original.home, bucket).check()
    claiming.claim(original.home, Settings(storage=bucket.settings))
    owned(original.home, bucket).check()


def storage_of(home: Home) -> doctor.Finding:
    """The doctor's finding on the store."""
    return next(finding for finding in doctor.examine(home) if finding["what"] == "storage")


def test_first_of_two_homes_owns_a_prefix(home: Home, tmp_path: Path, bucket: Bucket) -> None:
    other = Home(tmp_path / "other")
    other.make()
    owned(home, bucket).put("files/sha256/ab", b"x")
    with pytest.raises(NotOwner, match=str(home.root)):
        owned(other, bucket).put("files/sha256/cd", b"x")
    with pytest.raises(NotOwner):
        owned(other, bucket).delete(["files/sha256/ab"])
    assert bucket.names() == {"files/sha256/ab", ownership.NAME}
    assert owned(other, bucket).read("files/sha256/ab") == b"x"


@pytest.fixture
def on_server(home: Home, postgres: Postgres) -> Home:
    """A home that has been started, with its journal on a server and with data."""
    postgres.place(home)
    (home.data / ".git").mkdir()
    journal_server.require_original(home)
    with closing(Journal.open(home.journal)) as journal:
        journal.events.record(EventKind.STARTED, "here")
    return home


def address(home: Home) -> str:
    """The server of a home's journal."""
    server = journal_server.named(home.journal)
    assert server is not None
    return server.url


def test_copy_of_a_home_does_not_write_the_journal_on_the_server(on_server: Home, tmp_path: Path) -> None:
    """Until it claims it, which it can't while the original runs; then the original does not start again."""
    home = copied(on_server, tmp_path / "again")
    with pytest.raises(BadSettings, match=r"is a copy of another home.*migrate file.*retraind claim"):
        journal_server.require_original(home)
    with closing(Journal.open(on_server.journal)), pytest.raises(AlreadyRunning, match="in use by retraind"):
        claiming.claim(home, Settings())
    assert claiming.claim(home, Settings()) == [f"The journal at {address(home)} is now that of this home."]
    journal_server.require_original(home)
    Journal.open(home.journal).close()
    with pytest.raises(BadSettings, match=r"belongs to another home.*retraind claim"):
        Journal.open(on_server.journal)
    assert "nothing to claim" in claiming.claim(home, Settings())[0]


def test_claim_that_was_killed_is_completed_by_the_next(
    on_server: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = copied(on_server, tmp_path / "again")
    for name in ("journal_server.write", "home_identity.write"):
        with monkeypatch.context() as patch:
            patch.setattr(f"retraind.daemon.storage.server.takeover.{name}", _kill)
            with pytest.raises(KeyboardInterrupt):
                claiming.claim(home, Settings())
        with pytest.raises(BadSettings):
            journal_server.require_original(home)
    claiming.claim(home, Settings())
    journal_server.require_original(home)
    Journal.open(home.journal).close()


def _kill(*_: object) -> None:
    raise KeyboardInterrupt


def test_empty_home_claims_the_journal_that_its_settings_name(
    on_server: Home, tmp_path: Path, postgres: Postgres
) -> None:
    """The machine is lost, with the file that names its journal. An empty schema has none to claim."""
    settings = Settings.model_validate({"journal": {"url": address(on_server)}})
    home = Home(tmp_path / "again")
    home.make()
    journal_server.settle(home, settings.journal.url)  # as a start does, which is then refused
    with pytest.raises(BadSettings, match="retraind claim"):
        Journal.open(home.journal)
    claiming.claim(home, settings)
    journal_server.require_original(home)
    with closing(Journal.open(home.journal)) as journal:
        assert journal.events is not None
    empty = Settings.model_validate({"journal": {"url": postgres.url()}})
    other = Home(tmp_path / "other")
    other.make()
    with pytest.raises(NotFound, match="no journal at"):
        claiming.claim(other, empty)


def test_home_of_an_earlier_version_is_no_copy(on_server: Home) -> None:
    """It has no identity yet, and gets that of its journal."""
    on_server.identity.unlink()
    journal_server.require_original(on_server)
    identity = home_identity.read(on_server)
    assert identity is not None
    assert identity.id == journal_server.identity(on_server)


def test_copy_of_a_home_does_not_write_mlflows_database_on_the_server(home: Home, tmp_path: Path) -> None:
    """With its journal in the file: a file for MLflow's database, or a claim, makes it start."""
    mlflow_server.write(home, MlflowServer(f"{journal_address.SCHEME}://db/mlflow", ""))
    mlflow_server.require_original(home)
    copy = copied(home, tmp_path / "again")
    with pytest.raises(BadSettings, match=r"MLflow's database at .*migrate --mlflow file.*retraind claim"):
        mlflow_server.require_original(copy)
    assert claiming.claim(copy, Settings()) == ["MLflow's database on its server is that of this home."]
    mlflow_server.require_original(copy)
    mlflow_server.require_original(home)
