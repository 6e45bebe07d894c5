"""What a home takes of the disk, by part, and how much each batch and each training adds.

One real service. Files of a few rows are dropped one after the other, each of which becomes a batch of its own; halfway and at the
end all files are counted. The difference is multiplied up to a drop a second for a day. So many trainings follow, by request.
Example: python -m benchmarks.ingest.footprint --batches 512 --trainings 10
"""

import argparse
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import inputs
from benchmarks.figures import show
from benchmarks.harness import Client, Service, running
from benchmarks.ingest.dropping import ask
from benchmarks.ingest.ingest_small import QUIET
from retraind.daemon.core.home import Home

DAY = 86_400
ROWS = 4

PARTS = {
    "data/.git": "git",
    "data/.dvc/cache": "DVC's cache",
    "data/.dvc/tmp": "DVC's notes",
    "data/dataset": "dataset",
    "registry/journal.db": "journal",
    "registry/mlflow.db": "MLflow's database",
    "registry/dvc-site": "DVC's state",
    "registry/artifacts": "MLflow's artifacts",
    "registry/bundles": "bundles",
    "logs": "prediction log",
}
"""Where a path begins, and what it is called; all else is `other`."""


@dataclass(frozen=True)
class Taken:
    """Files and folders of one part, and the bytes of their blocks."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: "Taken") -> "Taken":
        return Taken(self.files + other.files, self.bytes + other.bytes)

    def __sub__(self, other: "Taken") -> "Taken":
        return Taken(self.files - other.files, self.bytes - other.bytes)


def footprint(home: Home) -> dict[str, Taken]:
    """What each part of a home takes now; what vanishes meanwhile counts as not there."""
    taken = dict.fromkeys([*PARTS.values(), "other"], Taken())
    for path in _below(home.root):
        try:
            blocks = path.lstat().st_blocks
        except FileNotFoundError:
            continue
        part = part_of(str(path.relative_to(home.root)))
        taken[part] += Taken(1, blocks * 512)
    return taken


def part_of(path: str) -> str:
    """The part that a path, relative to the home, belongs to."""
    return next((name for begin, name in PARTS.items() if path.startswith(begin)), "other")


def _below(root: Path) -> Iterator[Path]:
    for at, folders, names in os.walk(root):
        yield from (Path(at, name) for name in (*folders, *names))


def drop_singly(service: Service, count: int, first: int) -> None:
    """Drop files of a few rows, each after the one before was committed."""
    staging = service.home.root.parent / f"staging-{first}"
    inputs.small_files(staging, count, ROWS, seed=first)
    for path in sorted(staging.iterdir()):
        done = ask(service, "SELECT count(*) FROM batches WHERE kind = 'drops' AND state = 'committed'")
        path.rename(service.home.inbox / f"{first}-{path.name}")
        service.wait_for(
            "its batch",
            lambda done=done: (  # type: ignore[misc]
                ask(service, "SELECT count(*) FROM batches WHERE kind = 'drops' AND state = 'committed'") > done or None
            ),
        )


def train(service: Service, count: int) -> None:
    """Ask for so many trainings, one after the other."""
    for _ in range(count):
        known = ask(service, "SELECT count(*) FROM versions")
        client = Client(service.port)
        client.ask("/trigger_retrain", {"force_retrain": True})
        client.close()
        service.wait_for(
            "its verdict",
            lambda known=known: ask(service, "SELECT count(*) FROM versions") > known or None,  # type: ignore[misc]
        )
        service.wait_idle()


def table(title: str, before: Mapping[str, Taken], after: Mapping[str, Taken], count: int, times: int) -> None:
    """Print what each of `count` added, by part, and `times` as much."""
    parts = [(part, after[part] - before[part]) for part in after]
    total = sum((added for _, added in parts), Taken())
    rows = [
        [
            part,
            f"{added.files / count:.2f}",
            f"{added.bytes / count / 1000:.2f}",
            f"{added.files / count * times:,.0f}",
            f"{added.bytes / count * times / 1e6:,.0f}",
        ]
        for part, added in [*parts, ("all", total)]
        if added.files or added.bytes
    ]
    show(title, ["part", "inodes each", "kB each", f"inodes, {times:,} of them", "MB"], rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ingest.footprint", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--batches", type=int, default=512)
    parser.add_argument("--trainings", type=int, default=0)
    arguments = parser.parse_args()
    half = arguments.batches // 2
    with running(**QUIET) as service:
        drop_singly(service, half, 0)
        middle = footprint(service.home)
        drop_singly(service, half, half)
        end = footprint(service.home)
        table(f"Batches {half + 1} to {2 * half}, of {ROWS} rows each", middle, end, half, DAY)
        if arguments.trainings:
            train(service, arguments.trainings)
            trained = footprint(service.home)
            table(f"{arguments.trainings} trainings", end, trained, arguments.trainings, 30 * 24)


if __name__ == "__main__":
    main()
