"""Late labels: the true values of served predictions, with the drops that they came in."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select, text

from retraind.daemon.core.journal_rows import DropRow, LabelRecord
from retraind.daemon.core.states import DropState
from retraind.daemon.storage.database import Database
from retraind.daemon.storage.entries import key_values
from retraind.daemon.storage.entries.key_values import KeyValues
from retraind.daemon.storage.journal_tables import labels

MANY_ROWS = 10_000
"""Rows per insert, because each is in memory twice meanwhile."""


class Labels:
    """Late labels by prediction."""

    def __init__(self, database: Database, values: KeyValues) -> None:
        self._database = database
        self._key_values = values

    def truths(self, predictions: Iterable[str]) -> dict[str, str]:
        """The known true values of predictions, by id."""
        query = select(labels.c.prediction_id, labels.c.truth)
        rows = self._database.among(query, labels.c.prediction_id, predictions)
        return {row["prediction_id"]: row["truth"] for row in rows}

    def predictions_of(self, drop: DropRow) -> list[str]:
        """Ids of the predictions that a drop has labelled; for a forgotten drop, until they are purged as well."""
        if drop["state"] == DropState.ACCEPTED:
            rows = self._database.rows(select(labels.c.prediction_id).where(labels.c.drop == drop["sha256"]))
            return [row["prediction_id"] for row in rows]
        return self._key_values.get(_key(drop)) or []

    def forget_predictions(self, drop: DropRow) -> None:
        """Remove the ids of the predictions that a drop has labelled, because they are purged."""
        self._key_values.drop(_key(drop))


def insert(connection: Connection, labelled: Sequence[LabelRecord], batch: int, now: str) -> None:
    """Record a batch's late labels within the caller's transaction."""
    for start in range(0, len(labelled), MANY_ROWS):
        some = labelled[start : start + MANY_ROWS]
        connection.execute(labels.insert(), [{**label, "batch": batch, "at": now} for label in some])


def empty(connection: Connection, drop: DropRow) -> None:
    """Remove the content of a drop's labels, within the caller's transaction; the ids stay until they are purged."""
    of_drop = labels.c.drop == drop["sha256"]
    # The ids are kept here until they are purged from the history; the labels' own rows lose them now.
    ids = connection.execute(select(labels.c.prediction_id).where(of_drop)).scalars().all()
    if ids:
        key_values.put(connection, _key(drop), list(ids))
    # Their rows stay, empty, because the count of labels must not fall.
    nameless = text("'forgotten-' || rowid")
    blank = labels.update().where(of_drop).values(version=0, prediction="", truth="", drop="", prediction_id=nameless)
    connection.execute(blank)


def _key(drop: DropRow) -> str:
    return f"predictions_of:{drop['sha256']}"
