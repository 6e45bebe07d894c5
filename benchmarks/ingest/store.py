"""What an object store adds to a batch: the put of its segment, and how fast lost segments come back.

Real segments, one after the other, from the hidden file to the answer of the store, as a batch waits for it; then all are removed
here and fetched. Without --url, moto's server is started on this machine (it keeps objects in memory, so no disk is
measured). Credentials come from AWS_* variables or ~/.aws.
Example: python -m benchmarks.ingest.store --puts 300 --url s3://bucket/trial --endpoint http://127.0.0.1:9000
"""

import argparse
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.figures import figure, percentile, show
from benchmarks.harness import wait_for
from benchmarks.network import HERE, Machine
from retraind.daemon.core import logs
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import DropRecord
from retraind.daemon.core.settings import Log, Storage
from retraind.daemon.core.status import utcnow
from retraind.daemon.dataset.segment_folder import SegmentFolder
from retraind.daemon.dataset.segment_writer import Segment
from retraind.daemon.objects.opening import open_store
from retraind.daemon.objects.store import ObjectStore, by_md5
from retraind.daemon.storage.journal import Journal
from retraind.daemon.stored.segments import StoredSegments

SIZES = {10: 1, 1_000: 1, 100_000: 10}
"""Rows of a segment (a small drop, a day's file, a large one) and by how much fewer of them are put: moto keeps all in memory."""

COLUMNS = 20

P99_MS = 100
"""What the project promises for a put on the same machine."""


def measure(home: Home, store: ObjectStore, rows: int, puts: int) -> list[str]:
    """A row of the table: so many segments of so many rows are put, then fetched together."""
    random, folder = np.random.default_rng(1), SegmentFolder(home)
    seconds: list[float] = []
    placed: list[Segment] = []
    with closing(Journal.open(home.journal)) as journal:
        stored = StoredSegments(home, store, journal)
        for _ in range(puts):
            sealed = folder.write([_table(random, rows)])
            started = time.perf_counter()
            stored.put_now(*sealed.object)
            seconds.append(time.perf_counter() - started)
            placed.append(sealed.place())
            drop = DropRecord(sha256=sealed.segment.sha256, name="x.csv", source="file", bytes=1, settled_at=utcnow())
            journal.batches.accept(sealed.segment.record, [drop])
        back = _fetch(home, stored, placed)
    store.delete(by_md5(segment.md5) for segment in placed)
    size = sum(segment.bytes for segment in placed) / len(placed)
    times = [figure(1000 * percentile(seconds, share), 1) for share in (0.5, 0.99, 1.0)]
    return [f"{rows:,} rows, {size / 1000:,.1f} kB", str(puts), *times, figure(1000 * back / puts, 1)]


def _fetch(home: Home, stored: StoredSegments, placed: list[Segment]) -> float:
    """Seconds until all segments are back."""
    for segment in placed:
        (home.segments / segment.name).unlink()
    started = time.perf_counter()
    stored.fetch({segment.name: segment.md5 for segment in placed})
    seconds = time.perf_counter() - started
    gone = SegmentFolder(home).verify({segment.name: segment.sha256 for segment in placed})
    assert not gone, f"{len(gone)} segments did not come back"
    return seconds


def _table(random: np.random.Generator, rows: int) -> pa.Table:
    return pa.table({f"x{number}": random.normal(size=rows) for number in range(COLUMNS)})


@contextmanager
def moto(machine: Machine = HERE) -> Iterator[Storage]:
    """A server of a machine, with a bucket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    os.environ |= {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark"}
    command = [*machine.within, sys.executable, "-m", "moto.server", "-H", machine.address, "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    endpoint, bucket = f"http://{machine.address}:{port}", f"benchmark-{secrets.token_hex(4)}"
    try:
        wait_for("moto's server", lambda: _answers(endpoint), pause=0.1)
        request = urllib.request.Request(f"{endpoint}/{bucket}", method="PUT")
        urllib.request.urlopen(request, timeout=10).close()
        yield Storage(url=f"s3://{bucket}/home", endpoint=endpoint)
    finally:
        server.kill()
        server.wait()


def _answers(endpoint: str) -> bool | None:
    with suppress(OSError), urllib.request.urlopen(endpoint, timeout=5):
        return True
    return None


def _report(settings: Storage, puts: int) -> None:
    store = open_store(settings)
    assert store is not None
    with closing(store), tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        home.make()
        home.segments.mkdir(exist_ok=True)
        table = [measure(home, store, rows, puts // fewer) for rows, fewer in SIZES.items()]
    columns = ["segment", "puts", "p50, ms", f"p99, ms (target <= {P99_MS})", "most, ms", "fetched again, ms each"]
    show(f"Segments in {store.place}", columns, table)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ingest.store", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--puts", type=int, default=300, help="segments of each size")
    parser.add_argument("--url", default="", help="s3://bucket/prefix of another store")
    parser.add_argument("--endpoint", default="", help="its address; empty: AWS")
    arguments = parser.parse_args()
    logs.configure(Log(level="error"))
    if arguments.url:
        _report(Storage(url=arguments.url, endpoint=arguments.endpoint), arguments.puts)
        return
    with moto() as settings:
        _report(settings, arguments.puts)


if __name__ == "__main__":
    main()
