"""retraind.daemon.service.store_upkeep: what store and home lack of each other, while other things fail. A real S3 server, a real PostgreSQL."""

import pytest
import stores
from forgetting import text
from ingesting import Parts
from service import wait_until
from stores import Bucket

from benchmarks.postgres import Postgres
from retraind.daemon.core.home import Home
from retraind.daemon.objects.store import by_md5
from retraind.daemon.records import segments
from retraind.daemon.records.versions import Versions
from retraind.daemon.schema.schema import Schema
from retraind.daemon.service.store_upkeep import StoreUpkeep
from retraind.daemon.storage.model_versions import ModelVersions
from retraind.daemon.stored.bundles import StoredBundles
from retraind.daemon.stored.segments import StoredSegments

server = pytest.fixture(scope="module", params=stores.KINDS)(stores.server)
bucket = pytest.fixture(stores.bucket)


def test_journal_that_is_away_only_delays_it(home: Home, schema: Schema, bucket: Bucket, own_server: Postgres) -> None:
    """It says so meanwhile, and does not count as done."""
    assert schema
    own_server.place(home)
    parts = Parts(home)
    parts.drop("a.csv", text(1.0))
    parts.run()
    stored = StoredSegments(home, bucket.store, parts.journal)
    upkeep = StoreUpkeep(home, bucket.store, stored, StoredBundles(home, bucket.store), ModelVersions(home))
    own_server.stop()
    upkeep.start()
    assert "connection" in str(wait_until(lambda: upkeep.problem, 20))
    assert upkeep.sentence
    own_server.start()
    wait_until(lambda: upkeep.sentence == "", 30)
    upkeep.close()
    [segment] = segments.ever(home.journal)
    assert by_md5(segment["md5"]) in bucket.names()
    parts.close()


def test_step_that_fails_for_an_unknown_reason_delays_no_other_and_is_done_later(
    home: Home, schema: Schema, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The health shows the failure; trainings do not wait for it."""
    assert schema
    parts = Parts(home)
    parts.drop("a.csv", text(1.0))
    parts.run()
    stored = StoredSegments(home, bucket.store, parts.journal)
    upkeep = StoreUpkeep(home, bucket.store, stored, StoredBundles(home, bucket.store), ModelVersions(home))
    with monkeypatch.context() as patch:
        patch.setattr(Versions, "newest", _fail)
        upkeep.start()
        wait_until(lambda: upkeep.problem, 20)
        assert "KeyError" in str(upkeep.problem)
        wait_until(bucket.names, 20, "the segments to be put")
        assert not upkeep.is_fetching
        assert "bundles" in upkeep.sentence
    wait_until(lambda: upkeep.sentence == "" and upkeep.problem is None, 60)
    upkeep.close()
    parts.close()


def _fail(*_: object) -> None:
    raise KeyError("unexpected")
