"""Whether old predictions fit a filter: by the index, by the statistics of a row group, and row by row."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from retraind.daemon.core.home import Home
from retraind.daemon.core.journal.history_files import place_of
from retraind.daemon.history.layout import FACTS
from retraind.daemon.records.search.history_files import Within
from retraind.daemon.records.search.old_predictions import PredictionFilter
from retraind.daemon.records.search.prediction_search import few_labels, labels_of

PLACES = {name: place for place, name in enumerate(FACTS)}
"""The places of the columns that every file has."""


class Fitting:
    """A filter, and the labels that it needs."""

    def __init__(self, home: Home, chosen: PredictionFilter) -> None:
        self._home, self._chosen = home, chosen
        self._since, self._until = (None if at is None else _moment(at) for at in (chosen.since, chosen.until))
        self._labels = few_labels(home) if chosen.labelled else None

    @property
    def within(self) -> Within:
        """The files that may have fitting rows."""
        # Only a whole identity is in the index.
        whole = self._chosen.key[:-1] and ("-" in self._chosen.key or "." in self._chosen.key)
        return Within(self._chosen.since, self._chosen.until, place_of(self._chosen.key)[0] if whole else None)

    @property
    def columns(self) -> list[str]:
        """The names of the columns that `mask` needs."""
        chosen = self._chosen
        ranges = {"confidence": chosen.confidence, "prediction": chosen.value}
        needs = {
            "model_version": chosen.version is not None,
            "prediction_name": bool(chosen.answer),
            "caller": chosen.caller is not None,
            **{name: any(end is not None for end in ends) for name, ends in ranges.items()},
            "timestamp": self._since is not None or self._until is not None,
            "prediction_id": bool(chosen.key) or chosen.labelled is not None,
        }
        return [name for name, needed in needs.items() if needed]

    def may_have(self, file: pq.ParquetFile, group: int) -> bool:
        """Whether a row group may have fitting rows."""
        columns = file.metadata.row_group(group)
        version, times = (columns.column(PLACES[name]).statistics for name in ("model_version", "timestamp"))
        chosen = self._chosen.version
        if chosen is not None and not version.min <= chosen <= version.max:
            return False
        late = self._since is not None and times.max < self._since
        return not late and (self._until is None or times.min < self._until)

    def mask(self, rows: pa.Table) -> NDArray[np.bool_]:
        """The rows that fit (n,)."""
        fits = np.ones(len(rows), dtype=bool)
        for condition in self._conditions(rows):
            fits &= pc.fill_null(condition, fill_value=False).to_numpy(zero_copy_only=False)
        if self._chosen.labelled is not None:
            fits &= self._labelled(rows["prediction_id"], fits) == self._chosen.labelled
        return fits

    def _conditions(self, rows: pa.Table) -> Iterator[Any]:
        chosen = self._chosen
        equal = (
            ("model_version", chosen.version),
            ("prediction_name", chosen.answer or None),
            ("caller", chosen.caller),
        )
        yield from (pc.equal(rows[name], value) for name, value in equal if value is not None)
        for name, (low, high) in (("confidence", chosen.confidence), ("prediction", chosen.value)):
            if low is not None:
                yield pc.greater_equal(rows[name], low)
            if high is not None:
                yield pc.less_equal(rows[name], high)
        kind = FACTS["timestamp"]
        if self._since is not None:
            yield pc.greater_equal(rows["timestamp"], pa.scalar(self._since, kind))
        if self._until is not None:
            yield pc.less(rows["timestamp"], pa.scalar(self._until, kind))
        if chosen.key:
            yield pc.starts_with(rows["prediction_id"], chosen.key)

    def _labelled(self, ids: pa.ChunkedArray, fits: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which of the rows that fit otherwise have a label."""
        labels = self._labels
        if labels is None:
            labels = list(labels_of(self._home.journal, ids.filter(pa.array(fits)).to_pylist()))
        known: NDArray[np.bool_] = pc.is_in(ids, pa.array(labels, pa.string())).to_numpy()
        return known


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
