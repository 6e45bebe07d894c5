"""A bucket as inbox of a leader and its standby: each object is taken once, whoever leads."""

import signal
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import stores
from service import flowers, parsed, wait_until
from sharing import pair
from stores import Bucket

from benchmarks.postgres import Postgres
from retraind.daemon.core.errors import Exit, JournalTaken
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.leader.identity import Leader
from retraind.daemon.core.settings import Journal as JournalSettings
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.settings.leader import Leader as LeaderSettings
from retraind.daemon.inbox.bucket import starting
from retraind.daemon.storage.journal import Journal

server = pytest.fixture(scope="module")(stores.server)
bucket = pytest.fixture(stores.bucket)

HEADER = "sepal_length,sepal_width,petal_length,petal_width,species"


def test_deposed_leader_deletes_nothing_from_the_bucket(placed: Home) -> None:
    """What it took is in the journal, so the next one deletes it."""
    named = journal_server.named(placed.journal)
    assert named is not None
    settings = Settings(role="leader", journal=JournalSettings(url=named.url), leader=LeaderSettings(standby=True))
    first, second = (Leader(name, home=name, boot="boot", beats=True) for name in ("box-a", "box-b"))
    with closing(Journal.open(placed.journal, first)) as journal:
        starting.require_leading(settings, journal)
        deposed = journal
    with closing(Journal.open(placed.journal, second)) as journal:
        starting.require_leading(settings, journal)
        with pytest.raises(JournalTaken):
            starting.require_leading(settings, deposed)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_objects_are_taken_once_over_changes_of_leader(
    tmp_path: Path, served: Path, own_server: Postgres, bucket: Bucket
) -> None:
    """The leader is killed, and the next one stopped, while objects come."""
    inbox = {"RETRAIND_INBOX__URL": f"s3://{bucket.name}/drops", "RETRAIND_INBOX__SCAN_SECONDS": "0.2"}
    a, b = pair(tmp_path, served, own_server.url(), bucket, **inbox)
    try:
        a.start()
        a.wait_leads()
        b.start_standby()
        rows = a.rows() + put(bucket, range(8))
        time.sleep(0.5)
        a.kill()
        rows += put(bucket, range(8, 16))
        b.wait_leads()
        a.start_standby()
        rows += put(bucket, range(16, 24))
        time.sleep(0.3)
        b.signal(signal.SIGSTOP)
        rows += put(bucket, range(24, 32))
        a.wait_leads()
        b.signal(signal.SIGCONT)
        assert b.process is not None
        assert b.process.wait(30) == Exit.JOURNAL_TAKEN
        wait_until(lambda: not left(bucket), 60, f"an empty bucket: {a.log()[-1500:]}")
        a.rest()
        assert a.rows() == rows
        states = Counter(drop["state"] for drop in a.ask("/drops?limit=1000")[1]["drops"])
        assert states["rejected"] == 0
    finally:
        for machine in (a, b):
            machine.end()


def put(bucket: Bucket, numbers: range) -> Counter[tuple[Any, ...]]:
    """Put objects; their rows."""
    for number in numbers:
        body = "\n".join([HEADER, *flowers(1000 + number), ""])
        bucket.direct()._client.put_object(Bucket=bucket.name, Key=f"drops/{number}.csv", Body=body)
    return sum((parsed(flowers(1000 + number)) for number in numbers), Counter())


def left(bucket: Bucket) -> list[str]:
    """The objects that are not deleted."""
    answer = bucket.direct()._client.list_objects_v2(Bucket=bucket.name, Prefix="drops/")
    return [one["Key"] for one in answer.get("Contents", ()) if "/.retraind/" not in one["Key"]]
