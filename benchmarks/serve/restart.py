"""Restart to first prediction with an existing champion, after a stop and after kill -9.

Run it with `python -m benchmarks.serve.restart --times 7`.
"""

import argparse
import http.client
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import ratio, show, spread
from benchmarks.harness import ROW, Client, Service, running, wait_for
from benchmarks.peer import Peer

ALLOWED_SECONDS = 1.5
"""What the project promises."""


def first_prediction(service: Service, stop: Callable[[], None]) -> float:
    """Stop everything, start again; seconds from the start of the process to the first prediction."""
    stop()
    # A worker that is left over would answer at once, and nothing would have been measured.
    wait_for("the end of the old workers", lambda: None if service.worker_pids() else True)
    started = service.start()
    client = Client(service.port)
    service.wait_for("the first prediction", client.version, pause=0.002)
    seconds = time.monotonic() - started
    client.close()
    service.wait_started()
    return seconds


class Visitor(threading.Thread):
    """Asks for predictions, each on a connection of its own, and notes when one was answered, or why it was not."""

    def __init__(self, port: int) -> None:
        super().__init__(name="visitor")
        self._port = port
        self._ending = threading.Event()
        self.answered: list[float] = []
        self.failed: Counter[str] = Counter()

    def run(self) -> None:
        """Ask about every 5 ms until `stop`."""
        while not self._ending.wait(0.005):
            client = Client(self._port)
            try:
                status, _ = client.ask("/predict", {"features": ROW})
            except (OSError, http.client.HTTPException) as error:
                self.failed[type(error).__name__] += 1
            else:
                self.answered.append(time.monotonic())
                self.failed[f"status {status}"] += status != 200
            client.close()

    def stop(self) -> float:
        """End; returns the longest time between two answers, seconds."""
        self._ending.set()
        self.join()
        return max(later - earlier for earlier, later in zip(self.answered, self.answered[1:], strict=False))


def longest_gap(service: Service) -> tuple[float, Counter[str]]:
    """Kill (-9) the daemon alone and start it again under requests: seconds of the longest silence, failed requests."""
    old = set(service.worker_pids())
    visitor = Visitor(service.port)
    visitor.start()
    time.sleep(0.2)
    service.kill(workers=False)
    service.start()
    service.wait_started()
    service.wait_for("the retirement of the old workers", lambda: None if old & set(service.worker_pids()) else True)
    time.sleep(0.2)
    return visitor.stop(), visitor.failed


def peer_seconds(times: int) -> list[float]:
    """The naive peer: a small server that loads its model from MLflow, restarted."""
    with tempfile.TemporaryDirectory(prefix="retraind-benchmark-") as folder:
        peer = Peer(Path(folder) / "peer")
        try:
            peer.prepare()
            return [_timed(peer.restart) for _ in range(times)]
        finally:
            peer.remove()


def _timed(action: Callable[[], None]) -> float:
    started = time.monotonic()
    action()
    return time.monotonic() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve.restart", description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=7, help="restarts of each kind (default 7)")
    parser.add_argument("--no-peer", action="store_true", help="leave out the naive peer")
    options = parser.parse_args()
    with running() as service:
        stopped, killed, gaps = [], [], []
        for _ in range(options.times):  # in turn, so that what else the machine does falls on all alike
            stopped.append(first_prediction(service, service.terminate))
            killed.append(first_prediction(service, lambda: service.kill(workers=True)))
            gaps.append(longest_gap(service))
    peer = [] if options.no_peer else peer_seconds(3)
    failed = sum((lost for _, lost in gaps), Counter())
    lost = ", ".join(f"{number} {why}" for why, number in failed.items()) or "0"
    rows = [
        ["SIGTERM, start: first prediction", *spread(stopped), f"{ALLOWED_SECONDS:g}", "-"],
        ["kill -9 of all processes, start: first prediction", *spread(killed), f"{ALLOWED_SECONDS:g}", "-"],
        ["kill -9 of the daemon alone, start: longest silence", *spread([gap for gap, _ in gaps]), "", lost],
        ["naive peer, restart: first prediction", *spread(peer), "", "-"],
    ]
    if peer:
        base = sorted(stopped)[len(stopped) // 2]
        rows.append(["naive peer / SIGTERM, start", ratio(sorted(peer)[len(peer) // 2], base), "", "", "", ""])
    title = f"Restart to first prediction with a champion, {options.times} times each; seconds"
    show(title, ["restart", "median", "least", "most", "target", "failed requests"], rows)


if __name__ == "__main__":
    main()
