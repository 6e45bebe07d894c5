"""A process that ends at any request to a real S3 server, and a disk that is mostly lost then: no row is lost or doubled."""

import gc
import random
import sqlite3
from contextlib import closing

import pytest
import stores
from forgetting import text
from ingesting import Killed, Parts
from service import wait_until
from stores import Bucket, has_schema, lost, wipe

from retraind.daemon.core.home import Home
from retraind.daemon.schema.schema import Schema

server = pytest.fixture(scope="module")(stores.server)
bucket = pytest.fixture(stores.bucket)


class Ending:
    """The store as a process sees it that ends at its n-th request: before it is sent, or after it was answered."""

    def __init__(self, bucket: Bucket, at: int, *, after: bool) -> None:
        self._store, self._left, self._after = bucket.store, at, after

    def __getattr__(self, name: str) -> object:
        real = getattr(self._store, name)
        if name not in ("put", "get", "delete"):
            return real

        def call(*arguments: object, **named: object) -> object:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Killed
            answered = real(*arguments, **named)
            if self._left == 0:
                raise Killed
            return answered

        return call


def journey(home: Home, bucket: Bucket, seed: int) -> None:
    """Drops come one after the other; at random moments the process ends, and mostly the disk with data/ is gone, too."""
    chance = random.Random(seed)
    parts = Parts(home, store=bucket.store)
    wait_until(lambda: has_schema(parts), 20)
    expected: list[float] = []
    ended = []  # kept, or generators of a process that has ended would clean up in the next one
    for number in range(1, 9):
        expected += [number, number + 0.5]
        parts.drop(f"{number}.csv", text(number, number + 0.5))
        parts.store = Ending(bucket, chance.randint(1, 6), after=chance.random() < 0.5)  # type: ignore[assignment]
        ended.append(parts.ingestion)
        if chance.random() < 0.5:
            parts.reopen()
            ended.append(parts.ingestion)
        try:
            for _ in range(chance.randint(0, 40)):
                parts.ingestion.step(parts.now, merging=chance.random() < 0.5)
        except Killed:
            pass
        parts.store = bucket.store
        parts.close()
        if chance.random() < 0.7:
            wipe(home)
        parts.now += 30
        parts.open()
    parts.run()
    assert (parts.lengths, parts.waiting) == (expected, [])
    assert lost(parts, bucket) == []
    with closing(sqlite3.connect(home.journal)) as connection:
        assert connection.execute("SELECT COUNT(*), COUNT(DISTINCT sha256) FROM drops").fetchone() == (8, 8)
    parts.close()
    ended.clear()
    gc.collect()


def test_no_row_is_lost_or_doubled_when_the_disk_is_lost_at_any_moment(
    home: Home, schema: Schema, bucket: Bucket
) -> None:
    assert schema
    journey(home, bucket, 1)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(2, 27))
def test_no_row_is_lost_or_doubled_in_many_journeys(home: Home, schema: Schema, bucket: Bucket, seed: int) -> None:
    assert schema
    journey(home, bucket, seed)
