"""Merging segments while drops come and processes die: no row is lost or doubled."""

import itertools
from collections.abc import Iterator

import interrupting
import pyarrow.parquet as pq
import pytest
from conftest import names
from ingesting import HEADER, Parts, grow, row
from interrupting import run_ended_at

from retraind.daemon.core import durable, requests
from retraind.daemon.core.home import Home
from retraind.daemon.dataset import segment_tiers

pytestmark = pytest.mark.engines(full=True)

parts = pytest.fixture(interrupting.parts)

FILES = [(f"{number}.csv", HEADER + row(number)) for number in range(segment_tiers.FAN)]
"""Drops of a row each, as many as a merge needs."""


@pytest.fixture
def full_tier(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """An ingestion that has taken FILES, each as a batch, and has not begun to merge them."""
    grow(home, FILES, tmp_path_factory)
    parts = Parts(home)
    yield parts
    parts.close()


def test_many_batches_stay_few_segments(full_tier: Parts) -> None:
    """Small segments are merged; rows, their order and git's history stay; DVC's list is the journal's."""
    parts = full_tier
    parts.drop("a.csv", HEADER + row(segment_tiers.FAN))
    parts.run()
    assert len(names(parts.home.segments)) == 2
    assert parts.lengths == list(range(segment_tiers.FAN + 1))
    newest = parts.journal.batches.committed()
    assert newest.rows == segment_tiers.FAN + 1
    parts.reopen()
    assert len(names(parts.home.segments)) == 2
    assert not (parts.home.data / "orphans").exists()


def steps_of_a_merge(parts: Parts) -> Iterator[int]:
    """Merge a full tier; pauses before the first step and after each, and counts these moments."""
    for moment in itertools.count():
        yield moment
        if not parts.ingestion.step(parts.now):
            return


@pytest.mark.parametrize("moment", range(5))
def test_drop_that_comes_in_any_step_of_a_merge_stops_nothing(full_tier: Parts, moment: int) -> None:
    """No file of the dataset has a name that the journal does not know, so nothing is set aside, and all rows stay."""
    parts = full_tier
    for now in steps_of_a_merge(parts):
        assert {path.name for path in parts.home.segments.iterdir()} >= {
            segment["name"] for segment in parts.journal.segments.current()
        }
        if now == moment:
            parts.drop("between.csv", HEADER + row(200))
            parts.now += 100
    parts.drop("after.csv", HEADER + row(300))
    parts.run()
    assert "merge" in [batch["kind"] for batch in parts.journal.batches.all()]
    assert parts.lengths == [*range(segment_tiers.FAN), 200, 300]
    assert not parts.home.orphans.exists()


@pytest.mark.parametrize("moment", range(5))
def test_drop_forgotten_in_any_step_of_a_merge_is_nowhere(full_tier: Parts, moment: int) -> None:
    """A merge that has begun with the drop's segment writes no row of it into a file that stays."""
    parts = full_tier
    for now in steps_of_a_merge(parts):
        if now == moment:
            requests.submit(parts.home, "forget", drop=durable.sha256((HEADER + row(3)).encode()), purge=True)
    parts.run()
    assert ("3.csv", "forgotten") in parts.drops()
    assert parts.lengths == sorted({*range(segment_tiers.FAN)} - {3})
    for path in parts.home.data.rglob("*"):
        if path.is_file() and path.read_bytes()[:4] == b"PAR1":
            assert 3 not in pq.read_table(path, columns=["sepal_length"])["sepal_length"].to_pylist(), path


@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("name", ["", "renamed.parquet"])
def test_segment_among_the_orphans_comes_back(full_tier: Parts, restart: bool, name: str) -> None:
    """What the journal names is found by its bytes wherever it was set aside, and leaves that folder."""
    parts = full_tier
    for _ in steps_of_a_merge(parts):
        pass
    [merged] = (one["name"] for one in parts.journal.segments.current())
    parts.home.orphans.mkdir()
    (parts.home.segments / merged).rename(parts.home.orphans / (name or merged))
    if restart:
        parts.reopen()
    parts.drop("after.csv", HEADER + row(300))
    parts.run()
    assert parts.lengths == [*range(segment_tiers.FAN), 300]
    assert names(parts.home.orphans) == []


@pytest.mark.parametrize("step", ["-merge", "+merge", "-dataset_commit", "+dataset_commit", "-commit"])
def test_end_in_a_merge_loses_and_doubles_nothing(full_tier: Parts, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A merge that is cut off is done again or finished; no segment is lost, none stays behind."""
    parts = full_tier
    run_ended_at(parts, step, monkeypatch)
    assert parts.lengths == [*range(segment_tiers.FAN)]
    assert len(parts.journal.segments.current()) == 1
    assert parts.dataset.folder.verify({one["name"]: one["sha256"] for one in parts.journal.segments.current()}) == []


def test_kind_edited_by_hand_stops_neither_merging_nor_drops(
    home: Home, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Segments of two types are not merged; those of one still are, and drops go on."""
    monkeypatch.setattr(segment_tiers, "FAN", 4)
    grow(home, FILES[:3], tmp_path_factory)
    parts = Parts(home)
    text = home.schema.read_text().replace('"kind": "number"', '"kind": "category"', 1)
    home.schema.write_text(text)
    for number in range(3, 3 + segment_tiers.FAN + 2):
        parts.drop("a.csv", HEADER + row(number))
        parts.run()
    assert len(parts.journal.segments.current()) == 3 + 1 + 2
    assert parts.journal.batches.committed().rows == 3 + segment_tiers.FAN + 2
    parts.close()
