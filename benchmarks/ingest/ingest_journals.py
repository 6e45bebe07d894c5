"""Ingestion with the journal in its file and on a PostgreSQL server of this machine, in turns.

Small files and large ones as in `benchmarks.ingest.ingest`, and the commit of one small batch to datasets of some sizes.
Files, server and homes lie in the same temporary folder, so set TMPDIR to a real disk.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import inputs
from benchmarks.figures import ratio, show, spread
from benchmarks.harness import Service
from benchmarks.ingest import ingest_growth, ingest_large
from benchmarks.ingest.dropping import ask, drop
from benchmarks.ingest.growth import grow
from benchmarks.ingest.ingest_small import QUIET, ROWS
from benchmarks.postgres import Postgres

Services = Mapping[str, Service]
"""By the place of the journal: `file` and `server`."""

Values = dict[str, list[float]]
"""What was measured in each turn, by the place of the journal."""


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    files: int = 10_000
    rows: int = 1_000_000
    turns: int = 5
    batches: tuple[int, ...] = (10, 1000)
    constructed: int = 100_000
    commits: int = 15


FULL = Sizes()
QUICK = Sizes(200, 20_000, 1, (10,), 300, 3)


@contextmanager
def services(folder: Path, server: Postgres, settings: Mapping[str, object]) -> Iterator[Services]:
    """A started service with its journal in its file, and one with it on the server."""
    with ExitStack() as stack:
        both = {}
        for place in ("file", "server"):
            (folder / place).mkdir(parents=True)
            address = {"journal__url": server.url()} if place == "server" else {}
            both[place] = service = Service(folder / place, **settings, **address)
            stack.callback(service.close)
            service.start()
            service.wait_started()
        yield both


def in_turns(both: Services, turns: int, measure: Callable[[Service, int], float]) -> Values:
    """What `measure` gives for both, `turns` times after one that warms up; the order changes each time."""
    values: Values = {place: [] for place in both}
    for turn in range(turns + 1):
        for place in list(both)[:: 1 if turn % 2 else -1]:
            value = measure(both[place], turn)
            if turn:
                values[place].append(value)
    return values


def small(folder: Path, server: Postgres, sizes: Sizes) -> Values:
    """Small files a second, from the first rename to the last commit."""

    def measure(service: Service, turn: int) -> float:
        staging = service.home.root.parent / "staging"
        inputs.small_files(staging, sizes.files, ROWS, seed=turn)
        timing = drop(service, staging)
        staging.rmdir()
        return sizes.files / timing.wall

    with services(folder / "small", server, QUIET) as both:
        return in_turns(both, sizes.turns, measure)


def large(folder: Path, server: Postgres, sizes: Sizes) -> Values:
    """MB a second of one large file, from settled to committed."""

    def measure(service: Service, turn: int) -> float:
        staging = service.home.root.parent / "staging"
        staging.mkdir()
        size = inputs.large_file(staging / f"{turn}.csv", sizes.rows, seed=turn + 1)
        timing = drop(service, staging)
        staging.rmdir()
        return size / 1e6 / timing.work

    with ExitStack() as stack:
        both = {}
        for place, where in (("file", None), ("server", server)):
            (folder / "large" / place).mkdir(parents=True)
            both[place] = stack.enter_context(ingest_large.serving(folder / "large" / place, where))
        return in_turns(both, sizes.turns, measure)


def commits(folder: Path, server: Postgres, sizes: Sizes) -> Iterator[tuple[str, Values]]:
    """Seconds from settled to committed of one small batch after more and more batches, and of a start with the most."""
    with services(folder / "commits", server, ingest_growth.SETTINGS) as both:
        for count in sizes.batches:
            for service in both.values():
                ingest_growth.fill(service, count - _batches(service))
            yield f"one batch after {count}, s", in_turns(both, sizes.commits, _commit)
        starts: Values = {}
        for place, service in both.items():
            service.terminate()
            grow(service.home, sizes.constructed - _batches(service))
            starts[place] = [_start(service)]
        yield f"one batch after {sizes.constructed}, s", in_turns(both, sizes.commits, _commit)
        yield f"a start after {sizes.constructed}, s", starts


def _batches(service: Service) -> int:
    return ask(service, "SELECT count(*) FROM batches WHERE kind = 'drops' AND state = 'committed'")


def _commit(service: Service, _turn: int) -> float:
    staging = service.home.root.parent / "single"
    inputs.small_files(staging, 1, ROWS, seed=1_000_000 + time.monotonic_ns() % 1_000_000_000)
    timing = drop(service, staging, pause=0.002)
    staging.rmdir()
    return timing.work


def _start(service: Service) -> float:
    known, began = service.last_event(), service.start()
    service.wait_for("the daemon's start", lambda: service.events("started", known) or None)
    return time.monotonic() - began


def row(name: str, values: Values, digits: int) -> list[str]:
    """Median, least and most of both, and the ratio of the medians."""
    middle = {place: statistics.median(measured) for place, measured in values.items()}
    figures = [text for place in ("file", "server") for text in spread(values[place], digits)]
    return [name, *figures, ratio(middle["server"], middle["file"])]


def table(folder: Path, server: Postgres, sizes: Sizes, parts: Sequence[str]) -> list[list[str]]:
    """A row for each figure."""
    rows = []
    if "small" in parts:
        rows.append(row(f"{sizes.files} small files, files/s", small(folder, server, sizes), 0))
    if "large" in parts:
        rows.append(row("a large file, MB/s", large(folder, server, sizes), 1))
    if "commits" in parts:
        rows += [row(name, values, 3) for name, values in commits(folder, server, sizes)]
    return rows


PARTS = ("small", "large", "commits")
COLUMNS = ["", "file", "least", "most", "PostgreSQL", "least", "most", "ratio of medians"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest.ingest_journals", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it runs")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {', '.join(PARTS)} (default all)")
    options = parser.parse_args()
    sizes = QUICK if options.quick else FULL
    with ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="retraind-benchmark-", ignore_cleanup_errors=True)
        folder = Path(stack.enter_context(temporary))
        server = Postgres.make()
        stack.callback(server.remove)
        rows = table(folder, server, sizes, options.parts.split(","))
    show(f"{sizes.turns} turns, of single batches {sizes.commits}", COLUMNS, rows)


if __name__ == "__main__":
    main()
