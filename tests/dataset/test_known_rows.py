"""retraind.daemon.dataset.known_rows and retraind.daemon.ingest.reading.known_row_filter: which rows of a drop the dataset has already. Real segments, journal and folders."""

import errno
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal

import forgetting
import numpy as np
import pytest
from conftest import names
from hypothesis import given
from hypothesis import strategies as st
from ingesting import HEADER, Parts, row

from retraind.daemon.core import durable, requests
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Inbox, Settings, Train
from retraind.daemon.dataset import known_rows as known
from retraind.daemon.dataset import row_hash_files, segments
from retraind.daemon.dataset.known_rows import KnownRows
from retraind.daemon.dataset.row_hash_files import RowHashes
from retraind.daemon.ingest.reading import reader
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema, load
from retraind.daemon.tabular import file_content

parts = pytest.fixture(forgetting.parts)

SKIP = Settings(inbox=Inbox(settle_seconds=0.0, known_rows="skip"))


@pytest.fixture
def skipping(home: Home, schema: Schema) -> Iterator[Parts]:
    assert schema
    parts = Parts(home, SKIP)
    yield parts
    parts.close()


def counts(parts: Parts, column: Literal["rows_known", "rows_relabelled"] = "rows_known") -> dict[str, int]:
    return {one["name"]: one[column] for seq in range(1, 20) for one in parts.journal.drops.of_batch(seq)}


def messages(parts: Parts, kind: str) -> list[str]:
    with closing(sqlite3.connect(parts.home.journal)) as connection:
        return [message for (message,) in connection.execute("SELECT message FROM events WHERE kind = ?", [kind])]


def lines(*lengths: float) -> str:
    return HEADER + "".join(row(length) for length in lengths)


def sidecars(home: Home) -> set[str]:
    return {name.removesuffix(known.SUFFIX) for name in names(home.known)}


def live(parts: Parts) -> set[str]:
    return {one["name"] for one in parts.journal.segments.current()}


def test_known_rows_are_counted_and_taken(parts: Parts) -> None:
    """An export that grows: the rows of the night before are known; so is a row twice if the dataset has it twice."""
    parts.drop("a.csv", lines(1, 2, 2, 3))
    parts.run()
    parts.drop("b.csv", lines(1, 2, 2, 2, 3, 4))
    parts.run()
    assert counts(parts) == {"a.csv": 0, "b.csv": 4}
    assert len(parts.lengths) == 10


def test_known_rows_are_skipped_as_a_multiset(skipping: Parts) -> None:
    """What is new is taken, also the third of a row of which there are two; a drop of known rows only is a duplicate."""
    for name, text in (("a", lines(1, 2, 2, 3)), ("b", lines(1, 2, 2, 2, 3, 4)), ("c", lines(4, 2, 1))):
        skipping.drop(f"{name}.csv", text)
        skipping.run()
    assert skipping.lengths == [1, 2, 2, 2, 3, 4]
    assert skipping.drops() == [("a.csv", "accepted"), ("b.csv", "accepted"), ("c.csv", "duplicate")]
    assert skipping.waiting == []
    assert messages(skipping, "known") == ["b.csv: 4 of 6 rows are in the dataset already and were not accepted again."]
    [last] = messages(skipping, "duplicate")
    assert last == "c.csv: 3 of 3 rows are in the dataset already; they were not accepted again."


def test_drops_of_one_batch_know_each_other(skipping: Parts) -> None:
    """Whatever is read together: the second has only what the first has not."""
    skipping.drop("a.csv", lines(1, 2, 2))
    skipping.drop("b.csv", lines(1, 2, 2, 2))
    skipping.run()
    assert skipping.lengths == [1, 2, 2, 2]
    assert sum(counts(skipping).values()) == 3


def test_a_large_drop_is_skipped_part_by_part(skipping: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rules hold where a file comes in parts, of which each has to know what the ones before it have used up."""
    numbers = [round(index / 64, 6) for index in range(3000)]
    skipping.drop("a.csv", lines(*numbers))
    skipping.run()
    monkeypatch.setattr(file_content, "SMALL_BYTES", 4096)
    monkeypatch.setattr(reader, "PIECE_ROWS", 500)
    more = [*numbers, *numbers[:10], *[round(-1 - index, 6) for index in range(7)]]
    skipping.drop("b.csv", lines(*more))
    skipping.run()
    assert Counter(skipping.lengths) == Counter(more)
    assert counts(skipping)["b.csv"] == 3000


def test_bad_rows_of_a_known_drop_are_kept(skipping: Parts) -> None:
    """All good rows are known, and one is bad: nothing is taken, and the bad one lies in rejected/."""
    skipping.drop("a.csv", lines(1, 2))
    skipping.run()
    skipping.drop("b.csv", lines(1, 2) + "x,1,1,1,setosa\n")
    skipping.run()
    assert skipping.drops()[-1] == ("b.csv", "duplicate")
    assert len(list(skipping.home.rejected.glob("b.csv.*.bad.csv"))) == 1


def test_another_label_is_reported(parts: Parts) -> None:
    """The same features with another class are no known row; the drop says how many there are."""
    parts.drop("a.csv", lines(1, 2))
    parts.run()
    parts.drop("b.csv", lines(1, 2).replace("setosa", "virginica", 1))
    parts.run()
    assert (counts(parts)["b.csv"], counts(parts, "rows_relabelled")["b.csv"]) == (1, 1)
    [said] = messages(parts, "relabelled")
    assert "1 row has features that it has only with another target" in said


def test_index_is_made_again_and_follows_the_segments(parts: Parts) -> None:
    """Gone, torn or of a segment that is no more: what counts is what the dataset holds, also after a restart."""
    for number in range(3):
        parts.drop(f"{number}.csv", lines(number))
        parts.run()
    assert sidecars(parts.home) == live(parts)
    [first, second, *_] = sorted(parts.home.known.iterdir())
    first.unlink()
    second.write_bytes(second.read_bytes()[:-3])
    durable.write(parts.home.known / f"foreign{known.SUFFIX}", b"x")
    parts.reopen()
    parts.drop("all.csv", lines(0, 1, 2, 3))
    parts.run()
    assert counts(parts)["all.csv"] == 3
    assert sidecars(parts.home) == live(parts)


def test_forgotten_rows_are_known_no_more(parts: Parts) -> None:
    """They leave the index with their segment, before the journal says that they are forgotten."""
    parts.drop("a.csv", lines(1, 2))
    parts.drop("b.csv", lines(3))
    parts.run()
    before = live(parts)
    sha256 = next(one["sha256"] for one in parts.journal.drops.of_batch(1) if one["name"] == "a.csv")
    requests.submit(parts.home, "forget", drop=sha256, by="test")
    parts.run()
    assert not before & sidecars(parts.home)
    parts.drop("c.csv", lines(2, 1, 3))
    parts.run()
    assert counts(parts)["c.csv"] == 1


def test_a_column_that_comes_later_changes_no_print(tmp_path: Path, schema: Schema) -> None:
    """Rows of before lack it, so what was gathered by the old schema is good; another kind has it made again."""
    known_rows, empty = KnownRows(tmp_path, tmp_path), np.zeros(0, dtype=np.uint64)
    hash_writer = known_rows.writer()
    hash_writer.add(RowHashes(empty, empty))
    known_rows.take(hash_writer, "a", schema)
    hashes = row_hash_files.mapped(tmp_path / f"a{known.SUFFIX}")
    assert hashes is not None
    more = schema.columns[0].model_copy(update={"name": "later", "missing": True})
    assert hashes.fits(schema.model_copy(update={"columns": [*schema.columns, more]}))
    other = [one.model_copy(update={"kind": "integer"}) for one in schema.columns]
    assert not hashes.fits(schema.model_copy(update={"columns": other}))


@given(
    st.lists(st.integers(0, 5), max_size=12),
    st.lists(st.lists(st.integers(0, 5), max_size=8), min_size=1, max_size=4),
    st.booleans(),
)
def test_share_is_that_of_multisets(dataset: list[int], drops: list[list[int]], skip: bool) -> None:
    """Counted drop by drop with plain Python."""
    index = KnownRows(Path("/nonexistent"), Path("/nonexistent"))
    prints = np.sort(np.array(dataset, dtype=np.uint64) << np.uint64(40))
    index._add("a", row_hash_files.HashFile({}, [prints], [prints]))
    rows = np.array([value for drop in drops for value in drop], dtype=np.uint64) << np.uint64(40)
    codes = np.repeat(np.arange(len(drops)), [len(drop) for drop in drops]).astype(np.int64)
    known = index.match(RowHashes(rows, rows), codes, skip=skip).known.tolist()
    there, expected = Counter(dataset), []
    for drop in drops:
        left, taken = Counter(there), Counter[int]()
        for value in drop:
            known_here = left[value] > 0
            left[value] -= known_here
            expected.append(known_here)
            taken[value] += not (known_here and skip)
        there += taken
    assert known == expected


def test_the_group_is_kept_and_no_feature(home: Home, schema: Schema) -> None:
    """`train.group` names a column that the schema lacks: its cells are in the segment as written, and nothing is refused."""
    parts = Parts(home, Settings(inbox=Inbox(settle_seconds=0.0), train=Train(group="customer")))
    header = HEADER.replace("species", "species,customer")
    parts.drop("a.csv", header + "1,1,1,1,setosa, 007 \n2,1,1,1,setosa,\n")
    parts.drop("b.csv", lines(3))
    parts.run()
    assert [state for _, state in parts.drops()] == ["accepted"] * 2
    tables = [
        table
        for _, table in segments.read(home.segments, {s["name"]: s["sha256"] for s in parts.journal.segments.current()})
    ]
    assert sorted(str(one) for table in tables for one in table["customer"].to_pylist()) == ["007", "None", "None"]
    assert load(home.schema) == schema
    parts.close()


def test_disk_that_is_full_once_keeps_no_drop_waiting(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fingerprints of a batch could not be written; the batch is accepted, and the next one is taken as ever."""

    def full(_known: KnownRows, hash_writer: row_hash_files.HashFileWriter, _name: str, _schema: Schema) -> None:
        hash_writer._file.close()
        raise OSError(errno.ENOSPC, "No space left on device")

    parts.drop("a.csv", lines(1))
    with monkeypatch.context() as patch:
        patch.setattr(KnownRows, "take", full)
        with pytest.raises(OSError, match="No space"):
            parts.run()
    parts.drop("b.csv", lines(1, 2))
    parts.run()
    assert parts.lengths == [1, 1, 2]
    assert counts(parts) == {"a.csv": 0, "b.csv": 1}
    assert names(parts.home.inbox) == ["rejected"]


def test_index_of_many_rows_takes_no_memory_until_it_is_searched(home: Home) -> None:
    """Its checksum and its bits are read once, which maps 16 bytes a row; the hashes are still found afterwards."""
    count = 2_000_000
    home.segments.mkdir(parents=True, exist_ok=True)
    index = KnownRows(home.root, home.segments)
    prints = np.random.default_rng(0).integers(0, 2**63, count).astype(np.uint64)
    hash_writer = index.writer()
    hash_writer.add(RowHashes(prints, prints))
    before = _mapped_bytes()
    index.take(hash_writer, "a", Schema(target="y", classes=["a", "b"], columns=[Column(name="x", kind="number")]))
    assert _mapped_bytes() - before < 4 * count
    assert index.match_next(RowHashes(prints[:10], prints[:10])).known.all()


def _mapped_bytes() -> int:
    """Resident pages of files, of this process."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition("RssFile:")[2].split()[0]) * 1024
