"""Erases old predictions: a file that holds some is written again without them."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal.history_files import HistoryFile
from retraind.daemon.history import entries, lookup, writing
from retraind.daemon.history.files import FileGone, HistoryPlace
from retraind.daemon.records.search import history_files
from retraind.daemon.storage.journal import Journal


def erase(home: Home, place: HistoryPlace, journal: Journal, ids: Sequence[str]) -> Iterator[int]:
    """Erase predictions, file by file; yields their number in each. Used by the loop's thread.

    Raises Unavailable, OSError; a repeated call erases the rest.
    """
    for file, some in history_files.holding(home.journal, ids):
        yield _rewrite(place, journal, file, some)


def _rewrite(place: HistoryPlace, journal: Journal, file: HistoryFile, ids: Sequence[str]) -> int:
    rows = _read(place, file, ids)
    if rows is None:
        return 0
    rest = rows.filter(pc.invert(pc.is_in(rows["prediction_id"], pa.array(ids))))
    keyed = entries.keyed(rest, [file["day"]] * len(rest)) if len(rest) else None
    new = [] if keyed is None else [writing.write_day(keyed, file["day"], place.folder)]
    journal.history_files.expect([one["object"] for one in new])
    for one in new:
        place.put(one)
    journal.history_files.replace([file["object"]], new)
    place.remove([file["object"]])
    journal.history_files.settle([file["object"]])
    return len(rows) - len(rest)


def _read(place: HistoryPlace, file: HistoryFile, ids: Sequence[str]) -> pa.Table | None:
    """The rows of a file if one of the ids is among them; None also if the file is gone, and so are they."""
    try:
        with place.opened(file) as parquet:
            if not any(len(rows) for rows in lookup.rows_with(parquet, ids)):
                return None
            return parquet.read(use_threads=False)
    except FileGone:
        return None
    except (pa.ArrowException, OSError) as error:
        raise Unavailable(f"{file['object']} can't be read: {error}.", hint="It is tried again.") from None


def files_with(home: Home, place: HistoryPlace, ids: Sequence[str]) -> list[str]:
    """Names of the files with one of these predictions; raises Unavailable."""
    holders = history_files.holding(home.journal, ids)
    return [file["object"] for file, some in holders if _read(place, file, some) is not None]
