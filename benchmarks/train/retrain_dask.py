"""A training with one process, with several, and on the workers of a Dask scheduler on this machine.

python -m benchmarks.train.retrain_dask [--rows 200000] [--folds 3] [--workers 2] [--candidates logistic,tree,boosting]

Workers on the same cores can't show the speed of other machines. The ratio shows what the way to them costs: each reads the
rows itself, and each task goes through the scheduler.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.dask_cluster import DaskCluster
from benchmarks.figures import show
from benchmarks.train import retrain_jobs, retrain_large
from benchmarks.train.retrain_jobs import Run


def measure(folder: Path, count: int, folds: int, names: list[str], workers: int) -> list[Run]:
    """Train on the same rows with one job, with as many as there are workers, and on the workers, twice."""
    home, written = retrain_jobs.prepare(folder, count)
    shared: dict[str, object] = {"candidates": names, "folds": folds}
    places = [(f"{jobs} jobs", {"jobs": jobs}) for jobs in (1, workers)]
    runs = [retrain_jobs.run(home, written, count, where, {**shared, **chosen}) for where, chosen in places]
    cluster = DaskCluster(folder / "dask")
    try:
        for _ in range(workers):
            cluster.start_worker()
        cluster.await_workers()
        elsewhere = {**shared, "engine": "dask", "scheduler": cluster.address}
        for time_ in ("first", "second"):
            where = f"Dask, {workers} workers, {time_} training"
            runs.append(retrain_jobs.run(home, written, count, where, elsewhere))
    finally:
        cluster.close()
    return runs


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.train.retrain_dask", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--rows", type=int, default=200_000, help="rows of 20 numbers (default 200,000)")
    parser.add_argument("--folds", type=int, default=3, help="folds (default 3)")
    parser.add_argument("--workers", type=int, default=2, help="workers, and jobs of the local pool (default 2)")
    parser.add_argument("--candidates", default="logistic,tree,boosting", help="with commas")
    options = parser.parse_args()
    names = options.candidates.split(",")
    with tempfile.TemporaryDirectory(prefix="retraind-benchmark-", ignore_cleanup_errors=True) as folder:
        runs = measure(Path(folder), options.rows, options.folds, names, options.workers)
    title = f"{options.rows:,} rows x {len(retrain_large.SCHEMA.columns)} columns, {options.candidates}, {options.folds} folds"
    show(title, retrain_jobs.HEADER, retrain_jobs.table(runs))


if __name__ == "__main__":
    main()
