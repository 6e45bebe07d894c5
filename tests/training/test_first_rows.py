"""The rows that the reference begins with: a handful of rows must not judge all later versions."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from workshop import PRICES, Workshop, prices

from retraind.daemon.core.home import Home
from retraind.daemon.storage.entries.batches import FIRST_ROWS
from retraind.daemon.storage.journal import Journal
from retraind.daemon.training.data.revision import Data

AT = "2026-03-02T00:00:00.000Z"


@pytest.mark.parametrize(
    ("batches", "early"),
    [([], 0), ([23], 0), ([23, 600, 50], 600), ([23, 10, 600, 50], 610), ([100, 50], 0), ([10] * 12, 90)],
)
def test_batches_join_a_small_first_one(home: Home, batches: list[int], early: int) -> None:
    """Until they have a hundred rows together; a large first batch judges alone."""
    journal = Journal.open(home.journal)
    for number, rows in enumerate(batches):
        segment = {"segment": f"{number}", "sha256": f"{number:064}", "md5": f"{number:032}", "rows": rows, "bytes": 1}
        drop = {"sha256": f"{number:064}", "name": "a.csv", "source": "file", "bytes": 1, "settled_at": AT}
        journal.batches.accept(segment, [{**drop, "rows_accepted": rows}])  # type: ignore[typeddict-item, arg-type]
    assert journal.batches.early_rows() == early
    assert not early or sum(batches[:1]) < FIRST_ROWS
    journal.close()


def test_reference_has_the_rows_accepted_first(home: Home) -> None:
    """Wherever a merge has put them: those of the first batches judge, no later one."""
    workshop, day = Workshop(home, PRICES), datetime(2026, 3, 2, tzinfo=UTC)
    for count, seed in ((20, 1), (200, 2), (300, 3)):
        workshop.add(prices(count, seed), day)
        day += timedelta(days=1)
    names = list(workshop.segments)

    def reference(order: list[int], early: int) -> list[float]:
        segments = {names[place]: workshop.segments[names[place]] for place in order}
        data = Data.read(workshop.home.segments, segments, workshop.schema, 20, 0.2, early_rows=early)
        return sorted(np.round(data.matrix[data.reference][:, 0], 6).tolist())

    assert len(reference([0, 1, 2], 0)) < 10
    assert len(reference([0, 1, 2], 200)) > 30
    assert reference([0, 1, 2], 200) == reference([0, 2, 1], 200)
