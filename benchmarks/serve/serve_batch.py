"""Many rows in one request: beside the backend's own speed on the same array, and what single rows feel of them."""

import http.client
import json
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.figures import percentile, ratio
from benchmarks.load import Load, Outcome
from benchmarks.serve import serve_models, serve_site
from benchmarks.serve.serve_models import Matrix
from retraind.daemon.artifacts import bundle
from retraind.daemon.core.home import Home

ROWS = 10_000
TIMES = 15
TARGETS = {"forest": (">= 0.8x", ">= 0.9x"), "logistic": (">= 300000/s", ">= 1000000/s")}
"""As JSON, and as binary tensors; a linear model answers faster than any request can be read."""
COLUMNS = ("10,000 rows", "model", "ms, median", "least", "rows/s", "share of the backend", "target")
BESIDE_COLUMNS = ("single rows", "rate", "answered", "failed", "p50, ms", "p99, ms", "most", "batches meanwhile")


@dataclass(frozen=True)
class Request:
    """Many rows as one of the ways in takes them."""

    path: str
    body: bytes
    headers: dict[str, str]


def as_json(rows: Matrix) -> Request:
    """As `POST /predict` takes them."""
    return Request("/predict", json.dumps({"instances": rows.tolist()}).encode(), {"Content-Type": "application/json"})


def as_tensor(rows: Matrix) -> Request:
    """As a binary tensor of the Open Inference Protocol V2, which is what tritonclient sends."""
    data = rows.tobytes()
    tensor = {
        "name": "rows",
        "shape": list(rows.shape),
        "datatype": "FP64",
        "parameters": {"binary_data_size": len(data)},
    }
    output = {"name": "predict_proba", "parameters": {"binary_data": True}}
    head = json.dumps({"inputs": [tensor], "outputs": [output]}).encode()
    return Request(f"/v2/models/{bundle.MODEL}/infer", head + data, {"Inference-Header-Content-Length": str(len(head))})


class Batches:
    """Sends the same rows in one request again and again; the answer is read, not parsed."""

    def __init__(self, port: int, request: Request) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._request = request

    def ask(self) -> None:
        """One request; raises RuntimeError unless the answer is 200."""
        self._connection.request("POST", self._request.path, self._request.body, self._request.headers)
        answer = self._connection.getresponse()
        received = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{ROWS} rows were answered with {answer.status}: {received[:200]!r}")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def measure(homes: dict[str, Home]) -> list[list[str]]:
    """Rows of the first table: the backend in this process and the worker, in turns."""
    table = []
    rows = serve_models.rows(ROWS, seed=1)[0].round(6)
    for name, home in homes.items():
        pointer = serve_models.pointer(home)
        model = bundle.load(home.bundle(pointer.version), pointer.manifest)
        with serve_site.running(home, rows[0].tolist()) as site:
            ways = [Batches(site.port, request) for request in (as_json(rows), as_tensor(rows))]
            backend, *ours = _turns([partial(model.answers, rows), *(way.ask for way in ways)])
            for way in ways:
                way.close()
        table += [
            _row("the backend alone", name, backend, backend, ""),
            _row("POST /predict, JSON", name, ours[0], backend, TARGETS[name][0]),
            _row("V2 infer, binary tensors", name, ours[1], backend, TARGETS[name][1]),
        ]
    return table


def _turns(calls: list[Callable[[], object]]) -> list[list[float]]:
    """Milliseconds of each call, TIMES times in turns after one to warm up."""
    seconds_of: list[list[float]] = [[] for _ in calls]
    for number in range(TIMES + 1):
        for call, times in zip(calls, seconds_of, strict=True):
            started = time.perf_counter()
            call()
            if number:
                times.append((time.perf_counter() - started) * 1000)
    return seconds_of


def _row(way: str, model: str, times: list[float], backend: list[float], target: str) -> list[str]:
    middle = statistics.median(times)
    share = ratio(statistics.median(backend), middle)
    return [way, model, f"{middle:.1f}", f"{min(times):.1f}", f"{ROWS / middle * 1000:.0f}", share, target]


def during_batches(home: Home, row: list[float], rate: int, seconds: float) -> list[list[str]]:
    """Rows of the second table: single rows at a fixed rate, without and with batches one after the other."""
    many = serve_models.rows(ROWS, seed=1)[0].round(6)
    with serve_site.running(home, row) as site:
        before = _load(site.port, rate, row, seconds)
        batches, ended, count = Batches(site.port, as_json(many)), threading.Event(), 0

        def ask_on() -> None:
            nonlocal count
            while not ended.is_set():
                batches.ask()
                count += 1

        asking = threading.Thread(target=ask_on)
        asking.start()
        meanwhile = _load(site.port, rate, row, seconds)
        ended.set()
        asking.join()
        batches.close()
    return [_latency_row("alone", rate, before, 0), _latency_row("beside batches", rate, meanwhile, count)]


def _load(port: int, rate: int, row: list[float], seconds: float) -> Outcome:
    load = Load(port, rate, row=row)
    load.start()
    time.sleep(seconds)
    return load.stop()


def _latency_row(told: str, rate: int, outcome: Outcome, batches: int) -> list[str]:
    times = [one.seconds * 1000 for one in outcome.answers]
    figures = [f"{percentile(times, share):.2f}" for share in (0.5, 0.99, 1.0)]
    return [told, str(rate), str(len(times)), str(outcome.failed.total()), *figures, str(batches)]
