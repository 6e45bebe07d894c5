"""retraind.daemon.ingest.erasure.forgetting: a drop's rows leave the dataset, whole and once, wherever the process ends. Real git, DVC, SQLite."""

import subprocess
from collections.abc import Iterator

import forgetting
import pyarrow as pa
import pytest
from conftest import names
from forgetting import MANY, answer, checked_out, forget, in_cache, take, text
from ingesting import Parts, grow, prepare
from interrupting import run_ended_at

from retraind.daemon.core import durable, requests
from retraind.daemon.core.home import Home
from retraind.daemon.dataset import segment_tiers, segments

pytestmark = pytest.mark.engines(full=True)

merged, parts = pytest.fixture(forgetting.merged), pytest.fixture(forgetting.parts)


def test_rows_of_one_drop_leave_and_all_others_stay(parts: Parts) -> None:
    """A new revision without them; the journal says who and when; the old revision still has them, and it is said how to purge."""
    take(parts, a=[1, 2], b=[3], c=[4])
    before = parts.dataset.revision()
    request = forget(parts, 3)
    parts.run()
    assert parts.lengths == [1, 2, 4]
    assert ("b.csv", "forgotten") in parts.drops()
    first, second = parts.journal.batches.all()
    assert (second["kind"], second["rows"], second["total_rows"], second["state"]) == ("forget", -1, 3, "committed")
    revision = parts.dataset.revision()
    assert revision is not None
    assert (second["revision"], second["dvc_md5"]) == (revision.commit, revision.dvc_md5)
    assert parts.journal.batches.committed() == (3, revision.dvc_md5, revision.commit, 2)
    drop = parts.journal.drops.taken(durable.sha256(text(3).encode()))
    assert drop is not None
    assert (drop["forgotten_in"], drop["forgotten_by"], drop["rows_accepted"]) == (2, "cli", 1)
    state, detail = answer(parts, request)
    assert state == "done"
    assert detail.startswith(
        "The 1 rows of b.csv were forgotten in batch 2. Older revisions in DVC's cache still hold them"
    )
    assert "--purge" in detail
    assert requests.pending(parts.home) == []
    assert in_cache(parts.home) == {1, 2, 3, 4}
    assert before is not None
    assert checked_out(parts.home, before) == [1, 2, 3, 4]
    assert first["revision"] == before.commit
    subject = subprocess.run(["git", "log", "-1", "--format=%s"], cwd=parts.home.data, capture_output=True, text=True)
    assert subject.stdout.strip() == "Batch 2: 1 row forgotten"


def test_drop_that_is_a_segment_of_its_own(parts: Parts) -> None:
    """Nothing takes its place, and the next drop comes as always."""
    take(parts, a=[1])
    take(parts, b=[2, 3])
    forget(parts, 2, 3)
    parts.run()
    assert parts.lengths == [1]
    assert len(names(parts.home.segments)) == 1
    take(parts, c=[4])
    assert parts.lengths == [1, 4]
    assert [(one["kind"], one["total_rows"]) for one in parts.journal.batches.all()] == [
        ("drops", 1),
        ("drops", 3),
        ("forget", 1),
        ("drops", 2),
    ]
    parts.reopen()
    parts.run()
    assert parts.lengths == [1, 4]


def test_the_last_drop_of_all(parts: Parts) -> None:
    """An empty dataset is a revision too, of no rows; a drop begins it again."""
    take(parts, a=[1])
    forget(parts, 1)
    parts.run()
    assert parts.lengths == []
    assert parts.journal.batches.committed().rows == 0
    assert parts.journal.batches.first_rows() == 0
    parts.reopen()
    take(parts, b=[2])
    assert parts.lengths == [2]
    assert parts.journal.batches.first_rows() == 1


def test_rows_that_begin_the_dataset_stay_known(parts: Parts) -> None:
    """The reference holdout is of the first batch while anything of it is left, then of the oldest that has rows."""
    take(parts, a=[1, 2], b=[3])
    take(parts, c=[4, 5, 6, 7])
    take(parts, d=[8])
    assert parts.journal.batches.first_rows() == 3
    forget(parts, 1, 2)
    parts.run()
    assert parts.journal.batches.first_rows() == 1
    forget(parts, 3)
    parts.run()
    assert parts.journal.batches.first_rows() == 4
    first = parts.journal.segments.current()[0]
    [(_, table)] = segments.read(parts.home.segments, {first["name"]: first["sha256"]})
    assert table["sepal_length"].to_pylist() == [4, 5, 6, 7]


def test_segment_that_was_merged_is_put_in_order(home: Home, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Out of many batches in one segment one drop goes; the others are in the order of their batches, with their tier."""
    grow(home, [(f"f{number}.csv", text(number, number + 0.5)) for number in MANY], tmp_path_factory)
    parts = Parts(home)
    parts.run()
    [merged] = parts.journal.segments.current()
    forget(parts, 0, 0.5)
    parts.run()
    [left] = parts.journal.segments.current()
    assert (left["tier"], left["first"], left["last"]) == (merged["tier"], 2, merged["last"])
    [(_, table)] = segments.read(parts.home.segments, {left["name"]: left["sha256"]})
    assert table["sepal_length"].to_pylist() == [number / 2 for number in range(2, 2 * segment_tiers.FAN)]
    assert parts.journal.batches.first_rows() == 2
    parts.close()


def test_batches_out_of_order_are_sorted() -> None:
    """Rows of an older batch that a merge put behind younger ones come first when the segment is written again."""
    table = pa.table({"x": [1, 2, 3, 4, 5], "_drop": ["a", "c", "c", "b", "a"]})
    left = segments.without(table, "a", {"b": 2, "c": 3})
    assert left.to_pydict() == {"x": [4, 2, 3], "_drop": ["b", "c", "c"]}
    assert sorted(left["_drop"].chunk(0).dictionary.to_pylist()) == ["b", "c"]


def test_rows_come_back_to_an_old_set(
    home: Home, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left may be just the rows of a segment that a merge replaced: it is another segment all the same."""
    monkeypatch.setattr(segment_tiers, "FAN", 4)
    grow(home, [(f"f{number}.csv", text(number)) for number in range(segment_tiers.FAN)], tmp_path_factory)
    parts = Parts(home)
    parts.run()
    assert len(parts.journal.segments.current()) == 1
    for number in range(1, segment_tiers.FAN):
        forget(parts, number)
    parts.run()
    assert parts.lengths == [0]
    assert len({one["segment"] for one in parts.journal.batches.all()}) == len(parts.journal.batches.all())
    parts.close()


def take_two(parts: Parts) -> None:
    """Take two drops as a batch, one of them with a bad row."""
    parts.drop("a.csv", text(1, 2))
    parts.drop("b.csv", text(3) + "x,1,1,1,setosa\n")
    parts.run()


@pytest.fixture
def quarantined(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """An ingestion that has taken two drops, one of them with a bad row."""
    prepare(home, take_two, tmp_path_factory)
    parts = Parts(home)
    yield parts
    parts.close()


@pytest.mark.parametrize("step", [f"{where}{call}" for where in "-+" for call in ("remove", "write", "forget", "dataset_commit", "commit", "purge", "end_request", "consume")])  # fmt: skip
def test_end_at_any_step_forgets_once(quarantined: Parts, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the process ends, the next one finishes: the rows are gone, once, also from the cache, and the request is answered."""
    parts = quarantined
    digest = durable.sha256((text(3) + "x,1,1,1,setosa\n").encode())
    assert names(parts.home.rejected) == [f"b.csv.{digest[:8]}.bad.csv"]
    request = requests.submit(parts.home, "forget", drop=digest, purge=True)
    run_ended_at(parts, step, monkeypatch)
    parts.reopen()
    parts.run()
    assert parts.lengths == [1, 2]
    assert [batch["rows"] for batch in parts.journal.batches.all()] == [3, -1]
    assert {batch["state"] for batch in parts.journal.batches.all()} == {"committed"}
    assert answer(parts, request)[0] == "done"
    assert in_cache(parts.home) == {1, 2}
    assert names(parts.home.rejected) == []
    assert requests.pending(parts.home) == []


def test_same_bytes_are_not_taken_again(parts: Parts) -> None:
    """They are refused with the reason and kept in rejected/; with one more line they are another drop."""
    take(parts, a=[1], b=[2])
    forget(parts, 2)
    parts.run()
    take(parts, again=[2])
    assert parts.lengths == [1]
    assert parts.drops()[-1] == ("again.csv", "rejected")
    report = (parts.home.rejected / "again.csv.report.json").read_text()
    assert "These bytes were forgotten in batch 2 (cli, 20" in report
    parts.drop("again.csv", text(2) + "\n")
    parts.run()
    assert parts.lengths == [1, 2]


def test_what_is_not_in_the_dataset_is_refused(parts: Parts) -> None:
    """A drop that is unknown or was rejected."""
    parts.drop("bad.csv", "nonsense")
    parts.run()
    asked = [requests.submit(parts.home, "forget", drop=durable.sha256(data)) for data in (b"nonsense", b"else")]
    parts.run()
    for request in asked:
        assert answer(parts, request)[0] == "refused"
        assert "holds no rows" in answer(parts, request)[1]


def test_training_is_not_disturbed(parts: Parts) -> None:
    """While a training reads the segments, forgetting waits; other drops do not."""
    take(parts, a=[1], b=[2])
    forget(parts, 2)
    parts.drop("c.csv", text(3))
    now = 100.0
    while parts.ingestion.step(now, merging=False):
        now += 1
    assert parts.lengths == [1, 2, 3]
    parts.run()
    assert parts.lengths == [1, 3]
