"""What a batch costs to record: the journal in its file, and on a PostgreSQL server of this machine, in turns.

Each batch is one transaction with its drops and an event, on the disk before it returns: files and server lie in the same
temporary folder, so set TMPDIR to a real disk. A question is what a page asks, from a process that has asked before.
Example: python -m benchmarks.ingest.journal --rounds 10
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.figures import figure, percentile, ratio, show
from benchmarks.postgres import Postgres
from retraind.daemon.core.home import Home
from retraind.daemon.records.records import Records
from retraind.daemon.storage.journal import Journal

BATCHES = 200
"""Batches of a round, for each of the two."""


def accept(journal: Journal, number: int, drops: int) -> None:
    """Record a batch of so many drops."""
    name = f"{number:064x}"
    segment: Any = {"segment": f"{number}.parquet", "sha256": name, "md5": name[:32], "rows": drops, "bytes": 4096}
    records: list[Any] = [
        {
            "sha256": f"{number:032x}{place:032x}",
            "name": f"{number}-{place}.csv",
            "source": "file",
            "bytes": 400,
            "rows_read": 1,
            "rows_accepted": 1,
            "settled_at": "2027-01-01T00:00:00.000Z",
        }
        for place in range(drops)
    ]
    journal.batches.accept(segment, records)


def timed(action: Callable[[int], object], numbers: range) -> list[float]:
    """Milliseconds of each call."""
    times = []
    for number in numbers:
        began = time.perf_counter()
        action(number)
        times.append(1000 * (time.perf_counter() - began))
    return times


@contextmanager
def homes() -> Iterator[dict[str, Home]]:
    """An empty home with its journal in a file, and one with it on a server."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="retraind-benchmark-")))
        server = Postgres.make()
        stack.callback(server.remove)
        both = {"file": Home(folder / "file"), "server": Home(folder / "server")}
        for home in both.values():
            home.make()
        server.place(both["server"])
        yield both


def measure(rounds: int, drops: int) -> dict[str, dict[str, list[float]]]:
    """Milliseconds by what was done and where, `rounds` of BATCHES in turns."""
    times: dict[str, dict[str, list[float]]] = {
        name: {"file": [], "server": []} for name in ("accept()", "newest drops", "totals")
    }
    with homes() as both, ExitStack() as stack:
        journals = {place: stack.enter_context(closing(Journal.open(home.journal))) for place, home in both.items()}
        records = {place: Records(home) for place, home in both.items()}
        for turn in range(rounds + 1):
            for place, journal in journals.items():
                numbers = range(turn * BATCHES, (turn + 1) * BATCHES)
                accepted = timed(lambda number, to=journal: accept(to, number, drops), numbers)  # type: ignore[misc]
                newest = timed(lambda _number, of=records[place]: of.drops.newest(20), numbers)  # type: ignore[misc]
                totals = timed(lambda _number, of=records[place]: of.totals.counts(), numbers)  # type: ignore[misc]
                if turn:  # the first warms up
                    for name, some in (("accept()", accepted), ("newest drops", newest), ("totals", totals)):
                        times[name][place] += some
    return times


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest.journal", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help=f"rounds of {BATCHES} batches each")
    parser.add_argument("--drops", type=int, default=1, help="drops of a batch")
    options = parser.parse_args()
    rows = []
    for name, places in measure(options.rounds, options.drops).items():
        middle = {place: percentile(values, 0.5) for place, values in places.items()}
        row = [f"{name}, ms"]
        for place, values in places.items():
            row += [figure(middle[place], 2), figure(percentile(values, 0.99), 2)]
        rows.append([*row, ratio(middle["server"], middle["file"])])
    title = f"{options.rounds} rounds of {BATCHES} in turns, {options.drops} drops a batch; at most 2x is promised for accept()"
    show(title, ["", "file", "p99", "PostgreSQL", "p99", "ratio of medians"], rows)


if __name__ == "__main__":
    main()
