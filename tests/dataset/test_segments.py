"""daemon.dataset.segments: Parquet files that are whole or not there, and few of them."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import names
from hypothesis import given
from hypothesis import strategies as st

from daemon.core import durable
from daemon.core.errors import DatasetDamaged
from daemon.dataset import segments
from daemon.dataset.segments import FAN, MOST_BYTES, Writer


def rows(*values: float) -> pa.Table:
    plain = {"x": pa.array(values, pa.float64()), "_row": pa.array(range(len(values)), pa.int64())}
    return pa.table({**plain, "_drop": ["d"] * len(values), "_source": ["file"] * len(values)})


def test_segment_written_in_parts_is_one_file(tmp_path: Path) -> None:
    """Hashes, rows and size are those of the file, which was never read again."""
    with Writer(tmp_path) as writer:
        writer.add(rows(1, 2))
        writer.add(rows(3))
        found = writer.seal().place()
    path = tmp_path / found.name
    assert names(tmp_path) == [found.name]
    assert (found.sha256, found.rows, found.bytes) == (durable.sha256_file(path), 3, path.stat().st_size)
    [(_, table)] = segments.read(tmp_path, {found.name: found.sha256})
    assert table["x"].to_pylist() == [1, 2, 3]
    assert table["_row"].to_pylist() == [0, 1, 0]


def test_segment_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    """Whatever goes wrong before the end, no file stays."""
    with pytest.raises(ZeroDivisionError), Writer(tmp_path) as writer:
        writer.add(rows(1 / 0))
    with pytest.raises(pa.ArrowInvalid), Writer(tmp_path) as writer:  # noqa: PT012 - the first call succeeds
        writer.add(rows(1))
        writer.add(pa.table({"x": ["no number"], "_row": [1], "_drop": ["d"], "_source": ["file"]}))
    assert names(tmp_path) == []


@pytest.mark.parametrize("recorded", [True, False])
def test_segment_has_its_name_only_if_it_is_on_record(tmp_path: Path, recorded: bool) -> None:
    """Until it is recorded nobody sees the file; if recording fails it goes, unless the record holds it all the same."""
    folder = tmp_path / "dataset"
    folder.mkdir()
    sealed = segments.write(folder, [rows(1, 2)])
    assert names(folder) == []
    with pytest.raises(ZeroDivisionError), sealed.entry(lambda name: recorded):
        assert names(folder) == [f"{sealed.segment.name}{1 / 0}"]
    assert names(folder) == ([sealed.segment.name] if recorded else [])
    assert names(tmp_path) == ["dataset"]


def test_merged_rows_are_those_of_the_sources_in_their_order(tmp_path: Path) -> None:
    """A column that only the later segment has is empty in the earlier one's rows; a damaged source stops the merge."""
    first = segments.write(tmp_path, [rows(1, 2)]).place()
    second = segments.write(tmp_path, [rows(3).append_column("y", pa.array(["new"]))]).place()
    *_, sealed = segments.merging(tmp_path, {first.name: first.sha256, second.name: second.sha256})
    assert sealed is not None
    merged = sealed.place()
    [(_, table)] = segments.read(tmp_path, {merged.name: merged.sha256})
    assert table.select(["x", "y"]).to_pylist() == [{"x": 1, "y": None}, {"x": 2, "y": None}, {"x": 3, "y": "new"}]
    with pytest.raises(DatasetDamaged, match=first.name):
        list(segments.merging(tmp_path, {first.name: second.sha256}))
    words = segments.write(tmp_path, [pa.table({"x": ["word"], "_drop": ["d"], "_source": ["file"]})]).place()
    with pytest.raises(segments.UnlikeError):
        list(segments.merging(tmp_path, {first.name: first.sha256, words.name: words.sha256}))


def grown(sizes: list[int]) -> tuple[list[dict[str, Any]], int]:
    """The live segments after batches of these sizes (bytes), merged whenever it is due, and all bytes ever written."""
    live: list[dict[str, Any]] = []
    written = 0
    for batch, size in enumerate(sizes):
        live.append({"name": str(batch), "tier": segments.tier_of(size), "first": batch, "bytes": size})
        written += size
        while due := segments.due(live):
            old = [one for one in live if one["name"] in due]
            merged = {"name": f"m{due[0]}", "tier": 1 + max(one["tier"] for one in old), "first": old[0]["first"]}
            live = [one for one in live if one["name"] not in due] + [{**merged, "bytes": sum(o["bytes"] for o in old)}]
            written += live[-1]["bytes"]
    return live, written


@pytest.mark.parametrize(
    ("batches", "size", "most"), [(20_000, 1_500, 60), (5_000, 100_000, 60), (300, 70_000_000, 300)]
)
def test_segments_stay_few_and_bytes_bounded(batches: int, size: int, most: int) -> None:
    """The number grows with the logarithm of the batches; no byte is written more than four times."""
    live, written = grown([size] * batches)
    assert len(live) <= most
    assert written <= 4 * size * batches
    assert sum(one["bytes"] for one in live) == size * batches
    assert min(one["first"] for one in live) == 0


@given(st.lists(st.integers(100, 2 * MOST_BYTES), max_size=200))
def test_merging_comes_to_rest(sizes: list[int]) -> None:
    """Whatever the sizes: never more than a tier full of what could still be merged, and nothing is lost."""
    live, _ = grown(sizes)
    assert sum(one["bytes"] for one in live) == sum(sizes)
    for tier in {one["tier"] for one in live}:
        oldest = sorted((one for one in live if one["tier"] == tier), key=lambda one: int(one["first"]))[:FAN]
        assert len(oldest) < FAN or sum(one["bytes"] for one in oldest) > MOST_BYTES
