"""Copies of the predictions in a backup: their log, its history, and the answers in `outbox`.

`inbox/predict` is packed before them, and answers after the history that has their predictions. So a file that is answered
meanwhile is in the copy both waiting and answered, with a record of that, and is not answered again. Only one whose answers
get their names while they are packed counts as waiting: it is answered again after a restore.
"""

from contextlib import suppress
from pathlib import Path

from retraind.daemon.backup import database_copies
from retraind.daemon.backup.archive import Moved, Packer
from retraind.daemon.core import logs, settings
from retraind.daemon.core.home import Home
from retraind.daemon.inbox.answer_record import AnswerRecord, AnswerRecords
from retraind.daemon.records.search import history_files
from retraind.daemon.storage.history_logs import LogFiles

log = logs.Logger()


def pack_finished(home: Home, packer: Packer) -> None:
    """Pack log files that wait to be archived, before the journal: afterwards they may be in files that its copy lacks."""
    if settings.load(home.settings).predictions.history == "parquet":
        for path in sorted(LogFiles(home).finished()):
            with suppress(FileNotFoundError):
                packer.add(f"logs/{path.name}", path)


def pack(home: Home, packer: Packer, scratch: Path, journal: Path) -> None:
    """Pack all of them, of old ones the files that `journal`, its copy, names; raises Moved, OSError."""
    before = _answered(home)
    _pack_files(home, packer, journal)
    _pack_history(home, packer, scratch)
    _require_logs(home, packer, journal)
    for sha256, record in sorted(_answered(home).items()):
        if sha256 not in before:
            _pack_log(home, packer, record)
        names = [name for _, name in filter(None, (record.answers, record.bad_rows))]
        for path in (*(home.outbox / name for name in names), home.outbox_records / f"{sha256}.json"):
            with suppress(FileNotFoundError):  # the answers were moved away meanwhile
                packer.add(str(path.relative_to(home.root)), path)


def _pack_files(home: Home, packer: Packer, journal: Path) -> None:
    """Pack the files of old predictions that are here; those in the object store stay there."""
    for file in history_files.all_files(journal):
        try:
            packer.add(f"logs/{file['object']}", home.logs / file["object"])
        except FileNotFoundError:
            if not history_files.names(home.journal, file["object"]):
                log.info("started_again", reason="Old predictions were erased meanwhile.")
                raise Moved from None


def _require_logs(home: Home, packer: Packer, journal: Path) -> None:
    """Check that the copy has each log whose predictions came into files after the copy of the journal."""
    later = history_files.logs(home.journal) - history_files.logs(journal)
    if any(f"logs/{name}" not in packer for name in later):
        log.info("started_again", reason="Predictions were archived meanwhile.")
        raise Moved


def _pack_history(home: Home, packer: Packer, scratch: Path) -> None:
    """Figures over time, the prediction log and its history: first copies of the databases, then log lines that are not in them yet."""
    before = set(home.logs.glob("predictions-*.jsonl"))
    if home.trends.exists():  # earlier than the history, so that a restored home counts the rest of it
        packer.add("logs/trends.db", database_copies.snapshot(home.trends, scratch / "trends.db"))
    if home.history.exists():
        packer.add("logs/predictions.db", database_copies.snapshot(home.history, scratch / "predictions.db"))
    for path in sorted(home.logs.glob("predictions-*.jsonl")):
        with suppress(FileNotFoundError):
            if f"logs/{path.name}" not in packer:
                packer.add(f"logs/{path.name}", path)
            before.discard(path)
    before = {path for path in before if f"logs/{path.name}" not in packer}
    if before:
        log.info("started_again", reason="A file of the prediction log ended meanwhile.")
        raise Moved


def _answered(home: Home) -> dict[str, AnswerRecord]:
    """The records of answered files, by sha256."""
    if not home.outbox_records.is_dir():
        return {}
    return {record.sha256: record for record in AnswerRecords(home).all() if record.state == "answered"}


def _pack_log(home: Home, packer: Packer, record: AnswerRecord) -> None:
    """The predictions of a file that was answered meanwhile; lines that are in the history, too, count once."""
    name = f"logs/{record.predictions[1]}"
    if name in packer:
        return
    try:
        packer.add(name, home.root / name)
    except FileNotFoundError:
        log.info("started_again", reason="A file of inbox/predict was answered meanwhile.")
        raise Moved from None
