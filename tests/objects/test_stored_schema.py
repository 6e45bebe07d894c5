"""retraind.daemon.stored.schema: the schema in a real S3 server, put without drops, and restored."""

import itertools
import time
from contextlib import suppress

import pytest
import stores
from forgetting import text
from ingesting import Parts
from service import wait_until
from stores import Bucket, has_schema, wipe

from retraind.daemon.core.home import Home
from retraind.daemon.dataset.dvc_cache import places
from retraind.daemon.objects.store import StoreUnavailable
from retraind.daemon.records import segments as recorded
from retraind.daemon.schema.schema import Schema
from retraind.daemon.stored.schema import LOOK_SECONDS

server = pytest.fixture(scope="module", params=stores.KINDS)(stores.server)
bucket = pytest.fixture(stores.bucket)
parts = pytest.fixture(stores.parts)


def test_schema_is_put_before_the_first_batch_comes(home: Home, schema: Schema, bucket: Bucket) -> None:
    """A home from before, whose disk is lost right after the store was set up; and a schema that a person has changed."""
    assert schema
    parts = Parts(home)
    parts.drop("a.csv", text(1.0))
    parts.run()
    parts.store = bucket.store
    parts.reopen()
    list(parts.dataset.stored.put_missing(recorded.ever(home.journal), places(home)))
    for changed in (home.schema.read_bytes(), home.schema.read_bytes() + b"\n"):
        home.schema.write_bytes(changed)
        parts.dataset.stored.tend(time.monotonic())
        wait_until(lambda: has_schema(parts), 20)
        parts.close()
        wipe(home)
        parts.open()
        assert home.schema.read_bytes() == changed
    parts.drop("b.csv", text(2.0))
    parts.run()
    assert parts.lengths == [1.0, 2.0]
    parts.close()


def test_store_that_is_gone_is_noticed_without_drops(parts: Parts, bucket: Bucket) -> None:
    """And one that was emptied gets the schema again."""
    stored, times = parts.dataset.stored, itertools.count(time.monotonic(), LOOK_SECONDS)
    wait_until(lambda: has_schema(parts), 20)
    [schema] = bucket.names()

    def noticed() -> str | None:
        with suppress(StoreUnavailable):
            stored.tend(next(times))
        return stored.problem

    with bucket.cut():
        assert "did not answer" in str(wait_until(noticed, 20))
    bucket.store.delete([schema])
    wait_until(lambda: noticed() is None and bucket.names() == {schema}, 20)
