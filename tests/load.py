"""Clients that predict without a pause while something is replaced, and what became of every request."""

import http.client
import json
import select
import threading
import time
from collections import Counter

BODY = json.dumps({"features": [5.1, 3.5, 1.4, 0.2]}).encode()
HEADERS = {"Content-Type": "application/json"}


class Load:
    """Threads that send one prediction after the other, some on a connection each, some on one that they keep.

    A client whose connection is refused tries again; anything else that is no answer is a failure.
    """

    def __init__(self, port: int, fresh: int = 3, kept: int = 3, pause: float = 0.0) -> None:
        self._port, self._pause = port, pause
        self._ended = threading.Event()
        self.answers: list[str] = []
        """Prediction ids."""
        self.failures: Counter[str] = Counter()
        self.refused = 0
        self.slowest = 0.0
        """The longest that a request took with all its attempts, in seconds."""
        kinds = ["fresh"] * fresh + ["kept"] * kept
        self._threads = [threading.Thread(target=self._run, args=(kind,)) for kind in kinds]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _run(self, kind: str) -> None:
        connection = self._connect()
        while not self._ended.is_set():
            if kind == "fresh":
                connection.close()
                connection = self._connect()
            began = time.monotonic()
            while not self._ask(connection, kind) and not self._ended.is_set():
                time.sleep(0.02)
            self.slowest = max(self.slowest, time.monotonic() - began)
            time.sleep(self._pause)
        connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)

    def _ask(self, connection: http.client.HTTPConnection, kind: str) -> bool:
        """Send a request; returns whether that is over, well or not."""
        # As urllib3 does: a kept connection that was closed meanwhile is not used again.
        if connection.sock is not None and select.select([connection.sock], [], [], 0)[0]:
            connection.close()
        try:
            connection.request("POST", "/predict", BODY, HEADERS)
            answer = connection.getresponse()
            body = answer.read()
        except ConnectionRefusedError:
            self.refused += 1
            connection.close()
            return False
        except (OSError, http.client.HTTPException) as error:
            self.failures[f"{kind}: {type(error).__name__}"] += 1
            connection.close()
        else:
            if answer.status == 200:
                self.answers.append(json.loads(body)["prediction_id"])
            else:
                self.failures[f"{kind}: {answer.status}"] += 1
        return True
