"""retraind.daemon.dataset.segment_writer: Parquet files that are whole or not there."""

from pathlib import Path

import pyarrow as pa
import pytest
from conftest import names

from retraind.daemon.core import durable
from retraind.daemon.dataset import segment_writer, segments
from retraind.daemon.dataset.segment_writer import Writer


def rows(*values: float) -> pa.Table:
    plain = {"x": pa.array(values, pa.float64()), "_row": pa.array(range(len(values)), pa.int64())}
    return pa.table({**plain, "_drop": ["d"] * len(values), "_source": ["file"] * len(values)})


def test_segment_written_in_parts_is_one_file(tmp_path: Path) -> None:
    """Hashes, rows and size are those of the file, which was never read again."""
    with Writer(tmp_path) as writer:
        writer.add(rows(1, 2))
        writer.add(rows(3))
        placed = writer.seal().place()
    path = tmp_path / placed.name
    assert names(tmp_path) == [placed.name]
    assert (placed.sha256, placed.rows, placed.bytes) == (durable.sha256_file(path), 3, path.stat().st_size)
    [(_, table)] = segments.read(tmp_path, {placed.name: placed.sha256})
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
    """Until it is recorded, the file has no visible name. If recording fails, the file is removed, unless the record exists all the same."""
    folder = tmp_path / "dataset"
    folder.mkdir()
    sealed = segment_writer.write(folder, [rows(1, 2)])
    assert names(folder) == []
    with pytest.raises(ZeroDivisionError), sealed.entry(lambda name: recorded):
        assert names(folder) == [f"{sealed.segment.name}{1 / 0}"]
    assert names(folder) == ([sealed.segment.name] if recorded else [])
    assert names(tmp_path) == ["dataset"]
