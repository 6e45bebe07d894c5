"""Drop to served: how long a CSV in the inbox takes until `/predict` answers from it, stage by stage.

Run it with `python -m benchmarks.train.loop --drops 7`.
"""

import argparse
import random
import sqlite3
import statistics
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.figures import figure, ratio, show, spread
from benchmarks.harness import Client, Service, running
from benchmarks.peer import Peer
from benchmarks.rows import header, lines
from retraind.daemon.core.settings import Inbox

ROWS = 60
ALLOWED_SECONDS, AIM_SECONDS = 3.0, 1.5
"""What the project promises and hopes for, beyond the settle time."""

# Every challenger is to be served here: time is measured, not taste. The gate runs all the same.
SETTINGS = {
    "retrain__cooldown_seconds": 0,
    "retrain__schedule": "",
    "retrain__threshold_rows": ROWS,
    "retrain__growth": 0,
    "retrain__drift": False,
    "promote__tolerance": 1,
    "promote__recall_tolerance": 1,
}

TOTAL = "drop to served"


@dataclass(frozen=True)
class Drop:
    """One measured drop: which candidate won it, served by which backend, and the seconds of each stage."""

    winner: str
    seconds: dict[str, float]


def measure(service: Service, client: Client, source: random.Random, number: int, poll: float) -> Drop:
    """Drop one fresh file as `cp` would, and ask `/predict` every `poll` seconds until another version answers."""
    after, version = service.last_event(), client.version()
    path = service.home.inbox / f"drop-{number}.csv"
    path.write_text(header() + lines(source, ROWS))
    dropped = time.time()

    def served() -> float | None:
        return time.time() if client.version() not in (version, None) else None

    seen = service.wait_for("another version in /predict", served, pause=poll)
    service.wait_for("the end of the training", lambda: service.events("trained", after) or None)
    service.wait_idle()
    at = {event["kind"]: _seconds(event["at"]) for event in service.records.events.after(after=after, limit=1000)}
    drop, served_now = service.records.drops.find(path.name), service.records.versions.newest(1)[0]
    assert drop is not None
    settled, run = _seconds(drop["settled_at"]), Run.read(service, served_now["mlflow_run"])
    seconds = {
        "settle, read, check, write the segment": settled - dropped,
        "journal: accepted": at["accepted"] - settled,
        "DVC and git: committed": at["committed"] - at["accepted"],
        "training starts": at["training"] - at["committed"],
        "training": run.registered - at["training"],
        "- fork, open MLflow": run.started - at["training"],
        "- cross-validate": sum(one["fit_seconds"] for one in served_now["scores"]["candidates"]),
        "- fit the winner": served_now["scores"]["fit_seconds"],
        "judge": at["promoted"] - run.registered,
        "swap": at["serving"] - at["promoted"],
        "the worker adopts it": seen - at["serving"],
        "later: candidates, pictures": run.ended - run.registered,
        TOTAL: seen - dropped,
    }
    return Drop(f"{served_now['candidate']} ({served_now['backend']})", seconds)


@dataclass(frozen=True)
class Run:
    """Moments of one training as MLflow noted them (wall clock, seconds, exact to a millisecond).

    Not the stages of the status file: that one is published when the loop turns, and lags behind.
    """

    started: float
    registered: float
    ended: float
    """All is logged that is for people only."""

    @classmethod
    def read(cls, service: Service, run: str) -> "Run":
        """The moments of the parent run `run`."""
        query = """
            SELECT start_time, (SELECT creation_time FROM model_versions WHERE run_id = :run), end_time
            FROM runs WHERE run_uuid = :run"""
        with closing(sqlite3.connect(f"file:{service.home.mlflow}?mode=ro", uri=True)) as connection:
            return cls(*(moment / 1000 for moment in connection.execute(query, {"run": run}).fetchone()))


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def table(drops: list[Drop], peer: dict[str, float] | None) -> list[list[str]]:
    """Rows of the table: each stage, the total, the target, the total by winner, and the naive peer with its ratio."""
    settle = Inbox().settle_seconds
    names = [name for name in drops[0].seconds if name != TOTAL]
    rows = [[name, *spread([drop.seconds[name] for drop in drops]), ""] for name in names]
    totals = [drop.seconds[TOTAL] for drop in drops]
    beyond = f"{ALLOWED_SECONDS:g} (aim {AIM_SECONDS:g})"
    rows.append([TOTAL, *spread(totals), f"{settle + ALLOWED_SECONDS:g} (aim {settle + AIM_SECONDS:g})"])
    rows.append([f"{TOTAL}, without settle_seconds", *spread([total - settle for total in totals]), beyond])
    for winner in sorted({drop.winner for drop in drops}):
        of_winner = [drop.seconds[TOTAL] - settle for drop in drops if drop.winner == winner]
        rows.append([f"- {len(of_winner)} won by {winner}", *spread(of_winner), beyond])
    if peer:
        rows += [[f"naive peer: {name}", figure(seconds), "", "", ""] for name, seconds in peer.items()]
        whole = sum(peer.values())
        rows.append(["naive peer: all", figure(whole), "", "", ratio(whole, statistics.median(totals)) + " of ours"])
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train.loop", description=__doc__.partition("\n")[0])
    parser.add_argument("--drops", type=int, default=7, help="files to measure, after one to warm up (default 7)")
    parser.add_argument("--poll", type=float, default=5, help="ms between two questions to /predict (default 5)")
    parser.add_argument("--no-peer", action="store_true", help="leave out the naive peer")
    options = parser.parse_args()
    source = random.Random(7)
    with running(**SETTINGS) as service:
        client = Client(service.port)
        measure(service, client, source, 0, options.poll / 1000)
        measured = [
            measure(service, client, source, number + 1, options.poll / 1000) for number in range(options.drops)
        ]
        folder = service.home.root.parent
    title = f"Drop to served: {options.drops} drops of {ROWS} rows, all candidates, warm; seconds"
    show(
        title,
        ["stage", "median", "least", "most", "target"],
        table(measured, None if options.no_peer else _peer(folder)),
    )


def _peer(folder: Path) -> dict[str, float]:
    peer = Peer(folder.with_name(folder.name + "-peer"))
    try:
        peer.prepare()
        return peer.cycle(random.Random(2))
    finally:
        peer.remove()


if __name__ == "__main__":
    main()
