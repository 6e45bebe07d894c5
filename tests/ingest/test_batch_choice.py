"""retraind.daemon.ingest.batch_choice: which settled drops are read together."""

import pytest

from retraind.daemon.inbox.settling import Stamp
from retraind.daemon.ingest import batch_choice
from retraind.daemon.schema import labelled_row
from retraind.daemon.tabular.file_content import SMALL_BYTES

SAMPLE = f"x{labelled_row.SUFFIX}"
LARGE = SMALL_BYTES + 1


@pytest.mark.parametrize(
    ("sizes", "most_files", "chosen"),
    [
        ({}, None, 0),
        ({"a.csv": 60, "b.csv": 40, "c.csv": 1}, None, 2),
        ({"a.csv": 500, "b.csv": 1}, None, 1),
        ({"a.csv": LARGE, "b.csv": 1}, None, 1),
        ({"a.csv": 1, "b.csv": LARGE}, None, 1),
        ({"a.csv.gz": 1, "b.csv": 1}, None, 1),
        ({"a.csv": 1, "b.csv.gz": 1}, None, 1),
        ({"a.csv": 1, "b.csv": 1, "c.csv": 1}, 2, 2),
        ({"a.csv": 1, SAMPLE: 1, "c.csv": 1}, 1, 2),
    ],
    ids=["none", "bytes", "first alone", "large", "before large", "packed", "before packed", "files", "samples"],
)
def test_oldest_drops_that_fit_are_read_together(sizes: dict[str, int], most_files: int | None, chosen: int) -> None:
    """The first always fits; a large or packed one comes alone; a sample has one row and needs no exam."""
    settled = {name: Stamp(1, size, 1) for name, size in sizes.items()}
    files = batch_choice.choose(list(settled), settled, most_bytes=100, most_files=most_files)
    assert list(files) == list(sizes)[:chosen]
