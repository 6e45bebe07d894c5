"""Predictions at a fixed rate while the model is retrained and swapped: whether one fails, and how long they take.

Run it with `python -m benchmarks.serve.swaps --rate 1000 --seconds 60 --retrainings 5`.
"""

import argparse
import functools
import shutil
import sys
import time
from dataclasses import dataclass

from benchmarks.figures import percentile, ratio, show
from benchmarks.harness import ROOT, Client, Service, running
from benchmarks.load import Answer, Load, Outcome
from retraind.daemon.core.journal_rows import EventRow

# Nothing but the requests of this benchmark may start a training, and the cooldown would only make it longer.
SETTINGS = {"retrain__cooldown_seconds": 0, "retrain__schedule": "", "retrain__threshold_rows": 1_000_000}


BEFORE_SECONDS = 15.0
"""So long nothing is swapped before the many swaps."""


@dataclass(frozen=True)
class Span:
    """One retraining: wall-clock seconds from the request until the new version answers, or is refused."""

    since: float
    until: float
    swapped: bool

    def holds(self, answer: Answer) -> bool:
        """Whether the answer's request was due within the span."""
        return self.since <= answer.due <= self.until


def retrain(service: Service) -> Span:
    """Ask for one training over HTTP and wait for its verdict and, if it is promoted, for the swap."""
    after, since = service.last_event(), time.time()
    client = Client(service.port)
    version = client.version()
    status, answer = client.ask("/trigger_retrain", {"force_retrain": True})
    if status != 202:
        raise RuntimeError(f"/trigger_retrain answered {status}: {answer}")

    def ended() -> EventRow | None:
        for kind in ("serving", "refused", "failed"):
            if events := service.events(kind, after):
                return events[0]
        return None

    swapped = service.wait_for("the end of the retraining", ended, pause=0.05)["kind"] == "serving"
    if swapped:
        service.wait_for("the swap", lambda: True if client.version() != version else None, pause=0.05)
    client.close()
    return Span(since, time.time(), swapped)


def measure(service: Service, rate: int, seconds: float, retrainings: int) -> tuple[Outcome, list[Span]]:
    """Predict all the time, retrain at even distances; goes on longer if the trainings take longer."""
    load = Load(service.port, rate)
    load.start()
    started = time.monotonic()
    spans = []
    try:
        for number in range(retrainings):
            _sleep_until(started + seconds * (number + 0.25) / retrainings)
            spans.append(retrain(service))
        _sleep_until(started + seconds)
    finally:
        outcome = load.stop()
    return outcome, spans


def measure_swaps(service: Service, rate: int, swaps: int) -> tuple[Outcome, list[Span]]:
    """Predict all the time while two versions replace each other again and again, as with `retraind promote`."""
    versions = two_versions(service)
    load = Load(service.port, rate)
    load.start()
    client, spans = Client(service.port), []
    try:
        # What the machine does to answers without a swap, for comparison.
        time.sleep(BEFORE_SECONDS)
        for number in range(swaps):
            version, since = versions[number % 2], time.time()
            status, answer = client.ask("/promote", {"version": version})
            if status != 202:
                raise RuntimeError(f"/promote answered {status}: {answer}")
            service.wait_for("the swap", functools.partial(_answers, client, version))
            spans.append(Span(since, time.time(), swapped=True))
    finally:
        client.close()
        outcome = load.stop()
    return outcome, spans


def _answers(client: Client, version: int) -> bool | None:
    return client.version() == version or None


def two_versions(service: Service) -> tuple[int, int]:
    """The first version and one that was trained on more and answers otherwise, which is served."""
    client = Client(service.port)
    first = client.version()
    shutil.copy(ROOT / "examples" / "iris-more.csv", service.home.inbox)
    service.wait_for("the batch", lambda: service.records.batches.newest(2)[1:] or None, pause=0.05)
    span = retrain(service)
    second = service.wait_for("the second version", client.version)  # the connection may have been idle for too long
    client.close()
    if first is None or second is None or not span.swapped:
        raise RuntimeError(
            f"There are no two versions to swap, but {first} and {second}: {service.records.versions.newest(1)}"
        )
    return first, second


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def facts(outcome: Outcome, spans: list[Span], what: str = "retrainings") -> list[list[str]]:
    """Rows of the first table: what was sent, what came."""
    versions = [answer.version for answer in outcome.answers]
    failed = ", ".join(f"{number} {why}" for why, number in outcome.failed.items() if number)
    busy = sum(span.until - span.since for span in spans)
    return [
        ["requests sent", str(outcome.sent)],
        ["achieved rate, 1/s", f"{outcome.sent / outcome.seconds:.1f}"],
        ["answers", str(len(outcome.answers))],
        ["failed requests", f"{outcome.failed.total()}{f' ({failed})' if failed else ''}"],
        ["answers naming no or more than one version", str(outcome.unclear)],
        ["versions with answers of more than one model", str(outcome.mixed)],
        [f"longest time without an answer, {what}, ms", f"{outcome.gap(spans[0].since, spans[-1].until) * 1000:.1f}"],
        ["longest time without an answer, before, ms", f"{outcome.gap(until=spans[0].since) * 1000:.1f}"],
        ["versions seen", ", ".join(f"{version}: {versions.count(version)}" for version in sorted(set(versions)))],
        [what, str(len(spans))],
        ["changes of the served version", str(sum(span.swapped for span in spans))],
        [f"share of the time in {what}", f"{busy / outcome.seconds:.0%}"],
    ]


def latencies(outcome: Outcome, spans: list[Span], what: str = "retrainings") -> list[list[str]]:
    """Rows of the second table: latency in ms overall, during `what`, idle; and how much later requests were sent."""
    training = [one.seconds for one in outcome.answers if any(span.holds(one) for span in spans)]
    idle = [one.seconds for one in outcome.answers if not any(span.holds(one) for span in spans)]
    groups = {
        "overall": training + idle,
        f"during {what}": training,
        "idle": idle,
        "of which: sent late": outcome.late,
    }
    shares = (0.5, 0.99, 0.999, 1.0)
    rows = [[name, str(len(v)), *(f"{percentile(v, s) * 1000:.2f}" for s in shares)] for name, v in groups.items()]
    rows.append([f"{what} / idle", "", *(ratio(percentile(training, s), percentile(idle, s)) for s in shares)])
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve.swaps", description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=int, default=1000, help="predictions per second (default 1000)")
    parser.add_argument("--seconds", type=float, default=60, help="length of the load (default 60)")
    parser.add_argument("--retrainings", type=int, default=5, help="retrainings meanwhile (default 5)")
    parser.add_argument("--swaps", type=int, default=0, help="instead, two versions replace each other so often")
    options = parser.parse_args()
    # The two threads of the load hand over often: a default of 5 ms would show in every latency.
    sys.setswitchinterval(0.0002)
    with running(**SETTINGS) as service:
        if options.swaps:
            outcome, spans = measure_swaps(service, options.rate, options.swaps)
        else:
            outcome, spans = measure(service, options.rate, options.seconds, options.retrainings)
    kind = "swaps" if options.swaps else "retrainings"
    title = f"{options.rate} predictions a second for {outcome.seconds:.0f} s, {len(spans)} {kind} meanwhile"
    show(title, ["fact", "value"], facts(outcome, spans, kind))
    print()
    show(
        "Latency from the moment a request was due, ms",
        ["when", "n", "p50", "p99", "p99.9", "most"],
        latencies(outcome, spans, kind),
    )


if __name__ == "__main__":
    main()
