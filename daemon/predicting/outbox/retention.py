"""Retention of the outbox: removes old answers, and the records of answers that are gone."""

import os
from contextlib import suppress
from pathlib import Path

from retraind.daemon.core import clock, logs
from retraind.daemon.core.clock import Clock, Reading
from retraind.daemon.core.home import Home
from retraind.daemon.inbox.answer_record import AnswerRecords
from retraind.daemon.predicting.outbox.folders import ANSWERS, BAD

log = logs.Logger()


class OutboxRetention:
    """Removes files of the outbox after `days`; 0: never."""

    def __init__(self, home: Home, days: float) -> None:
        self._home, self._days = home, days
        self._clock = Clock()

    def sweep(self, now: Reading) -> int:
        """Remove old answers; returns the number of files. Raises OSError.

        The first hour removes nothing, and neither does one in which the clock was set.
        """
        removed = 0
        if self._clock.trusts(now) and self._days and self._home.outbox.is_dir():
            removed = sum(self._remove(entry, now.wall) for entry in os.scandir(self._home.outbox))
        if removed:
            log.info("answers_removed", files=removed, days=self._days)
        if self._home.outbox_records.is_dir():
            records = AnswerRecords(self._home)
            for record in list(records.all()):
                if record.state == "answered" and not (self._home.outbox / record.answers[1]).exists():
                    records.remove(record)
        return removed

    def _remove(self, entry: "os.DirEntry[str]", now: float) -> bool:
        if not entry.name.endswith((ANSWERS, BAD)):
            return False
        begin, limit = clock.made(self._home, now), now - self._days * clock.DAY
        with suppress(FileNotFoundError):
            status = entry.stat(follow_symlinks=False)
            if begin <= max(status.st_mtime, status.st_ctime) < limit:
                Path(entry.path).unlink()
                return True
        return False
