"""The naive peer: what one would type by hand to get from a changed CSV to a newly served model.

`dvc add`, `git commit`, `python train.py` with MLflow's defaults, restart of a small server. Each command starts Python again.
"""

import os
import random
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.harness import Client, wait_for
from benchmarks.rows import header, lines

TRAIN = """
import mlflow, pandas
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

mlflow.set_tracking_uri("sqlite:///mlflow.db")
data = pandas.read_csv("data.csv")
rows, target = data.drop(columns="species").to_numpy(), data["species"]
with mlflow.start_run():
    model = make_pipeline(StandardScaler(), RandomForestClassifier(random_state=42))
    mlflow.log_metric("accuracy", cross_val_score(model, rows, target, cv=5).mean())
    model.fit(rows, target)
    mlflow.sklearn.log_model(
        model, name="model", registered_model_name="peer", skops_trusted_types=["numpy.dtype", "sklearn.tree._tree.Tree"]
    )
"""

SERVE = """
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
import mlflow

mlflow.set_tracking_uri("sqlite:///mlflow.db")
version = mlflow.MlflowClient().search_model_versions("name='peer'")[0].version
model = mlflow.sklearn.load_model(f"models:/peer/{version}")

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = model.predict([body["features"]])[0]
        data = json.dumps({"prediction_name": found, "model_version": int(version)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *arguments):
        pass

HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "DVC_NO_ANALYTICS": "1"}
"""A benchmark contacts no other host; everything else keeps its defaults."""


class Peer:
    """A folder with data.csv, train.py and serve.py; `cycle` does by hand what the service does by itself."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])

    def prepare(self) -> None:
        """Make the repository, and go round once unmeasured, so that databases exist and caches are warm."""
        self._folder.mkdir()
        (self._folder / "train.py").write_text(TRAIN)
        (self._folder / "serve.py").write_text(SERVE)
        (self._folder / "data.csv").write_text(header() + lines(random.Random(0), 150))
        self._run("git", "init", "-q")
        self._run(sys.executable, "-m", "dvc", "init", "-q")
        self.cycle(random.Random(1))

    def cycle(self, source: random.Random) -> dict[str, float]:
        """Add 60 rows and do all it takes until the answers follow from them; seconds of each step."""
        with (self._folder / "data.csv").open("a") as file:
            file.write(lines(source, 60))
        steps = {
            "dvc add": lambda: self._run(sys.executable, "-m", "dvc", "add", "-q", "data.csv"),
            "git commit": self._commit,
            "python train.py": lambda: self._run(sys.executable, "train.py"),
            "restart of the server": self.restart,
        }
        seconds = {}
        for name, step in steps.items():
            started = time.monotonic()
            step()
            seconds[name] = time.monotonic() - started
        return seconds

    def restart(self) -> None:
        """Stop the server, start it, wait for its first prediction."""
        self.close()
        self._server = subprocess.Popen(
            [sys.executable, "serve.py", str(self._port)],
            cwd=self._folder,
            env=os.environ | QUIET,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        client = Client(self._port)
        wait_for("the first prediction of the peer", client.version)
        client.close()

    def close(self) -> None:
        """Stop the server."""
        if self._server is not None:
            self._server.terminate()
            self._server.wait(30)
            self._server = None

    def remove(self) -> None:
        """Stop the server and remove the folder."""
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _commit(self) -> None:
        self._run("git", "add", ".gitignore", "data.csv.dvc")
        author = ("-c", "user.name=peer", "-c", "user.email=peer@localhost")
        self._run("git", *author, "commit", "-q", "-m", "More rows")

    def _run(self, *command: str) -> None:
        environment = os.environ | QUIET
        done = subprocess.run(command, cwd=self._folder, env=environment, capture_output=True, check=False, timeout=300)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.decode(errors='replace')[-1500:]}")
