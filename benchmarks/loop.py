"""Drop to served: how long a CSV in the inbox takes until `/predict` answers from it, stage by stage.

Run it with `python -m benchmarks.loop --drops 7`.
"""

import argparse
import json
import random
import statistics
import time
from datetime import datetime
from pathlib import Path

from benchmarks.harness import Client, Service, figure, ratio, running, show, spread
from benchmarks.peer import Peer
from benchmarks.rows import header, lines
from daemon.settings import Inbox

ROWS = 60
ALLOWED_SECONDS, AIM_SECONDS = 3.0, 1.5
"""What the project promises and hopes for, beyond the settle time."""

# Every challenger is to be served here: time is measured, not taste. The gate runs all the same.
SETTINGS = {
    "retrain__cooldown_seconds": 0,
    "retrain__schedule": "",
    "retrain__threshold_rows": ROWS,
    "promote__tolerance": 1,
    "promote__recall_tolerance": 1,
}

TOTAL = "drop to served"


def measure(service: Service, client: Client, source: random.Random, number: int) -> dict[str, float]:
    """Drop one fresh file as `cp` would; seconds of each stage, from the journal, the status file and `/predict`."""
    after, version = service.last_event(), client.version()
    service.wait_for("quiet", lambda: None if "training" in _status(service) else True)
    path = service.home.inbox / f"drop-{number}.csv"
    path.write_text(header() + lines(source, ROWS))
    dropped = time.time()
    stages: dict[str, float] = {}

    def served() -> float | None:
        if stage := _status(service).get("training"):
            stages.setdefault(stage.split()[0], time.time())
        return time.time() if client.version() not in (version, None) else None

    seen = service.wait_for("another version in /predict", served)
    service.wait_for("the end of the training", lambda: service.events("trained", after) or None)
    at = {event["kind"]: _seconds(event["at"]) for event in service.records.events(after=after, limit=1000)}
    # A version is judged as soon as it is in the registry, which may be before the trainer has said goodbye.
    trained = min(at["trained"], at["promoted"])
    drop = service.records.drop(path.name)
    assert drop is not None
    settled = _seconds(drop["settled_at"])
    return {
        "settle, read, check, write the segment": settled - dropped,
        "journal: accepted": at["accepted"] - settled,
        "DVC and git: committed": at["committed"] - at["accepted"],
        "training starts": at["training"] - at["committed"],
        "training": trained - at["training"],
        **_parts(stages, trained),
        "judge": at["promoted"] - trained,
        "swap": at["serving"] - at["promoted"],
        "the worker adopts it": seen - at["serving"],
        TOTAL: seen - dropped,
    }


def _status(service: Service) -> dict[str, str]:
    training = json.loads(service.home.status.read_bytes())["training"]
    return {"training": training["stage"]} if training else {}


def _parts(stages: dict[str, float], end: float) -> dict[str, float]:
    """Seconds of each part of the training: until the next one was first seen in the status file."""
    ends = [*list(stages.values())[1:], end]
    return {f"- {name}": until - since for (name, since), until in zip(stages.items(), ends, strict=True)}


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def table(measured: list[dict[str, float]], peer: dict[str, float] | None) -> list[list[str]]:
    """Rows of the table: each stage, the total, the target, and the naive peer with its ratio."""
    settle = Inbox().settle_seconds
    # A poll can miss a short part of a training: the fullest measurement has them all, in order.
    names = [name for name in max(measured, key=len) if name != TOTAL]
    rows = [[name, *spread([one[name] for one in measured if name in one]), ""] for name in names]
    totals = [one[TOTAL] for one in measured]
    rows.append([TOTAL, *spread(totals), f"{settle + ALLOWED_SECONDS:g} (aim {settle + AIM_SECONDS:g})"])
    rows.append(
        [
            f"{TOTAL}, without settle_seconds",
            *spread([t - settle for t in totals]),
            f"{ALLOWED_SECONDS:g} (aim {AIM_SECONDS:g})",
        ]
    )
    if peer:
        rows += [[f"naive peer: {name}", figure(seconds), "", "", ""] for name, seconds in peer.items()]
        whole = sum(peer.values())
        rows.append(["naive peer: all", figure(whole), "", "", ratio(whole, statistics.median(totals)) + " of ours"])
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loop", description=__doc__.partition("\n")[0])
    parser.add_argument("--drops", type=int, default=7, help="files to measure, after one to warm up (default 7)")
    parser.add_argument("--no-peer", action="store_true", help="leave out the naive peer")
    options = parser.parse_args()
    source = random.Random(7)
    with running(**SETTINGS) as service:
        client = Client(service.port)
        measure(service, client, source, 0)
        measured = [measure(service, client, source, number + 1) for number in range(options.drops)]
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
