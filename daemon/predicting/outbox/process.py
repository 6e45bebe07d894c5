"""The process of the outbox: answers the settled files of `inbox/predict`, oldest first, and ends after a while without any."""

import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path

import orjson

from retraind.daemon.core import file_modes, logs, niceness, shared_folder
from retraind.daemon.core.errors import InvalidDrop, RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.inbox_names import ignored, shown
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.status import utcnow
from retraind.daemon.inbox import drop_removal
from retraind.daemon.inbox.answer_record import AnswerRecords
from retraind.daemon.inbox.drop import Drop, open_file, read_content
from retraind.daemon.inbox.open_writers import is_written
from retraind.daemon.inbox.rejected_folder import Rejected
from retraind.daemon.inbox.settling import Settling, Stamp
from retraind.daemon.predicting import served_version
from retraind.daemon.predicting.answers import Answerer
from retraind.daemon.predicting.outbox.attempts import MOST, Attempts
from retraind.daemon.predicting.outbox.drop_answering import DropAnswering
from retraind.daemon.predicting.outbox.folders import Outbox, predict_folder
from retraind.daemon.predicting.outbox.messages import Message
from retraind.daemon.tabular import arrow_without_pandas
from retraind.daemon.tabular.file_content import Content, finish

log = logs.Logger()

LOOK_SECONDS = 0.2
IDLE_SECONDS = 30.0
TROUBLE_SECONDS = 5.0
"""Pause after a failure of the disk or the model."""

ROOM_BYTES = 200 * 1024 * 1024
"""Disk space that stays free; a file of n bytes needs up to SWELLING * n."""

SWELLING = 4


class Stopped(BaseException):
    """The daemon asks the process to end."""


class OutboxProcess:
    """Works through the folder, one file at a time."""

    def __init__(self, home: Home, settings: Settings) -> None:
        """Finish what an earlier process has begun; raises OSError, RetraindError."""
        self._home, self._settings = home, settings
        self._inbox = shared_folder.inbox(home)
        self._outbox = Outbox(home)
        self._incoming = predict_folder(self._inbox)
        self._work = DropAnswering(home, self._incoming, self._outbox, AnswerRecords(home))
        self._settling, self._attempts = Settling(settings.inbox.settle_seconds), Attempts(home)
        self._answerer: Answerer | None = None
        self._trouble: str | None = None
        self._waiting = False
        self._work.recover()

    def run(self, idle_seconds: float = IDLE_SECONDS) -> None:
        """Answer files until there were none for a while."""
        busy_at = time.monotonic()
        while time.monotonic() - busy_at < idle_seconds:
            try:
                answered = self.look()
                self._complain("")
            except (OSError, RetraindError) as error:
                self._complain(str(error))
                time.sleep(TROUBLE_SECONDS)
                continue
            finally:
                if self._waiting:
                    busy_at = time.monotonic()
            if not answered:
                time.sleep(LOOK_SECONDS)

    def look(self) -> bool:
        """Answer the oldest settled file; True if there was one. Raises OSError, RetraindError if files must wait."""
        stamps = self._scan()
        self._waiting = bool(stamps)
        return self._step(stamps)

    def _complain(self, trouble: str) -> None:
        """Tell the daemon why files wait, if that has changed."""
        if trouble != self._trouble:
            self._trouble = trouble
            say({"trouble": trouble})

    def _scan(self) -> dict[str, Stamp]:
        stamps = {}
        for entry in self._incoming.entries():
            with suppress(FileNotFoundError):
                if not ignored(entry.name) and entry.is_file(follow_symlinks=False):
                    stamps[entry.name] = Stamp.of(entry.stat(follow_symlinks=False))
        self._settling.observe(stamps, time.monotonic())
        return stamps

    def _step(self, stamps: dict[str, Stamp]) -> bool:
        """Answer the oldest settled file; True if there was one."""
        now = time.monotonic()
        for name in sorted(stamps, key=lambda name: (stamps[name].modified, name)):
            if self._settling.is_settled(self._incoming, name, now):
                self._require_room(stamps[name].size)
                say({"doing": f"answering {shown(name)}"})
                self._take(name, stamps[name])
                say({"doing": ""})
                return True
        return False

    def _require_room(self, size: int) -> None:
        most = self._settings.predictions.outbox_bytes
        if self._outbox.bytes() > most:
            raise RetraindError(
                f"{self._home.outbox} has more than {most} bytes (predictions.outbox_bytes).",
                hint="Take answers away; then files are answered again.",
            )
        if shutil.disk_usage(self._home.root).free < ROOM_BYTES + SWELLING * size:
            raise RetraindError("The disk has too little space for more answers.", hint="Free some space.")

    def _take(self, name: str, stamp: Stamp) -> None:
        try:
            if not self._attempts.begin(stamp):
                raise InvalidDrop(f"Reading it has ended {MOST} processes.")
            drop = self._read(name, stamp)
            if drop is not None:
                self._answer(drop)
        except InvalidDrop as error:
            self._refuse(name, stamp, error)
        except Stopped:
            self._attempts.end()  # it was not the file's fault
            raise
        self._attempts.end()
        self._settling.forget(name)

    def _read(self, name: str, stamp: Stamp) -> Drop | None:
        """The file's bytes; None if it is gone or has changed. Raises InvalidDrop."""
        fd = open_file(self._incoming, name)
        if fd is None:
            return None
        content: Content
        try:
            content = finish(read_content(fd, name, self._settings.inbox, self._home.registry))
            if Stamp.of(os.fstat(fd)) != stamp or is_written(fd) is True:
                self._settling.unsettle(name)
                return None
        finally:
            os.close(fd)
        return Drop(name, stamp, content, self._settling.seen_at(name))

    def _answer(self, drop: Drop) -> None:
        answerer = self._served()
        if earlier := self._work.earlier(drop, answerer.version.number):
            self._work.clear(drop.name, drop.sha256)
            say({"repeated": shown(drop.name), "file": earlier.answers[1]})
            return
        record = self._work.answer(drop, answerer)
        log.info("answered", name=shown(drop.name), rows=record.rows, bad=record.bad, version=record.version)
        say(
            {
                "answered": shown(drop.name),
                "file": record.answers[1],
                "version": record.version,
                "rows": record.rows,
                "bad": record.bad,
            }
        )

    def _served(self) -> Answerer:
        """The served version, loaded again when another one serves."""
        number = served_version.served(self._home)
        if self._answerer is None or self._answerer.version.number != number:
            self._answerer = None  # two models at once would only take more memory
            partial = self._settings.inbox.extra_columns == "add"
            self._answerer = Answerer(served_version.load(self._home, number), probabilities=True, partial=partial)
        return self._answerer

    def _refuse(self, name: str, stamp: Stamp, error: InvalidDrop) -> None:
        report = {
            "name": shown(name),
            "reason": error.reason,
            "line": error.line,
            "column": error.column,
            "from": "inbox/predict",
            "rejected_at": utcnow(),
        }
        drop_removal.reject(self._incoming, Rejected.of(self._inbox), name, stamp, report)
        self._incoming.sync()
        where = f"line {error.line}: " if error.line else ""
        log.warning("not_answered", name=shown(name), reason=error.reason)
        say({"refused": shown(name), "reason": f"{where}{error.reason}"})


def say(message: Message) -> None:
    """Tell the daemon."""
    with suppress(BrokenPipeError):
        sys.stdout.buffer.write(orjson.dumps(message) + b"\n")
        sys.stdout.buffer.flush()


def main(root: str, settings: str) -> None:
    """Work until there is nothing left, or the daemon asks to end."""
    file_modes.private()
    parsed = Settings.model_validate_json(settings)
    logs.configure(parsed.log)
    niceness.yield_cores(parsed.train.nice)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # if memory runs out, this process goes first
    arrow_without_pandas.without_pandas()
    try:
        OutboxProcess(Home(Path(root)), parsed).run()
    except (OSError, RetraindError) as error:
        say({"trouble": str(error)})
        time.sleep(TROUBLE_SECONDS)
        sys.exit(1)
