"""Serving: single rows beside the peers and an empty route, slow clients, large batches, swaps, cold start and memory.

Run it with `python -m benchmarks.serve.serve [--only speed,parts,open,workers,slow,batch,swaps,start] [--peers DIR]`.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.figures import show
from benchmarks.serve import (
    serve_batch,
    serve_models,
    serve_open,
    serve_parts,
    serve_slow,
    serve_speed,
    serve_swaps,
    serve_workers,
    serve_wrk,
)
from benchmarks.serve.serve_speed import Ours
from retraind.daemon.core.home import Home

PARTS = ("speed", "parts", "open", "workers", "slow", "batch", "swaps", "start")


def measure(parts: list[str], cache: Path | None, seconds: float, folder: Path) -> None:
    """Make the models, measure the parts in order and print a table for each."""
    row = serve_models.rows()[0][0].round(6).tolist()
    serve_models.store(folder)
    homes = {
        name: serve_models.make_home(folder / f"home-{name}", serve_models.estimator(name))
        for name in serve_models.NAMES
    }
    most = _speed(homes, row, cache, seconds, folder, shown="speed" in parts)
    half = {name: max(50, int(found.rate / 2)) for name, found in most.models.items()}
    if "parts" in parts:
        rows = serve_parts.measure(homes, row, seconds)
        show("Where the time of a prediction goes", serve_parts.COLUMNS, rows)
    if "open" in parts:
        _open(homes, row, half, seconds, folder)
    if "workers" in parts:
        show("Two workers on one socket", serve_workers.COLUMNS, serve_workers.measure(homes, row, seconds))
    modest = min(500, half["forest"])
    if "slow" in parts:
        rows = serve_slow.measure(homes["forest"], row, modest, seconds)
        show(f"Slow clients: {modest} single rows a second beside them", serve_slow.COLUMNS, rows)
    if "batch" in parts:
        show("Many rows in one request", serve_batch.COLUMNS, serve_batch.measure(homes))
        rows = serve_batch.during_batches(homes["forest"], row, modest, seconds)
        show("Single rows beside requests of 10,000", serve_batch.BESIDE_COLUMNS, rows)
    if "swaps" in parts:
        rows = serve_swaps.measure(homes["forest"], row, min(1000, half["forest"]), 100)
        show("100 swaps under load", serve_swaps.COLUMNS, rows)
    if "start" in parts:
        show("A worker that starts", serve_swaps.START_COLUMNS, serve_swaps.starts(homes["forest"], row))


def _open(homes: dict[str, Home], row: list[float], half: dict[str, int], seconds: float, folder: Path) -> None:
    program = serve_open.compiled(folder)
    loads = {name: serve_open.measure(program, homes[name], row, rate, seconds) for name, rate in half.items()}
    tails = [line for name, load in loads.items() for line in serve_open.rows(name, load)]
    show("Open loop: half of the most, at a constant rate", serve_open.COLUMNS, tails)
    pauses = [serve_open.pause_row(name, load) for name, load in loads.items()]
    show("Pauses of the machine meanwhile", serve_open.PAUSE_COLUMNS, pauses)


def _speed(
    homes: dict[str, Home], row: list[float], cache: Path | None, seconds: float, folder: Path, *, shown: bool
) -> Ours:
    """The most that our worker does; the others are measured only if that is to be shown."""
    most = serve_speed.measure(homes, row, seconds if shown else 3)
    if shown:
        rows = serve_speed.table(most)
        if cache:
            rows += serve_speed.peers(most, cache, folder, row, seconds)
        title = f"Single rows, closed loop: wrk, {serve_wrk.CONNECTIONS} connections, {seconds:g} s each"
        show(title, serve_speed.COLUMNS, rows)
    return most


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve.serve", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--peers", type=Path, metavar="DIR", help="measure the peers, too; environments go into DIR")
    parser.add_argument("--seconds", type=float, default=9, help="length of each load (default 9)")
    options = parser.parse_args()
    parts = options.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if reason := serve_wrk.missing() or ("open" in parts and serve_open.missing()):
        parser.error(reason)
    # The two threads of the load hand over often: a default of 5 ms would show in every latency.
    sys.setswitchinterval(0.0002)
    with tempfile.TemporaryDirectory(prefix="retraind-benchmark-", ignore_cleanup_errors=True) as folder:
        measure(parts, options.peers, options.seconds, Path(folder))


if __name__ == "__main__":
    main()
