"""Many changes of leader under ingestion: two machines share a journal and a store, and the leader is lost again and again.

Drops of one row come into both inboxes all the time. The leader is killed (-9), stopped (SIGSTOP) until the other one has taken
over, or its session is ended. In the end each row must be there once, and no process may have written in another epoch than its own.
Example: python -m benchmarks.ingest.leaders --changes 1000
"""

import argparse
import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import suppress

from benchmarks.figures import figure, machine, percentile, show
from benchmarks.harness import wait_for
from benchmarks.ingest.leader_pair import Machine, Pair, pair
from retraind.daemon.dataset import segments
from retraind.daemon.records import segments as recorded

DROP_SECONDS = 0.15
"""Interval of the drops of each machine."""

LOSSES = ("killed (-9)", "stopped (SIGSTOP)", "session ended", "killed (-9)")

STALE = """
SELECT count(*) FROM {schema}.audit AS late WHERE EXISTS (
    SELECT 1 FROM {schema}.audit AS own WHERE own.writer = late.writer AND own.epoch < late.epoch)"""
"""Transactions of a writer after another epoch than its first has begun."""


class Drops(threading.Thread):
    """Drops a row on each machine again and again."""

    def __init__(self, place: Pair) -> None:
        super().__init__(daemon=True)
        self._place, self.ended = place, threading.Event()

    def run(self) -> None:
        """Drop until `ended`."""
        count = 0
        while not self.ended.wait(DROP_SECONDS):
            for one in self._place.machines:
                count += 1
                one.drop(round(100 + count / 10_000, 4))


def drain(place: Pair) -> None:
    """Let each machine lead until its inbox is empty."""
    for _ in place.machines:
        leader, _other = place.roles()
        _wait_for_empty_inbox(leader)
        epoch = place.epoch()[0]
        os.kill(leader.pid, signal.SIGTERM)
        place.wait_for_epoch(epoch)
        wait_for("the end", leader.ended, pause=0.05)
        leader.start()
    place.roles()


def _wait_for_empty_inbox(leader: Machine) -> None:
    wait_for(f"an empty inbox of {leader.name}", lambda: not list(leader.home.inbox.glob("*.csv")) or None, 300, 0.1)


def counts(place: Pair) -> dict[str, int]:
    """Rows and transactions after `drain`, and those that must not exist."""
    rows = wait_for("the rows to be read", lambda: _rows(place), pause=1.0)
    dropped = [length for one in place.machines for length in one.dropped]
    [(stale,)] = place.postgres.sql(STALE.format(schema=place.schema))
    [(writes,)] = place.postgres.sql(f"SELECT count(*) FROM {place.schema}.audit")
    return {
        "rows dropped": len(dropped),
        "rows lost": sum(rows[length] == 0 for length in dropped),
        "rows doubled": sum(max(0, rows[length] - 1) for length in dropped),
        "transactions": int(writes),
        "transactions of a deposed leader": int(stale),
        "epochs": place.epoch()[0],
    }


def _rows(place: Pair) -> Counter[float] | None:
    """The first column of every row of the leader's dataset; None if a merge has replaced a segment meanwhile."""
    leader, _ = place.roles()
    known = {name: row["sha256"] for name, row in recorded.current(leader.home.journal).items()}
    with suppress(FileNotFoundError):
        tables = segments.read(leader.home.segments, known)
        return Counter(length for _, table in tables for length in table["sepal_length"].to_pylist())
    return None


def measure(place: Pair, changes: int, seed: int) -> None:
    """Change the leader so many times under drops, then let both inboxes become empty."""
    chance, drops = random.Random(seed), Drops(place)
    drops.start()
    try:
        for number in range(changes):
            time.sleep(chance.uniform(0, 0.5))
            place.change(LOSSES[number] if number < len(LOSSES) else chance.choice(LOSSES))
            if number % 50 == 49:
                print(f"{number + 1} changes, epoch {place.epoch()[0]}", flush=True)
    finally:
        drops.ended.set()
        drops.join()
    drain(place)


def main() -> None:
    """Change the leader so many times, and print times and counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with pair() as place:
        measure(place, options.changes, options.seed)
        facts = counts(place)
    rows = [
        [loss, str(len(times)), *(figure(percentile(times, share), 2) for share in (0.5, 0.99, 1.0))]
        for loss, times in place.seconds.items()
    ]
    show("Seconds until the next batch was accepted", ["loss", "n", "p50", "p99", "most"], rows)
    numbers = [[fact, f"{number:,}"] for fact, number in (facts | place.codes).items()]
    show("Counts", ["fact", "number"], numbers)
    print(machine())


if __name__ == "__main__":
    main()
