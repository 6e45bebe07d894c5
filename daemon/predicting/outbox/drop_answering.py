"""Answers one settled file of `inbox/predict`, exactly once, whenever the process is killed.

Answers, bad rows and predictions are written to hidden files. When all are durable, a record says so, and only then they get their names:
first the predictions in the log, then bad rows, then answers. Then the file leaves the inbox. Before the record nothing can be seen,
and a restart begins again; after it a restart does what is left.
"""

from contextlib import suppress
from dataclasses import dataclass

from retraind.daemon.core import durable, logs
from retraind.daemon.core.home import Home
from retraind.daemon.core.inbox_names import real_names, shown
from retraind.daemon.core.shared_folder import Folder
from retraind.daemon.core.status import utcnow
from retraind.daemon.inbox import drop_removal
from retraind.daemon.inbox.answer_record import AnswerRecord, AnswerRecords
from retraind.daemon.inbox.drop import Drop
from retraind.daemon.predicting import input_file
from retraind.daemon.predicting.answers import Answerer
from retraind.daemon.predicting.file_answers import FileAnswers
from retraind.daemon.predicting.outbox import prediction_file
from retraind.daemon.predicting.outbox.folders import ANSWERS, BAD, Outbox
from retraind.daemon.predicting.outbox.prediction_file import PredictionFile

log = logs.Logger()


@dataclass(frozen=True)
class DropAnswering:
    """The folders in which files are answered."""

    home: Home
    incoming: Folder
    outbox: Outbox
    records: AnswerRecords

    def earlier(self, drop: Drop, version: int) -> AnswerRecord | None:
        """The record of the same bytes, if this version has answered them and the answers are still in the outbox."""
        record = self.records.get(drop.sha256)
        if record is None or record.version != version or not self.outbox.folder.has(record.answers[1]):
            return None
        return record

    def answer(self, drop: Drop, answerer: Answerer) -> AnswerRecord:
        """Answer a file; raises InvalidDrop if it can't be, OSError. The file leaves the inbox."""
        record = self._prepared(drop, answerer)
        self.records.put(record)
        return self.finish(record)

    def finish(self, record: AnswerRecord) -> AnswerRecord:
        """Do what is left for a prepared file; raises OSError."""
        hidden, name = record.predictions
        with suppress(FileNotFoundError):  # it has its name, and may have been copied into the history and removed
            (self.home.logs / hidden).rename(self.home.logs / name)
        durable.fsync_dir(self.home.logs)
        if record.bad_rows is not None:
            self.outbox.show(*record.bad_rows)
        self.outbox.show(*record.answers)
        self.outbox.folder.sync()
        self.clear(record.name, record.sha256)
        done = record.model_copy(update={"state": "answered"})
        self.records.put(done)
        return done

    def clear(self, name: str, sha256: str) -> None:
        """Remove an answered file from the inbox, unless it has other bytes by now; raises OSError."""
        # A name that is shown may have lost bytes.
        for real, same in real_names((entry.name for entry in self.incoming.entries()), [(name, sha256)]):
            drop_removal.remove(self.incoming, real, same)
        self.incoming.sync()

    def recover(self) -> int:
        """Finish what a killed process has prepared, and remove what it has begun; returns the number of finished files."""
        prepared = [record for record in self.records.all() if record.state == "prepared"]
        for record in prepared:
            self.finish(record)
        self.outbox.folder.sweep()
        prediction_file.sweep(self.home.logs)
        drop_removal.recover(self.incoming)
        return len(prepared)

    def _prepared(self, drop: Drop, answerer: Answerer) -> AnswerRecord:
        """Write the hidden files; if that fails, none of them stays."""
        source = input_file.source_of(drop.content, answerer.schema, partial=answerer.partial)
        predictions = PredictionFile(self.home.logs, answerer.version)
        hidden: list[str] = []
        try:
            work = FileAnswers(source, answerer, predictions.log)
            hidden.append(self.outbox.write(work.lines()))
            predictions.close()
            if bad := work.summary.bad:
                hidden.append(self.outbox.write(source.report(bad)))
        except BaseException:
            predictions.discard(self.home.logs)
            for name in hidden:
                self.outbox.folder.remove(name)
            raise
        free, summary = self.outbox.free_name(drop.name), work.summary
        return AnswerRecord(
            state="prepared",
            sha256=drop.sha256,
            name=shown(drop.name),
            version=summary.version,
            rows=summary.rows,
            answered=summary.answered,
            bad=len(summary.bad),
            answers=(hidden[0], free + ANSWERS),
            bad_rows=(hidden[1], free + BAD) if summary.bad else None,
            predictions=(predictions.hidden, predictions.name),
            at=utcnow(),
        )
