"""Late labels: the truth of predictions that were served, by the drop that brought it."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select, text

from daemon.core.journal_rows import DropRow, LabelRecord
from daemon.core.states import DropState
from daemon.storage.database import Database
from daemon.storage.entries import key_values
from daemon.storage.entries.key_values import KeyValues
from daemon.storage.journal_tables import labels

MANY_ROWS = 10_000
"""Rows that are inserted at once: each is held in memory twice meanwhile."""


class Labels:
    """Late labels by prediction."""

    def __init__(self, database: Database, values: KeyValues) -> None:
        self._database = database
        self._key_values = values

    def truths(self, predictions: Iterable[str]) -> dict[str, str]:
        """The truth that is known of predictions, by id."""
        query = select(labels.c.prediction_id, labels.c.truth)
        rows = self._database.among(query, labels.c.prediction_id, predictions)
        return {row["prediction_id"]: row["truth"] for row in rows}

    def predictions_of(self, drop: DropRow) -> list[str]:
        """Ids of the predictions that a drop has labelled; of one that was forgotten, until they are purged, too."""
        if drop["state"] == DropState.ACCEPTED:
            rows = self._database.rows(select(labels.c.prediction_id).where(labels.c.drop == drop["sha256"]))
            return [row["prediction_id"] for row in rows]
        return self._key_values.get(_key(drop)) or []

    def forget_predictions(self, drop: DropRow) -> None:
        """No longer know which predictions a drop has labelled: they are purged."""
        self._key_values.drop(_key(drop))


def insert(connection: Connection, labelled: Sequence[LabelRecord], batch: int, now: str) -> None:
    """Record a batch's late labels within the caller's transaction."""
    for start in range(0, len(labelled), MANY_ROWS):
        some = labelled[start : start + MANY_ROWS]
        connection.execute(labels.insert(), [{**label, "batch": batch, "at": now} for label in some])


def empty(connection: Connection, drop: DropRow) -> None:
    """Remove what the labels of a drop say, within the caller's transaction; their ids are known until they are purged."""
    of_drop = labels.c.drop == drop["sha256"]
    # Known until they are purged from the history: the labels' own rows forget them now.
    ids = connection.execute(select(labels.c.prediction_id).where(of_drop)).scalars().all()
    if ids:
        key_values.put(connection, _key(drop), list(ids))
    # Their rows stay, empty, because the number of labels that have come must not fall.
    nameless = text("'forgotten-' || rowid")
    blank = labels.update().where(of_drop).values(version=0, prediction="", truth="", drop="", prediction_id=nameless)
    connection.execute(blank)


def _key(drop: DropRow) -> str:
    return f"predictions_of:{drop['sha256']}"
