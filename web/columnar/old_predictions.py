"""The worker's end of the reader of old predictions: starts the process when one is asked for, and again if it has ended."""

import contextlib
import subprocess
import sys
import threading
from typing import IO, TYPE_CHECKING

import orjson

from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home

if TYPE_CHECKING:  # every worker imports this module, and few homes have such predictions
    from retraind.daemon.records.predictions import LoggedPrediction
    from retraind.daemon.records.search.old_predictions import Answer, OldPage, Order, PredictionFilter, Stretch

SECONDS = 10.0
"""An answer is given up after this time; a page takes at most a second, and the start of the process as long."""

COMMAND = [sys.executable, "-P", "-m", "retraind.daemon.history.reader"]

HINT = "Try again later; the newest predictions are not affected."


class OldPredictionsReader:
    """The old predictions of a home; several threads wait for each other."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def page(self, chosen: "PredictionFilter", stretch: "Stretch") -> "OldPage":
        """A page of those that fit; raises Unavailable."""
        from retraind.daemon.records.search.old_predictions import OldPage

        answer = self._ask({"find": None, "chosen": vars(chosen), "stretch": list(stretch)})
        assert answer["page"] is not None
        return OldPage(*answer["page"])

    def find(self, key: str) -> "LoggedPrediction | None":
        """The prediction with this id, or None; raises Unavailable."""
        return self._ask({"find": key, "chosen": {}, "stretch": ()})["found"]

    def close(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            self._end()

    def _ask(self, order: "Order") -> "Answer":
        line = orjson.dumps(order, option=orjson.OPT_APPEND_NEWLINE)
        with self._lock:
            # Twice, because it may just have ended without work.
            answer = self._exchange(line) or self._exchange(line)
        if answer is None:
            raise Unavailable("Old predictions can't be read: the process that reads them ended.", hint=HINT)
        if answer["problem"] is not None:
            raise Unavailable(f"Old predictions can't be read: {answer['problem']}", hint=HINT)
        return answer

    def _exchange(self, line: bytes) -> "Answer | None":
        """The answer; None if the process has ended."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(SECONDS, process.kill)
        timer.start()
        try:
            process.stdin.write(line)
            process.stdin.flush()
            answer = _received(process.stdout)
        except OSError:
            answer = None
        finally:
            timer.cancel()
        if answer is None:
            self._end()
        return answer

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._end()
        command = [*COMMAND, str(self._home.root)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):  # it did not take all that was written
                        pipe.close()
            self._process = None


def _received(source: IO[bytes]) -> "Answer | None":
    line = source.readline()
    if not line.endswith(b"\n"):
        return None
    answer: Answer = orjson.loads(line)
    return answer
