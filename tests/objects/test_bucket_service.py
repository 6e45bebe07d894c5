"""A whole service with a bucket as inbox: killed while it takes objects, and started again. Real processes, a real S3 server."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stores
from service import Service, flowers, parsed, wait_until
from stores import Bucket

server = pytest.fixture(scope="module", params=stores.KINDS)(stores.server)
bucket = pytest.fixture(stores.bucket)

HEADER = "sepal_length,sepal_width,petal_length,petal_width,species"


@pytest.fixture
def service(served: Path, tmp_path: Path, bucket: Bucket) -> Iterator[Service]:
    """A service of Iris that takes from the bucket, and trains no more."""
    settings = {
        **stores.KEYS,
        "RETRAIND_INBOX__URL": f"s3://{bucket.name}/drops",
        "RETRAIND_INBOX__ENDPOINT": bucket.settings.endpoint,
        "RETRAIND_INBOX__SCAN_SECONDS": "0.2",
        "RETRAIND_STORAGE__TIMEOUT_SECONDS": "1",
        "RETRAIND_RETRAIN__THRESHOLD_ROWS": "1000000",
        "RETRAIND_RETRAIN__SCHEDULE": "",
    }
    service = Service(tmp_path / "service", **settings).copied(served)
    yield service
    service.end()


def put(bucket: Bucket, number: int) -> Counter[tuple[Any, ...]]:
    """Put an object; its rows."""
    rows = flowers(1000 + number)
    body = "\n".join([HEADER, *rows, ""])
    bucket.direct()._client.put_object(Bucket=bucket.name, Key=f"drops/{number}.csv", Body=body)
    return parsed(rows)


def left(bucket: Bucket) -> list[str]:
    """The objects that are not deleted."""
    answer = bucket.direct()._client.list_objects_v2(Bucket=bucket.name, Prefix="drops/")
    return [one["Key"] for one in answer.get("Contents", ()) if "/.retraind/" not in one["Key"]]


def take_over_kills(service: Service, bucket: Bucket, moments: int, seed: int) -> None:
    """Kill the daemon at random moments while objects come; each row is there once at the end."""
    chance = random.Random(seed)
    service.start()
    rows: Counter[tuple[Any, ...]] = service.rows()
    number = 0
    for _ in range(moments):
        for _ in range(chance.randint(1, 5)):
            rows += put(bucket, number)
            number += 1
        time.sleep(chance.uniform(0.3, 2))
        service.kill()
        service.start()
    wait_until(lambda: not left(bucket), 60, f"an empty bucket: {service.log()[-1500:]}")
    service.wait_ingested()
    assert service.rows() == rows
    states = Counter(drop["state"] for drop in service.ask("/drops?limit=1000")[1]["drops"])
    assert states["duplicate"] == states["rejected"] == 0


def test_kill_of_the_daemon_takes_each_object_once(service: Service, bucket: Bucket) -> None:
    bucket.keep_versions()
    take_over_kills(service, bucket, moments=1, seed=1)
    assert stores.SECRET not in service.log()


@pytest.mark.slow
def test_outage_is_in_the_health_and_predictions_go_on(service: Service, bucket: Bucket) -> None:
    """The next object is taken when the store is back."""
    service.start()
    service.wait_served()
    with bucket.cut():
        wait_until(lambda: not check(service)["ok"], 30, "the health to say so")
        assert service.predict() is not None
        rows = put(bucket, 999)
    wait_until(lambda: not left(bucket), 60, "an empty bucket")
    assert check(service)["ok"]
    assert all(service.rows()[row] == 1 for row in rows)
    assert stores.SECRET not in service.log()


def check(service: Service) -> dict[str, Any]:
    """The check of the bucket, which a start lacks until the parts are open."""
    return dict(service.ask("/health")[1]["checks"].get("bucket", {"ok": True}))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(2, 6))
def test_many_kills_of_the_daemon_take_each_object_once(service: Service, bucket: Bucket, seed: int) -> None:
    """Half of the buckets keep versions."""
    if seed % 2:
        bucket.keep_versions()
    take_over_kills(service, bucket, moments=10, seed=seed)
