"""Pages of old predictions, asked of the real service: first when nothing is written, then while it copies and archives logs.

The client is this process, which does nothing else meanwhile: the logs are written before, and get their place by renaming.
"""

import random
import resource
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPException
from pathlib import Path

from benchmarks.figures import percentile, show
from benchmarks.harness import Client, Service
from benchmarks.serve import prediction_rows
from retraind.daemon.core.home import Home
from retraind.daemon.records.search import history_files

PAGES, LOGS, LOG_ROWS = 400, 10, 50_000
"""Pages that are asked for when nothing is written; logs that are archived meanwhile, and the rows of each."""

FIRST_PART = 10_000
"""The first part that such logs have; later ones follow."""

TARGET = 0.2
"""Seconds of all but one of a hundred pages."""

PATIENCE = 300.0


def measure(folder: Path, ends: range) -> None:
    """Measure and print."""
    waiting = _written(folder)
    service = Service(folder, server__workers=1, predictions__history="parquet", predictions__keep_rows=0)
    try:
        service.start()
        with closing(service.client()) as client:
            service.wait_for("the first page", lambda: _is_answered(client), pause=0.1)
            list(_pages(client, ends, PAGES // 20))
            quiet = list(_pages(client, ends, PAGES))
            started = time.monotonic()
            busy = list(_while_archived(service.home, client, ends, waiting))
            rate = len(waiting) * LOG_ROWS / (time.monotonic() - started)
    finally:
        service.close()
    facts = [
        [name, str(len(times)), *(f"{percentile(times, share) * 1000:.1f}" for share in (0.5, 0.99)), f"{max(times) * 1000:.1f}"]
        for name, times in (("nothing is written", quiet), (f"{len(waiting) * LOG_ROWS:,} rows are archived, {rate:,.0f} a second", busy))
    ]  # fmt: skip
    show("GET /predictions/history, a page of 100 anywhere, ms", ["while", "pages", "p50", "p99", "most"], facts)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"The target of p99 is {TARGET * 1000:.0f} ms. The largest process of the service took {peak:.0f} MB.")


def _written(folder: Path) -> list[Path]:
    """Logs outside of the home, of rows that no log had before."""
    place = folder / "waiting"
    place.mkdir(exist_ok=True)
    used = history_files.logs(Home(folder / "home").journal)
    paths, part = list[Path](), FIRST_PART
    while len(paths) < LOGS:
        if prediction_rows.log_name(part) not in used:
            paths.append(prediction_rows.write_log(place, part, LOG_ROWS))
        part += 1
    return paths


def _is_answered(client: Client) -> bool | None:
    """True once the service shows old predictions; None until then."""
    with suppress(OSError, HTTPException):
        return client.ask("/predictions/history?limit=1")[0] == 200 or None
    return None


def _pages(client: Client, ends: range, count: int) -> Iterator[float]:
    """Seconds of each of some pages that begin anywhere between two numbers."""
    chance = random.Random(1)
    for _ in range(count):
        path = f"/predictions/history?limit=100&below={chance.randrange(ends.start, ends.stop)}"
        started = time.monotonic()
        status, page = client.ask(path)
        assert (status, len(page["history"])) == (200, 100), (path, status, len(page.get("history", ())))
        yield time.monotonic() - started


def _while_archived(home: Home, client: Client, ends: range, waiting: list[Path]) -> Iterator[float]:
    """Pages until the service has archived all logs; there are always one or two for it to do."""
    began, rest = time.monotonic(), list(waiting)
    for seconds in _pages(client, ends, 10**6):
        yield seconds
        present = [path for path in waiting if (home.logs / path.name).exists()]
        if not rest and not present:
            return
        for path in rest[: max(0, 2 - len(present))]:
            path.rename(home.logs / path.name)
            rest.remove(path)
        assert time.monotonic() - began < PATIENCE, f"{len(present)} logs are still not archived"
