"""A real HTTP worker for tests: a process on a socket of 127.0.0.1, without a daemon."""

import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bundles
from postgres import Place

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.status import Status, publish, utcnow
from retraind.web.api.app import make_app
from retraind.web.http.client_address import FORWARDED, PROXIED
from retraind.web.serving.predictor import Follower
from retraind.web.worker_state import Worker

ROOT = Path(__file__).parent.parent
JSON = {"Content-Type": "application/json"}
PREDICTION = {"features": bundles.SETOSA}


class Site:
    """A home with one promoted bundle, and the worker that serves it."""

    def __init__(
        self,
        root: Path,
        settings: Settings | None = None,
        *,
        version: int | None = 1,
        place: Place = lambda _home: None,
    ) -> None:
        self.home = Home(root)
        self.home.make()
        place(self.home)
        self.home.schema.write_bytes(bundles.SCHEMA.dump())
        if version is not None:
            bundles.point(self.home, bundles.make(self.home, version))
        self.settings = settings or Settings()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self.listener.getsockname()[1]
        self.process = self.start()
        if version is not None:
            self.wait(version)

    def start(self) -> "subprocess.Popen[bytes]":
        fd = self.listener.fileno()
        options = ["--home", str(self.home.root), "--slot", "0", "--fd", str(fd)]
        command = [sys.executable, "-m", "retraind.web.server", *options, "--settings", self.settings.model_dump_json()]
        with (self.home.root / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, pass_fds=[fd], stderr=log, stdout=log)
        return self.process

    def wait(self, version: int) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log
            if self.get("/health")[1]["model_version"] == version:
                return
            time.sleep(0.02)
        raise AssertionError(f"version {version} is not served: {self.log}")

    @property
    def log(self) -> str:
        return (self.home.root / "worker.log").read_text()

    def connect(self, seconds: float = 20) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = self.connect()
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            sent = {**(JSON if method == "POST" else {}), **(headers or {})}
            connection.request(method, path, data, {name: value for name, value in sent.items() if value})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        status, _, body = self.ask("GET", path, headers=headers)
        return status, json.loads(body)

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        status, _, answer = self.ask("POST", path, body, headers)
        return status, json.loads(answer)

    def tell_status(self, **fields: Any) -> None:
        """Speak as the daemon would."""
        common: dict[str, Any] = {"pid": os.getpid(), "state": "ready", "heartbeat": time.monotonic()}
        publish(self.home.status, Status(**{**common, "at": utcnow(), "started_at": utcnow(), **fields}))
        time.sleep(0.2)

    @contextmanager
    def live(self, **fields: Any) -> Iterator[None]:
        """Speak as the daemon would, again and again."""
        ended = threading.Event()

        def speak() -> None:
            while not ended.is_set():
                self.tell_status(**fields)

        thread = threading.Thread(target=speak)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.listener.close()


def _header(key: str) -> str:
    return key.removeprefix("HTTP_").replace("_", "-").lower()


class Client:
    """The application over WSGI."""

    def __init__(self, home: Home, settings: Settings | None = None) -> None:
        self.worker = Worker(home, settings or Settings(), 0)
        Follower(home, self.worker.slot).look()
        self.app = make_app(self.worker)

    def ask(self, method: str, path: str, body: bytes = b"", **environ: str) -> tuple[int, dict[str, str], bytes]:
        answer: list[Any] = []
        merged = {"HTTP_HOST": "localhost:5000", "CONTENT_TYPE": "application/json", "QUERY_STRING": ""}
        merged |= {"REMOTE_ADDR": "127.0.0.1", PROXIED: any(_header(key) in FORWARDED for key in environ), **environ}  # type: ignore[dict-item]
        merged |= {"REQUEST_METHOD": method, "PATH_INFO": path, "wsgi.input": io.BytesIO(body)}  # type: ignore[dict-item]
        out = b"".join(self.app(merged, lambda status, headers, _=None: answer.extend((status, headers))))
        return int(answer[0][:3]), {name.lower(): value for name, value in answer[1]}, out
