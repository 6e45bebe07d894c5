"""A bucket as inbox against the folder: many small objects, and a large one, beside the same number of files.

The service is stopped (SIGSTOP) while the objects are put, so that all are there at once, as renamed files are. The
speed of the server alone is measured too, because moto, which is started without --ceph or --url, answers fewer GETs
than the daemon takes. --ceph starts Ceph's gateway (Debian's packages, or unpacked in the folder CEPH_ROOT).
Credentials come from AWS_* variables or ~/.aws.
Example: python -m benchmarks.ingest.bucket --url s3://bucket/trial --endpoint http://127.0.0.1:9000
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from benchmarks import ceph, inputs
from benchmarks.figures import figure, ratio, show
from benchmarks.harness import Service
from benchmarks.ingest import ingest_large
from benchmarks.ingest.dropping import PATIENCE, Timing, ask, cpu_seconds, decided, drop, moments, peak_bytes
from benchmarks.ingest.store import moto
from retraind.daemon.core import logs
from retraind.daemon.core.settings import Inbox, Log, Settings, Storage
from retraind.daemon.inbox.bucket import object_names, opening
from retraind.daemon.objects.bucket_objects import BucketObjects
from retraind.daemon.objects.s3 import S3Store

OBJECTS_PER_SECOND, MB_PER_SECOND = 500, 40
"""What the project promises."""

LARGE_ROWS = 1_000_000
"""About 153 MB."""

THREADS = 32


@dataclass(frozen=True)
class Measured:
    """One way of dropping some files; `emptied`: seconds from the start until the bucket was empty."""

    name: str
    timing: Timing
    emptied: float
    peak: int


class Pace:
    """The server alone: seconds to put, to get and to list all objects, by as many threads as the daemon has."""

    def __init__(self, bucket: BucketObjects, folder: Path) -> None:
        self._bucket, self._paths = bucket, sorted(folder.iterdir())
        self.put = self._each(lambda path: bucket.put(path.name, path))
        started = time.perf_counter()
        listed = bucket.objects("", len(self._paths) + 10)
        self.listing = time.perf_counter() - started
        assert len(listed) >= len(self._paths)
        self.get = self._each(lambda path: bucket.fetch(path.name, BytesIO()))

    def _each(self, work: object) -> float:
        started = time.perf_counter()
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(work, self._paths))  # type: ignore[arg-type]
        return time.perf_counter() - started


@contextmanager
def stopped(service: Service) -> Iterator[None]:
    """The daemon does nothing meanwhile."""
    os.kill(service.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(service.pid, signal.SIGCONT)


def from_bucket(service: Service, bucket: BucketObjects, folder: Path) -> tuple[Measured, Pace]:
    """Put all files of a folder as objects, and wait until they are committed and deleted."""
    after, count = ask(service, "SELECT coalesce(max(id), 0) FROM drops"), len(list(folder.iterdir()))
    with stopped(service):
        pace = Pace(bucket, folder)
        began, used = time.time(), cpu_seconds(service.pid)
    service.wait_for("all of it committed", lambda: decided(service, after, count), PATIENCE, 0.05)
    spent = cpu_seconds(service.pid) - used
    service.wait_for("an empty bucket", lambda: None if _drops(bucket) else True, PATIENCE, 0.2)
    emptied = time.time() - began
    timing = Timing(began, began, *moments(service, after), spent)
    return Measured("bucket", timing, emptied, peak_bytes(service.pid)), pace


def _drops(bucket: BucketObjects) -> bool:
    return any(not one.name.startswith(object_names.OWN) for one in bucket.objects("", 10))


def from_folder(service: Service, folder: Path) -> Measured:
    """Rename all files of a folder into the inbox."""
    timing = drop(service, folder)
    return Measured("folder", timing, timing.wall, peak_bytes(service.pid))


def table(unit: str, amount: float, pairs: list[Measured], pace: Pace, target: float) -> list[list[str]]:
    """A row for each, with its speed in `unit` of which there are `amount`, and the server's alone."""
    folder = next(one for one in pairs if one.name == "folder")
    rows = [
        [
            one.name,
            figure(amount / one.timing.wall, 1),
            figure(amount / one.emptied, 1),
            ratio(folder.timing.wall, one.timing.wall),
            figure(amount / one.timing.cpu, 1),
            str(one.timing.batches),
            figure(one.peak / 1e6, 0),
        ]
        for one in pairs
    ]
    alone = [
        "the server's GETs alone",
        figure(amount / pace.get, 1),
        "",
        ratio(folder.timing.wall, pace.get),
        "",
        "",
        "",
    ]
    return [*rows, alone, [f"target ({unit})", f">= {target:g}", "", "", "", "", ""]]


def columns(unit: str) -> list[str]:
    """The heads of the table."""
    return [
        "drops from",
        f"{unit} until committed",
        "until removed",
        "to the folder",
        "per CPU second",
        "batches",
        "peak, MB",
    ]


def measure(storage: Storage, objects: int, rows: int, rounds: int) -> None:
    """Measure and print both tables."""
    settings = Settings(inbox=Inbox(url=storage.url), storage=Storage(endpoint=storage.endpoint))
    environment = {"inbox__url": storage.url, "storage__endpoint": storage.endpoint, "inbox__scan_seconds": 1}
    with (
        tempfile.TemporaryDirectory(prefix="retraind-benchmark-", ignore_cleanup_errors=True) as name,
        closing(opening.open_bucket(settings)) as bucket,
        ingest_large.serving(Path(name), settings=environment) as service,
    ):
        folder = Path(name)
        for number in range(rounds):
            staging = [folder / f"{kind}-{number}" for kind in ("bucket", "folder")]
            for at, place in enumerate(staging):
                inputs.wide_files(place, objects, 10, seed=1000 * number + 100 * at + 1)
            measured, pace = from_bucket(service, bucket, staging[0])
            title = f"{objects} drops of 10 rows each, round {number + 1}"
            show(
                title,
                columns("objects/s"),
                table("objects/s", objects, [measured, from_folder(service, staging[1])], pace, OBJECTS_PER_SECOND),
            )
            print()
        staging = [folder / f"{kind}-large" for kind in ("bucket", "folder")]
        for at, place in enumerate(staging):
            place.mkdir()
            size = inputs.large_file(place / f"large-{at}.csv", rows, seed=at + 50) / 1e6
        measured, pace = from_bucket(service, bucket, staging[0])
        show(
            f"One drop of {size:.0f} MB",
            columns("MB/s"),
            table("MB/s", size, [measured, from_folder(service, staging[1])], pace, MB_PER_SECOND),
        )


@contextmanager
def from_ceph() -> Iterator[Storage]:
    """Ceph's gateway on this machine, with a bucket."""
    if ceph.root() is None:
        sys.exit("Ceph is not installed (Debian: apt install radosgw ceph-osd ceph-mon, or CEPH_ROOT).")
    os.environ |= {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark"}
    with tempfile.TemporaryDirectory(prefix="retraind-benchmark-", ignore_cleanup_errors=True) as folder:
        server = ceph.Ceph(Path(folder), "benchmark", "benchmark")
        try:
            store = S3Store("s3://benchmark", server.endpoint, 10.0)
            store._client.create_bucket(Bucket="benchmark")
            yield Storage(url="s3://benchmark/drops", endpoint=server.endpoint)
        finally:
            server.close()


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ingest.bucket", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=10_000, help="small objects in each round")
    parser.add_argument("--rows", type=int, default=LARGE_ROWS, help="rows of the large object")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of the small objects")
    parser.add_argument("--ceph", action="store_true", help="start Ceph's gateway instead of moto")
    parser.add_argument("--url", default="", help="s3://bucket/prefix of another store")
    parser.add_argument("--endpoint", default="", help="its address; empty: AWS")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    logs.configure(Log(level="error"))
    sizes = arguments.objects, arguments.rows, arguments.rounds
    if arguments.url:
        measure(Storage(url=arguments.url, endpoint=arguments.endpoint), *sizes)
        return
    with from_ceph() if arguments.ceph else moto() as storage:
        measure(storage, *sizes)


if __name__ == "__main__":
    main()
