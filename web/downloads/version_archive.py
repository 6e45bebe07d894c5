"""A version as a ZIP file: a process writes it as `retraind export` does; a worker starts one at a time, and sends the file."""

import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from retraind.daemon.core import logs
from retraind.daemon.core.errors import POLICY, Cause, Exit
from retraind.daemon.core.home import Home
from retraind.web.http.problems import Problem

log = logs.Logger()

FORMATS = ("onnx", "mlflow", "pickle")

MODULE = "retraind.daemon.export"

MOST_BYTES = 100 * 2**20
"""A larger file is not sent, because a worker has it in memory."""

KEPT_SECONDS, KEPT_BYTES = 60.0, 10 * 2**20
"""So long the last file of at most this size is sent again to whoever asks for it."""

RETRY_SECONDS = "5"

CAUSES = {
    int(POLICY[cause].exit or 0): cause for cause in (Cause.NOT_FOUND, Cause.REFUSED, Cause.DAMAGED, Cause.UNAVAILABLE)
}
"""The causes that the process names by its exit code; the answer follows from the cause."""


@dataclass(frozen=True)
class _Last:
    version: int
    form: str
    data: bytes
    until: float


class VersionArchives:
    """The archives of one home, made on request."""

    def __init__(self, home: Home, seconds: float) -> None:
        self._home, self._seconds = home, seconds
        self._lock = threading.Lock()
        self._last: _Last | None = None

    def get(self, version: int, form: str) -> bytes:
        """The ZIP file of a version in a format.

        Raises Problem: 404 for an unknown or cleared version, 409 if it can't be exported so, 503 while another one is made or if
        its files are damaged, 504 if it takes too long.
        """
        if not self._lock.acquire(blocking=False):
            raise Problem(503, "Another version is being exported.", hint="Try again soon.", Retry_After=RETRY_SECONDS)
        try:
            last, now = self._last, time.monotonic()
            if last is not None and (last.version, last.form) == (version, form) and now < last.until:
                return last.data
            data = self._made(version, form)
            if len(data) <= KEPT_BYTES:
                self._last = _Last(version, form, data, time.monotonic() + KEPT_SECONDS)
            return data
        finally:
            self._lock.release()

    def _made(self, version: int, form: str) -> bytes:
        command = [sys.executable, "-P", "-m", MODULE, str(self._home.root), str(version), form]
        with tempfile.TemporaryDirectory(prefix="retraind-") as folder:
            file = Path(folder) / "version.zip"
            try:
                done = subprocess.run(
                    [*command, str(file)], check=False, capture_output=True, text=True, timeout=self._seconds
                )
            except subprocess.TimeoutExpired:
                raise Problem(
                    504, f"The export took longer than {self._seconds:g} s.", hint=_instead(version, form)
                ) from None
            if done.returncode != Exit.OK:
                raise _problem(done.returncode, done.stderr.strip())
            if file.stat().st_size > MOST_BYTES:
                size = f"{file.stat().st_size // 2**20} MiB"
                raise Problem(
                    409, f"Version {version} as {form} has {size}, too much to send.", hint=_instead(version, form)
                )
            return file.read_bytes()


def _problem(code: int, said: str) -> Problem:
    """The sentence of an expected error; the text of any other is for the log only."""
    if cause := CAUSES.get(code):
        return Problem(POLICY[cause].status, said.rpartition("\n")[2], cause=cause)
    log.error("export_failed", code=code, stderr=said[-2000:])
    return Problem(500, "The export failed.", hint="The log of the service has the reason.")


def _instead(version: int, form: str) -> str:
    return f"Use `retraind export {version} --format {form}` on that machine."
