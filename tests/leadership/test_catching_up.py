"""A home that another one has overtaken: what is brought up to the journal, and what must not come back."""

import shutil
from pathlib import Path

import orjson
import promoting
import pytest
import stores
from forgetting import answer, forget, text
from ingesting import Parts
from promoting import Parts as Promoting
from stores import Bucket

from retraind.daemon.artifacts.manifest import Pointer, read_pointer
from retraind.daemon.core import requests
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import RequestState
from retraind.daemon.dataset.dvc_cache import Cache, places
from retraind.daemon.dataset.git_history import damage, trailers
from retraind.daemon.dataset.git_repository import Repository
from retraind.daemon.leadership import purged_copies
from retraind.daemon.leadership.catching_up import catch_up
from retraind.daemon.objects.store import by_md5
from retraind.daemon.promotion import registry_recovery
from retraind.daemon.records import segments
from retraind.daemon.storage.model_versions import CHAMPION, PREVIOUS

server = pytest.fixture(scope="module")(stores.server)
bucket = pytest.fixture(stores.bucket)
stored = pytest.fixture(stores.parts)
promoted = pytest.fixture(promoting.parts)


def take(parts: Parts, *lengths: float) -> None:
    for length in lengths:
        parts.drop(f"{length}.csv", text(length))
        parts.run()


@pytest.fixture
def behind(stored: Parts, tmp_path: Path) -> Home:
    """A copy of a home that has two batches, which has four by now."""
    take(stored, 1.0, 2.0)
    copy = Home(tmp_path / "copy")
    shutil.copytree(stored.home.root, copy.root, symlinks=True)
    take(stored, 3.0, 4.0)
    for path in copy.registry.glob("journal*"):
        path.unlink()
    copy.journal.symlink_to(stored.home.journal)  # they share it
    return copy


def test_history_of_git_gets_the_revisions_of_the_other_machine(stored: Parts, behind: Home) -> None:
    """They are appended: the commits of before stay, and the newest one names the same data."""
    newest = stored.dataset.revision()
    before = Repository(behind, Cache(behind.data), print).head()
    assert newest is not None
    assert before is not None
    assert damage(behind.data, newest)
    repository = Repository(behind, Cache(behind.data), pytest.fail)
    repository.catch_up()
    repository.repair()
    assert damage(behind.data, newest) is None
    head = repository.head()
    assert head is not None
    assert head.dvc_md5 == newest.dvc_md5
    assert repository._git("merge-base", "--is-ancestor", before.commit, "HEAD") == ""
    assert repository._git("rev-list", "--count", "HEAD") == "4"
    repository.catch_up()
    assert repository.head() == head


def test_commit_that_was_never_recorded_leaves_the_branch(stored: Parts, behind: Home) -> None:
    """The leader was killed between git and the journal, and the next one has made this batch of other segments."""
    newest = stored.dataset.revision()
    assert newest is not None
    repository = Repository(behind, Cache(behind.data), pytest.fail)
    name = ("-c", "user.name=a", "-c", "user.email=a@b")
    message = f"Batch 3{trailers(3, 'f00.dir')}"
    repository._git(*name, "commit", "-q", "--allow-empty", "-m", message)
    repository.catch_up()
    repository.repair()
    assert damage(behind.data, newest) is None
    assert "f00.dir" not in repository._git("log")
    assert repository._git("rev-list", "--count", "HEAD") == "4"


def test_purged_rows_do_not_come_back_from_a_home_that_did_not_purge(
    stored: Parts, behind: Home, bucket: Bucket
) -> None:
    """Its upkeep would put what it has and the store lacks."""
    request = forget(stored, 1.0, purge=True)
    stored.run()
    assert answer(stored, request)[0] == "done"
    [held] = segments.purged(stored.home.journal)
    assert Cache(behind.data).path(held).exists()
    assert purged_copies.remove(behind) == 2, "in the dataset and in DVC's cache"
    assert not Cache(behind.data).path(held).exists()
    list(stored.dataset.stored.put_missing(segments.ever(stored.home.journal), places(behind)))
    assert by_md5(held) not in bucket.names()
    assert purged_copies.remove(behind) == 0


def test_pointer_and_requests_of_before_are_out_of_date(promoted: Promoting) -> None:
    """Otherwise the pointer would count as a swap that was not recorded, and an old wish would be carried out."""
    first, second = promoted.champion(), promoted.champion(favourite=1)
    row = promoted.journal.versions.get(first)
    assert row is not None
    old = Pointer(version=first, manifest=row["bundle"], since="2026-01-01T00:00:00.000Z")
    promoted.home.pointer.write_bytes(orjson.dumps(old.model_dump()))
    request = requests.submit(promoted.home, "promote", version=first)
    catch_up(promoted.home, promoted.journal)
    pointer = read_pointer(promoted.home.pointer)
    assert pointer is not None
    assert pointer.version == second
    ended = promoted.journal.requests.get(request.id)
    assert ended is not None
    assert ended["state"] == RequestState.REFUSED
    assert requests.pending(promoted.home) == []


def test_request_that_was_answered_before_the_kill_keeps_its_answer(promoted: Promoting) -> None:
    """The file of the request was still there when another machine took over."""
    request = requests.submit(promoted.home, "promote", version=1)
    promoted.journal.requests.take(request.id, request.kind, "1", request.at.isoformat())
    promoted.journal.requests.end(request.id, RequestState.DONE, "Version 1 will be served.")
    catch_up(promoted.home, promoted.journal)
    ended = promoted.journal.requests.get(request.id)
    assert ended is not None
    assert ended["state"] == RequestState.DONE
    assert requests.pending(promoted.home) == []


def test_request_whose_file_is_on_the_other_machine_is_ended(promoted: Promoting) -> None:
    """Otherwise it would wait for good; a purge may be done in part, so the person must ask again."""
    promoted.journal.requests.take("0" * 32, "forget", "a drop, purge", "2026-01-01T00:00:00.000Z")
    catch_up(promoted.home, promoted.journal)
    ended = promoted.journal.requests.get("0" * 32)
    assert ended is not None
    assert ended["state"] == RequestState.REFUSED
    assert promoted.journal.requests.queued() == []


def test_versions_of_a_local_registry_follow_the_journal(promoted: Promoting) -> None:
    """One that was registered here and never judged goes: its number may belong to another one by now."""
    first, second = promoted.champion(), promoted.champion(favourite=1)
    unjudged = promoted.train(96, 95, champion=second)
    promoted.models.set_alias(CHAMPION, first)
    promoted.models.set_alias(PREVIOUS, None)
    before = {one.version: one.model for one in promoted.models.versions()}
    registry_recovery.follow(promoted.home, promoted.journal)
    after = {one.version: one.model for one in promoted.models.versions()}
    assert after == {version: model for version, model in before.items() if version != unjudged}
    assert (promoted.alias(CHAMPION), promoted.alias(PREVIOUS)) == (second, first)
    registry_recovery.follow(promoted.home, promoted.journal)
    assert {one.version: one.model for one in promoted.models.versions()} == after
