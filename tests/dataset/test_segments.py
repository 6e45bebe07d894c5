"""daemon.dataset.segments: the rows of the files, one by one and together."""

import pyarrow as pa
import pytest

from daemon.core.errors import DatasetDamaged
from daemon.core.home import Home
from daemon.dataset import segments
from daemon.dataset.segment_folder import SegmentFolder
from daemon.dataset.segments import UnlikeError


def rows(*values: float) -> pa.Table:
    plain = {"x": pa.array(values, pa.float64()), "_row": pa.array(range(len(values)), pa.int64())}
    return pa.table({**plain, "_drop": ["d"] * len(values), "_source": ["file"] * len(values)})


def test_merged_rows_are_those_of_the_sources_in_their_order(home: Home) -> None:
    """A column that only the later segment has is empty in the earlier one's rows; a damaged source stops the merge."""
    folder = SegmentFolder(home)
    home.segments.mkdir(parents=True, exist_ok=True)
    first = folder.write([rows(1, 2)]).place()
    second = folder.write([rows(3).append_column("y", pa.array(["new"]))]).place()
    *_, sealed = folder.merging({first.name: first.sha256, second.name: second.sha256})
    assert sealed is not None
    merged = sealed.place()
    [(_, table)] = segments.read(home.segments, {merged.name: merged.sha256})
    assert table.select(["x", "y"]).to_pylist() == [{"x": 1, "y": None}, {"x": 2, "y": None}, {"x": 3, "y": "new"}]
    with pytest.raises(DatasetDamaged, match=first.name):
        list(folder.merging({first.name: second.sha256}))
    words = folder.write([pa.table({"x": ["word"], "_drop": ["d"], "_source": ["file"]})]).place()
    with pytest.raises(UnlikeError):
        list(folder.merging({first.name: first.sha256, words.name: words.sha256}))
