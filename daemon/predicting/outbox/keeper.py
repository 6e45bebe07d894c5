"""The daemon's end of the outbox: starts its process when files wait and a version serves, and passes on what it says.

It costs the loop a listing of `inbox/predict` a second. Nothing heavy is imported here.
"""

import os
import queue
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import orjson

from retraind.daemon.core import clock, logs, shared_folder
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.inbox_names import ignored
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.predicting.outbox.folders import Outbox, predict_folder
from retraind.daemon.predicting.outbox.messages import Message
from retraind.daemon.predicting.outbox.retention import OutboxRetention
from retraind.daemon.processes.child import Child, environment, python

log = logs.Logger()

STOP_SECONDS = 5.0

TIDY_SECONDS = 3600.0
"""Interval at which old answers are removed."""

UNSERVED = "no version serves yet"


class Notice(NamedTuple):
    """An event for the journal."""

    kind: EventKind
    level: Level
    sentence: str


class OutboxKeeper:
    """Supervises the process; used by the loop thread. `wake` is called for each message."""

    def __init__(self, home: Home, settings: Settings, wake: Callable[[], None]) -> None:
        self._home, self._wake = home, wake
        self._child = Child(
            [
                *python("retraind.daemon.predicting.outbox"),
                str(home.root),
                str(os.getpid()),
                settings.model_dump_json(),
            ],
            stdout=subprocess.PIPE,
            # One thread for numerics: more would take cores from predictions.
            env=environment() | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
            start_new_session=True,
        )
        self._said: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._reader: threading.Thread | None = None
        self._retention = OutboxRetention(home, settings.predictions.outbox_days)
        self._swept_at = -TIDY_SECONDS
        self._doing, self._made = "", False
        self.problem: str | None = None
        """Why files can't be answered now."""
        self.sentence = ""
        """What happens to the waiting files; empty if there are none."""

    def step(self, now: float, served: int | None) -> list[Notice]:
        """Look for files, keep the process running while there are some, and return what it has done.

        `now` is monotonic seconds, `served` the served version. Raises OSError if the folder can't be listed.
        """
        notices = [notice for notice in map(self._heard, self._messages()) if notice is not None]
        if now - self._swept_at >= TIDY_SECONDS:
            self._swept_at = now
            self._retention.sweep(clock.read())
        waiting = self._waiting()
        files = f"{waiting} file{'s' if waiting > 1 else ''} in inbox/predict"
        if waiting and served is None:
            self.sentence = f"{files}: {UNSERVED}, so nothing is answered."
        elif waiting:
            self.sentence = f"{files}: {self._doing or 'waiting until finished'}."
            self._supervise(now)
        else:
            self.sentence, self.problem = "", None
        return notices

    def close(self) -> None:
        """End the process; a file that it has not finished is answered after the next start."""
        self._child.stop(STOP_SECONDS)
        if self._reader is not None:
            self._reader.join(timeout=STOP_SECONDS)

    def _waiting(self) -> int:
        """The number of files in the folder, which is made if it is missing."""
        try:
            if self._made:
                with os.scandir(self._home.predict) as entries:
                    return sum(not ignored(entry.name) and entry.is_file(follow_symlinks=False) for entry in entries)
        except (FileNotFoundError, NotADirectoryError):
            pass
        # Whoever never predicts files need not care why a folder can't be made.
        with suppress(OSError, RetraindError):
            predict_folder(shared_folder.inbox(self._home))
            Outbox(self._home)
        self._made = True
        return 0

    def _supervise(self, now: float) -> None:
        before = self._child.process
        if before is not None and before.poll() == 0:
            self._child.forget()  # it had no work for a while
        if (ended := self._child.supervise(now)) is not None:
            self._doing = ""
            self.problem = f"Their process has {ended}; it is started again, and the log says why."
            log.warning("outbox_ended", how=ended)
        process = self._child.process
        if process is not None and process is not before:
            self._reader = threading.Thread(target=self._read, args=(process,), daemon=True, name="outbox")
            self._reader.start()

    def _heard(self, message: Message) -> Notice | None:
        """The event that a message is, if it is one; others change what the health says."""
        if "trouble" in message:
            self.problem = message["trouble"] or None
            return None
        if "doing" in message:
            self._doing = message["doing"]
            return None
        if "answered" in message:
            bad = f" {message['bad']} bad rows are beside it." if message["bad"] else ""
            answered = message["rows"] - message["bad"]
            sentence = (
                f"{message['answered']}: version {message['version']} answered {answered} of {message['rows']} rows; "
                f"see outbox/{message['file']}.{bad}"
            )
            return Notice(EventKind.ANSWERED, Level.INFO, sentence)
        if "repeated" in message:
            sentence = f"{message['repeated']} was answered by this version before: see outbox/{message['file']}."
            return Notice(EventKind.ANSWERED, Level.INFO, sentence)
        sentence = f"{message['refused']} is not answered and is in inbox/rejected: {message['reason']}"
        return Notice(EventKind.UNANSWERED, Level.WARNING, sentence)

    def _messages(self) -> list[Message]:
        return [self._said.get() for _ in range(self._said.qsize())]

    def _read(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                with suppress(orjson.JSONDecodeError):
                    self._said.put(orjson.loads(line))
                self._wake()
