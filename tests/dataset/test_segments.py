"""retraind.daemon.dataset.segments: the rows of the files, one by one and together."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retraind.daemon.core.errors import DatasetDamaged
from retraind.daemon.core.home import Home
from retraind.daemon.dataset import segments
from retraind.daemon.dataset.segment_folder import SegmentFolder
from retraind.daemon.dataset.segments import UnlikeError


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


def test_pieces_are_all_rows_in_order_and_none_of_a_damaged_segment(home: Home) -> None:
    """Several row groups and segments are decoded ahead by threads; columns that a segment lacks are left out of its pieces."""
    folder = SegmentFolder(home)
    home.segments.mkdir(parents=True, exist_ok=True)
    first = folder.write([rows(*range(start, start + 100)) for start in range(0, 1000, 100)]).place()
    second = folder.write([rows(1000, 1001).append_column("y", pa.array(["a", "b"]))]).place()
    read = list(segments.pieces(home.segments, {one.name: one.sha256 for one in (first, second)}, ["y", "x"]))
    assert [value for piece in read for value in piece["x"].to_pylist()] == list(range(1002))
    assert read[0].column_names == ["x"]
    assert read[-1].to_pydict() == {"y": ["a", "b"], "x": [1000, 1001]}
    damaged = segments.pieces(home.segments, {first.name: first.sha256, second.name: first.sha256}, ["x"])
    values: list[float] = []
    with pytest.raises(DatasetDamaged, match=second.name):
        values.extend(value for piece in damaged for value in piece["x"].to_pylist())
    assert max(values, default=0) < 1000
    asked = segments.pieces(home.segments, {first.name: first.sha256}, ["x"])
    assert next(asked).num_rows == 100
    del asked  # whoever stops early waits for no more than what has begun


def test_a_small_segment_is_compressed_by_what_opens_fast_and_a_large_one_by_what_saves_most(home: Home) -> None:
    """What the first rows take decides; the rows are the same."""
    home.segments.mkdir(parents=True, exist_ok=True)
    for count, compression in ((10, "LZ4"), (400_000, "ZSTD")):
        segment = SegmentFolder(home).write([rows(*range(count))]).place()
        column = pq.read_metadata(home.segments / segment.name).row_group(0).column(0)
        assert column.compression == compression
        [(_, table)] = segments.read(home.segments, {segment.name: segment.sha256})
        assert table["x"].to_pylist() == list(range(count))
