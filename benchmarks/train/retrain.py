"""Retraining: what the service adds to fitting on small data and on large, and what predictions feel of it.

Run it with `python -m benchmarks.train.retrain`.
"""

import argparse
import random
import statistics
import tempfile
from pathlib import Path

from benchmarks.figures import figure, ratio, show, spread
from benchmarks.harness import Client, running
from benchmarks.peer import Peer
from benchmarks.train import loop, retrain_beside, retrain_jobs, retrain_large

OVERHEAD_SECONDS = 0.7
"""What the project promises beyond the candidates' own fits and scoring, from a settled drop to the served version."""

PEER_TIMES = 20
"""So many times slower the tutorial way is expected to be."""

SETTLE = "settle, read, check, write the segment"
OWN = ("- cross-validate", "- fit the winner")


def small(drops: int, jobs: int, *, with_peer: bool) -> None:
    """Drops of Iris-like rows, all candidates: from settled to served, without their own time; then the tutorial way."""
    source = random.Random(7)
    with running(**loop.SETTINGS, train__jobs=jobs) as service:
        client = Client(service.port)
        loop.measure(service, client, source, 0, 0.005)
        measured = [loop.measure(service, client, source, number + 1, 0.005).seconds for number in range(drops)]
        folder = service.home.root.parent
    whole = [one[loop.TOTAL] - one[SETTLE] for one in measured]
    own = [sum(one[name] for name in OWN) for one in measured]
    overhead = [total - part for total, part in zip(whole, own, strict=True)]
    rows = [
        ["settled drop to served version", *spread(whole), ""],
        ["- the candidates' own fits and scoring", *spread(own), ""],
        ["- overhead", *spread(overhead), f"<= {OVERHEAD_SECONDS:g}"],
    ]
    if with_peer:
        rows += _peer(folder.with_name(f"{folder.name}-peer"), statistics.median(whole), statistics.median(overhead))
    show(
        f"Iris: {drops} drops of {loop.ROWS} rows, all candidates, train.jobs = {jobs}, warm; seconds",
        ["", "median", "least", "most", "target"],
        rows,
    )


def _peer(folder: Path, whole: float, overhead: float) -> list[list[str]]:
    peer = Peer(folder)
    try:
        peer.prepare()
        seconds = sum(peer.cycle(random.Random(2)).values())
    finally:
        peer.remove()
    fits = f"{figure(seconds)} = {ratio(seconds, whole)} of ours, {ratio(seconds, overhead)} of our overhead"
    return [["the tutorial way (one candidate)", fits, "", "", f">= {PEER_TIMES}x"]]


def large(rows: int, folds: int, candidates: list[str]) -> None:
    """A training on many rows of numbers, beside scikit-learn with the same candidates on a frame in memory."""
    with tempfile.TemporaryDirectory(prefix="retraind-benchmark-", ignore_cleanup_errors=True) as folder:
        measured = retrain_large.measure(Path(folder), rows, folds, candidates)
    title = f"{rows:,} rows x {len(retrain_large.SCHEMA.columns)} columns, {', '.join(candidates)}, {folds} folds, one thread"
    show(title, ["", "ours", "scikit-learn", "target"], retrain_large.table(measured))


def by_jobs(rows: int, folds: int, candidates: list[str], jobs: list[int]) -> None:
    """The same training with one process and with several."""
    with tempfile.TemporaryDirectory(prefix="retraind-benchmark-", ignore_cleanup_errors=True) as folder:
        runs = retrain_jobs.measure(Path(folder), rows, folds, candidates, jobs)
    title = f"{rows:,} rows x {len(retrain_large.SCHEMA.columns)} columns, {', '.join(candidates)}, {folds} folds"
    show(
        f"{title}; 2 jobs are to be {retrain_jobs.FASTER:g} times as fast",
        retrain_jobs.HEADER,
        retrain_jobs.table(runs),
    )


def during_training(rate: int, seconds: float, jobs: int) -> None:
    """Predictions of one row at a fixed rate, while nothing else happens and while a training computes."""
    idle, busy = retrain_beside.measure(rate, seconds, jobs)
    title = f"Predictions of one row, {rate} a second for {seconds:g} s, train.jobs = {jobs}; milliseconds"
    show(title, ["", "p50", "p99", "most", "failed", "p99 against idle", "target"], retrain_beside.table(idle, busy))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train.retrain", description=__doc__.partition("\n")[0])
    parser.add_argument("--drops", type=int, default=7, help="small files to measure, after one to warm up (default 7)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the large training (default 1,000,000)")
    parser.add_argument("--folds", type=int, default=3, help="folds of the large training (default 3)")
    parser.add_argument("--candidates", default="logistic,tree,boosting", help="of the large training, with commas")
    parser.add_argument("--rate", type=int, default=200, help="predictions a second beside a training (default 200)")
    parser.add_argument("--seconds", type=float, default=20, help="how long each load lasts (default 20)")
    parser.add_argument("--only", choices=["small", "large", "jobs", "beside"], help="one of the four parts")
    parser.add_argument(
        "--jobs",
        default="1,2",
        help="numbers of jobs to compare (default 1,2); of small and beside the last one counts",
    )
    parser.add_argument("--no-peer", action="store_true", help="leave out the tutorial way")
    options = parser.parse_args()
    candidates, jobs = options.candidates.split(","), [int(number) for number in options.jobs.split(",")]
    if options.only in (None, "small"):
        small(options.drops, jobs[-1] if options.only else 1, with_peer=not options.no_peer)
    if options.only in (None, "large"):
        large(options.rows, options.folds, candidates)
    if options.only in (None, "jobs"):
        by_jobs(options.rows, options.folds, candidates, jobs)
    if options.only in (None, "beside"):
        during_training(options.rate, options.seconds, jobs[-1] if options.only else 0)


if __name__ == "__main__":
    main()
