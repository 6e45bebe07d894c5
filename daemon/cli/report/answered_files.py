"""The finding of `retraind doctor` on `inbox/predict` and `outbox`."""

from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.inbox_names import ignored
from retraind.daemon.inbox.answer_record import AnswerRecord, AnswerRecords
from retraind.daemon.schema.score_names import counted


def describe(home: Home) -> str:
    """The files that wait and those that were answered; raises RetraindError if answers are lost, OSError."""
    for folder in (home.predict, home.outbox, home.outbox_records):
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise RetraindError(f"{folder} is not a folder.", hint="Move it away; then a new one is made.")
    records = list(AnswerRecords(home).all()) if home.outbox_records.is_dir() else []
    if lost := [record.name for record in records if record.state == "prepared" and not _is_whole(home, record)]:
        more = f" {len(lost) - 1} more of its kind." if len(lost) > 1 else ""
        raise RetraindError(f"The answers to {lost[0]} are gone from {home.outbox}.{more}", hint="Drop the file again.")
    begun = sum(record.state == "prepared" for record in records)
    waiting = sum(not ignored(path.name) for path in home.predict.iterdir()) if home.predict.is_dir() else 0
    sentence = f"{counted(waiting, 'file')} to predict, {counted(len(records) - begun, 'file')} answered"
    return f"{sentence}; {counted(begun, 'file')} is finished at the next start." if begun else f"{sentence}."


def _is_whole(home: Home, record: AnswerRecord) -> bool:
    """Whether the answers are there, under the hidden name or under their own."""
    return any((home.outbox / name).exists() for name in record.answers)
