"""Ingestion: many small files, large files, growth of the dataset, an idle inbox, and what people would use instead.

Run it with `python -m benchmarks.ingest.ingest`; `--quick` is the same with small numbers, to see that it runs.
"""

import argparse
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import show
from benchmarks.harness import running
from benchmarks.ingest import (
    ingest_growth,
    ingest_idle,
    ingest_large,
    ingest_peers,
    ingest_pyarrow,
    ingest_reading,
    ingest_small,
)

RATE = 50
"""Requests a second to each of /health and /predict."""


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    files: int = 10_000
    rounds: int = 3
    rows: int = 1_000_000
    many: int = 10
    ingested: tuple[int, ...] = (10, 1000)
    constructed: int = 100_000
    commits: int = 15
    idle_seconds: float = 30
    scripted: int = 10


FULL = Sizes()
QUICK = Sizes(200, 1, 20_000, 2, (10,), 300, 3, 3, 2)


def small(sizes: Sizes) -> None:
    """Many small files, without trainings and with them."""
    rows, asked = [], []
    for name, trainings in (("alone", False), ("with trainings", True)):
        measured = ingest_small.small(sizes.files, sizes.rounds, RATE, trainings=trainings)
        rows += ingest_small.table(name, measured)
        asked += ingest_small.asked_table(name, measured)
    title = f"{sizes.files} files of {ingest_small.ROWS} rows, renamed into the inbox of a running service"
    show(f"{title}, {sizes.rounds} rounds", ingest_small.COLUMNS, rows)
    print()
    show(f"Requests meanwhile, {RATE} a second to each path", ingest_small.ASKED_COLUMNS, asked)


def large(sizes: Sizes) -> None:
    """One large file, then many; and pyarrow alone with one."""
    before, measured, reading = ingest_large.measure(sizes.rows, sizes.many)
    title = f"Files of {sizes.rows} rows and 20 columns, renamed into the inbox of a running service"
    alone = ingest_pyarrow.rows(ingest_pyarrow.megabytes_per_second(sizes.rows), measured[0].megabytes_per_second)
    show(title, ingest_large.COLUMNS, [*ingest_large.table(before, measured), *alone])
    print()
    show("Reading all of it", ingest_reading.COLUMNS, reading)


def growth(sizes: Sizes) -> None:
    """Small batches to a small and to a large dataset; its cache; reading it."""
    title = f"One batch of {ingest_small.ROWS} rows, settled to committed, {sizes.commits} times at each stage, in turn"
    with ingest_growth.stages(sizes.ingested, sizes.constructed, sizes.commits) as stages:
        show(title, ingest_growth.COLUMNS, ingest_growth.table(stages))
        print()
        show("Bytes on the disk", ingest_growth.CACHE_COLUMNS, ingest_growth.cache_table(stages))
        print()
        show("Reading all of it", ingest_reading.COLUMNS, [row for stage in stages for row in stage.reading])


def idle(sizes: Sizes) -> None:
    """A service with nothing to do."""
    with running(**ingest_small.QUIET) as service:
        shares = ingest_idle.measure(service, sizes.files, sizes.idle_seconds)
    title = f"Idle with {sizes.files} files in inbox/rejected, {sizes.idle_seconds:g} s, percent of one core"
    show(title, ["process", "%", "target"], ingest_idle.table(shares))


def peers(sizes: Sizes, folder: Path | None) -> None:
    """What people would use instead."""
    with tempfile.TemporaryDirectory(prefix="retraind-benchmark-") as name:
        rows, note = ingest_peers.compare(Path(name), folder, sizes.scripted, sizes.files, sizes.rows)
    show("Peers", ingest_peers.COLUMNS, rows)
    print(note)


PARTS = ("small", "large", "growth", "idle", "peers")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest.ingest", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it runs")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {', '.join(PARTS)} (default all)")
    parser.add_argument(
        "--peers", type=Path, metavar="DIR", help="folder for an environment with pyspark; else no Spark"
    )
    options = parser.parse_args()
    # Ended from outside, it still stops what it has started.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    # The threads of the load hand over often: a default of 5 ms would show in every latency.
    sys.setswitchinterval(0.0002)
    sizes = QUICK if options.quick else FULL
    parts = options.parts.split(",")
    for name, part in (("small", small), ("large", large), ("growth", growth), ("idle", idle)):
        if name in parts:
            part(sizes)
            print()
    if "peers" in parts:
        peers(sizes, options.peers)


if __name__ == "__main__":
    main()
