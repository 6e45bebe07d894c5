"""The peers: each in an environment of its own with pinned packages, one worker, settings as one would take for production.

A peer that can't be installed or does not answer is reported with the reason.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, Client, NeverHappened, wait_for

PINS = ROOT / "benchmarks/peers"

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "true",
    "DO_NOT_TRACK": "1",
    # One thread for numerics, as in our worker: more would fight each other over two cores.
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
}
"""A benchmark contacts no other host."""

FLASK = """
import pickle, sys, numpy
from flask import Flask, request
model = pickle.load(open("model.joblib", "rb"))
app = Flask(__name__)

@app.post("/predict")
def predict():
    shares = model.predict_proba(numpy.array([request.get_json()["features"]]))[0]
    return {"prediction": int(shares.argmax()), "probabilities": shares.tolist()}
"""

LITSERVE = """
import pickle, sys, numpy, litserve

class Api(litserve.LitAPI):
    def setup(self, device):
        self.model = pickle.load(open("model.joblib", "rb"))
    def decode_request(self, request):
        return numpy.array([request["features"]])
    def predict(self, rows):
        return self.model.predict_proba(rows)[0]
    def encode_response(self, shares):
        return {"prediction": int(shares.argmax()), "probabilities": shares.tolist()}

if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
"""

BENTOML = """
import pickle, bentoml, numpy

@bentoml.service(workers=1)
class Predict:
    def __init__(self) -> None:
        self.model = pickle.load(open("model.joblib", "rb"))
    @bentoml.api
    def predict(self, features: list[float]) -> dict:
        shares = self.model.predict_proba(numpy.array([features]))[0]
        return {"prediction": int(shares.argmax()), "probabilities": shares.tolist()}
"""

MLSERVER_MODEL = """
{"name": "peer", "implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": "./model.joblib"}}
"""

MLSERVER = """
{"host": "127.0.0.1", "http_port": %(port)d, "grpc_port": %(second)d, "metrics_port": %(third)d, "parallel_workers": 0,
 "debug": false}
"""

MLFLOW = """
import pickle, mlflow
mlflow.sklearn.save_model(
    pickle.load(open("model.joblib", "rb")), "model", serialization_format="pickle", pyfunc_predict_fn="predict_proba",
    pip_requirements=["scikit-learn"],
)
"""


@dataclass(frozen=True)
class Peer:
    """How a peer is started and asked; %(port)d, %(second)d, %(third)d and %(python)s stand for what it is given."""

    name: str
    settings: str
    files: dict[str, str]
    command: tuple[str, ...]
    path: str = "/predict"
    prepare: tuple[str, ...] = ()
    shape: str = "features"

    def body(self, row: list[float]) -> dict[str, Any]:
        """One row as the peer wants it."""
        if self.shape == "v2":
            data = {"name": "rows", "shape": [1, len(row)], "datatype": "FP64", "data": row}
            return {"inputs": [data], "outputs": [{"name": "predict_proba"}]}
        return {"inputs": [row]} if self.shape == "mlflow" else {"features": row}


PEERS = (
    Peer(
        "flask",
        "Flask on gunicorn, 8 threads",
        {"app.py": FLASK},
        ("-m", "gunicorn", "-w", "1", "-k", "gthread", "--threads", "8", "-b", "127.0.0.1:%(port)d", "app:app"),
    ),
    Peer("litserve", "LitServe, 1 worker per device", {"app.py": LITSERVE}, ("app.py", "%(port)d")),
    Peer(
        "bentoml",
        "BentoML, workers=1",
        {"service.py": BENTOML},
        ("-m", "bentoml", "serve", "service:Predict", "--host", "127.0.0.1", "-p", "%(port)d"),
    ),
    Peer(
        "mlserver",
        "MLServer, V2, parallel_workers=0",
        {"model-settings.json": MLSERVER_MODEL, "settings.json": MLSERVER},
        ("-c", "from mlserver.cli import main; main()", "start", "."),
        path="/v2/models/peer/infer",
        shape="v2",
    ),
    Peer(
        "mlflow",
        "mlflow models serve, -w 1",
        {"save.py": MLFLOW},
        ("-m", "mlflow", "models", "serve", "-m", "model", "--env-manager", "local", "-p", "%(port)d", "-w", "1"),
        path="/invocations",
        prepare=("save.py",),
        shape="mlflow",
    ),
)


class Unavailable(RuntimeError):
    """A peer that can't be measured; says why."""


def python_of(name: str, cache: Path) -> Path:
    """The Python of an environment with the pins of that name, made in `cache` if it is not there yet; raises Unavailable."""
    folder, stamp = cache / name, cache / f"{name}.txt"
    pins = (PINS / f"{name}.txt").read_text()
    python = folder / "bin/python"
    if not stamp.exists() or stamp.read_text() != pins:
        cache.mkdir(parents=True, exist_ok=True)
        # Our own pip installs there: making one for each environment takes longer than making the environment.
        _run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)], 300)
        pip = [sys.executable, "-m", "pip", "--python", str(python), "--quiet", "--disable-pip-version-check"]
        _run([*pip, "install", "-r", str(PINS / f"{name}.txt")], 1800)
        stamp.write_text(pins)
    return python


@contextmanager
def serving(peer: Peer, cache: Path, model: Path, folder: Path, row: list[float]) -> Iterator[int]:
    """The port of the peer that serves `model`, until the end of the block; raises Unavailable if it never answers."""
    python = str(python_of(peer.name, cache))
    ports = dict(zip(("port", "second", "third"), _free_ports(3), strict=True))
    folder.mkdir(parents=True)
    (folder / "model.joblib").write_bytes(model.read_bytes())
    for name, text in peer.files.items():
        (folder / name).write_text(text % ports if "%(" in text else text)
    # `mlflow` starts uvicorn by its name.
    environment = os.environ | QUIET | {"PATH": f"{Path(python).parent}:{os.environ['PATH']}"}
    if peer.prepare:
        _run([python, *peer.prepare], 300, folder, environment)
    command = [python, *(word % ports for word in peer.command)]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        _await(peer, ports["port"], row, process)
        yield ports["port"]
    except NeverHappened as error:
        tail = (folder / "log.txt").read_text(errors="replace").strip().splitlines()[-1:]
        raise Unavailable(f"{error} {' '.join(tail)[:200]}") from None
    finally:
        _end(process)


def _await(peer: Peer, port: int, row: list[float], process: "subprocess.Popen[bytes]") -> None:
    client = Client(port)

    def answers() -> bool | None:
        if process.poll() is not None:
            raise NeverHappened(f"{peer.name} ended by itself.")
        try:
            return True if client.ask(peer.path, peer.body(row))[0] == 200 else None
        except (OSError, ValueError):
            return None

    wait_for(f"An answer of {peer.name}", answers, seconds=90, pause=0.2)
    client.close()


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the peer and all that it has started: they share a session."""
    for number in (15, 9):
        try:
            os.killpg(process.pid, number)
            process.wait(10)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _run(
    command: list[str], seconds: int, folder: Path | None = None, environment: dict[str, str] | None = None
) -> None:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise Unavailable(f"{Path(command[0]).name} {' '.join(command[1:3])} failed: {lines[-1][:200]}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for listener in sockets:
        listener.close()
    return ports
