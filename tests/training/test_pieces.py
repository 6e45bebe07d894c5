"""retraind.daemon.training.pieces: more rows than memory has room for become the same model as in memory, or a sentence says what happens instead."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import home_below
from workshop import Workshop

from retraind.daemon import model
from retraind.daemon.artifacts import bundle, reference_sample
from retraind.daemon.core.errors import DatasetDamaged, TrainingFailed
from retraind.daemon.core.settings import Train
from retraind.daemon.dataset import segments
from retraind.daemon.schema.arrival_times import Window
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.training import importance
from retraind.daemon.training.data import hash_parts, split
from retraind.daemon.training.data.revision import Data
from retraind.daemon.training.pieces import memory, piece_data
from retraind.daemon.training.pieces.piece_data import PieceData
from retraind.daemon.training.selection import candidates

pytest.importorskip("lightgbm", reason="the extra `boost` is not installed")

WIDTH = 8
NUMBERS = [Column(name=f"x{number}", kind="number", missing=number == 1) for number in range(WIDTH)]
KIND = Column(name="kind", kind="category", categories=["a", "b", "c"])
CLASSES = Schema(target="y", classes=["low", "middle", "high"], columns=[*NUMBERS, KIND])
VALUES = Schema(task="regression", target="y", columns=[*NUMBERS, KIND])
# Bins from fewer rows than there are, as with more than 200,000.
SMALL = Train(candidates=["lightgbm"], grids={"lightgbm": {"n_estimators": [5], "subsample_for_bin": [400]}})


def cells(schema: Schema, count: int, seed: int = 0) -> dict[str, list[str]]:
    random = np.random.default_rng(seed)
    values = random.normal(size=(count, WIDTH))
    kind = random.choice(KIND.categories, count)
    total = values[:, 0] + values[:, 1] * values[:, 2] + (kind == "b") + random.normal(size=count) / 4
    target = (
        [f"{value:.6f}" for value in total]
        if schema.task == "regression"
        else list(np.array(schema.classes)[np.digitize(total, [-0.5, 0.8])])
    )
    columns = {f"x{number}": [f"{value:.6f}" for value in values[:, number]] for number in range(WIDTH)}
    columns["x1"] = ["" if place % 11 == 0 else cell for place, cell in enumerate(columns["x1"])]
    return columns | {"kind": list(kind), "y": target}


@pytest.fixture(scope="module", params=[CLASSES, VALUES], ids=["classes", "values"])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Workshop:
    """A home with rows in three segments."""
    workshop = Workshop(home_below(tmp_path_factory.mktemp("pieces"), migrated), request.param)
    for seed, count in enumerate([900, 500, 100]):
        workshop.add(cells(request.param, count, seed))
    return workshop


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples and kept held-out rows as small, beside the rows, as with many millions of them."""
    monkeypatch.setattr(piece_data, "SAMPLE_ROWS", 300)
    monkeypatch.setattr(piece_data, "LEAST_ROWS", 20)
    for place in (importance, reference_sample):
        monkeypatch.setattr(place, "MOST_ROWS", 100)
    monkeypatch.setattr(piece_data, "MOST_HELD", 100)


def both(workshop: Workshop, window: Window | None = None) -> tuple[Data, PieceData]:
    where = workshop.home.segments, workshop.segments, workshop.schema, workshop.first_rows, 0.2, window
    return Data.read(*where), PieceData.read(*where)


@pytest.mark.parametrize("window", [None, Window(rows=700)])
@pytest.mark.parametrize("class_weight", ["none", "balanced"])
def test_model_from_pieces_is_the_one_from_memory(
    kept: Workshop, few: None, window: Window | None, class_weight: str
) -> None:
    """To the bit, with and without the held-out rows, in a window, and with weighed classes."""
    whole, pieces = both(kept, window)
    settings = SMALL.model_copy(update={"class_weight": class_weight})
    estimator = candidates.plan(kept.schema, settings)[0].estimator
    assert pieces.counts == whole.counts
    for everything in (False, True):
        one = whole.fit(estimator, whole.whole if everything else whole.training, whole=everything)
        other = pieces.fit(estimator, pieces.training, whole=everything)
        assert other.booster_.model_to_string() == one.booster_.model_to_string()
        np.testing.assert_array_equal(pieces.judging[0][:], whole.judging[0])
        expected = whole.answer(partial(model.answers, one, schema=kept.schema))
        np.testing.assert_array_equal(pieces.answer(partial(model.answers, other, schema=kept.schema)), expected)
    assert len(pieces.training[0]) < 700
    np.testing.assert_array_equal(pieces.judging[0][[7, 3, 7]], whole.judging[0][[7, 3, 7]])
    np.testing.assert_array_equal(pieces.training_targets, whole.training_targets)


@pytest.fixture
def tight(few: None, monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes that have no room for some hundred rows, but for pieces of them."""
    monkeypatch.setattr(memory, "FIXED", 0)
    monkeypatch.setattr(memory, "COLUMN", 0)
    monkeypatch.setattr(memory, "LEAST_ROWS", 100)
    monkeypatch.setattr(memory, "WORTH_SAYING", 1000)
    return 300_000


def notes(workshop: Workshop) -> list[str]:
    return [message["note"] for message in workshop.said if "note" in message]


def test_version_from_pieces_is_that_from_memory(kept: Workshop, tight: int, tmp_path: Path) -> None:
    """The same answers and scores, for the first version and for one that is compared with a champion; served by treelite."""
    plain, pieces = kept.copied(tmp_path / "plain"), kept.copied(tmp_path / "pieces")
    for seed in (7, 8):
        options: dict[str, Any] = {"grids": SMALL.grids, "calibrate": False, "seed": seed}
        one = plain.train("lightgbm", **options)
        other = pieces.train("lightgbm", "tree", **options, memory_bytes=tight)
        assert other.scores.get("from_pieces")
        assert other.scores["left_out"] == {"tree": "It needs all rows in memory."}
        for part in ("challenger", "champion", "paired", "dummy", "taught", "split"):
            assert other.scores.get(part) == one.scores.get(part), part
        assert one.twin is not None
        assert other.twin is not None
        assert (other.rows, other.trained_rows) == (one.rows, one.trained_rows)
        assert other.twin.trained_rows == one.twin.trained_rows
        assert (other.backend, other.difference <= bundle.PARITY) == ("treelite", True)
        assert other.files[bundle.TREELITE] == one.files[bundle.TREELITE]
    assert one.scores["champion"] is not None
    said = notes(pieces)[0]
    assert said.startswith("1,500 rows need 0.4 MB in memory, 0.3 MB are allowed: lightgbm reads them piece by piece")
    stages = [message["stage"] for message in pieces.said if "stage" in message]
    assert stages[0].startswith("reading the data piece by piece (1,500 rows need")
    assert notes(plain)[0].startswith("1,500 rows need 0.4 MB in memory, ")


def test_newest_rows_train_where_no_candidate_reads_pieces(kept: Workshop, tight: int, tmp_path: Path) -> None:
    """As many as memory has room for; the sentence says what to do about it, and the version has the window in its record."""
    workshop = kept.copied(tmp_path / "newest")
    manifest = workshop.train("tree", memory_bytes=tight - 20_000)
    newest = manifest.settings["window_rows"]
    assert 500 < newest < 1000
    assert manifest.trained_rows == newest
    said = notes(workshop)[0]
    assert f"only the newest {newest:,} rows train and judge. To train on all, add lightgbm to train.candidates" in said
    with pytest.raises(TrainingFailed, match="not enough for 100 of them"):
        workshop.train("tree", memory_bytes=tight - 140_000)


WIDE = Schema(
    target="y", classes=["a", "b"], columns=[Column(name=f"x{number}", kind="number") for number in range(20)]
)
GB = 10**9


@pytest.mark.parametrize(
    ("rows", "allowed", "names", "pieces", "newest", "said"),
    [
        (500_000, 2, ["tree"], False, None, ""),
        (41_000_000, 24, ["tree", "lightgbm"], False, None, "41.0M rows need 20.5 GB in memory, 24.0 GB are allowed."),
        (41_000_000, 9, ["tree", "lightgbm(n=5)"], True, None, "lightgbm reads them piece by piece, which needs "),
        (41_000_000, 6, ["tree"], False, 4_750_000, "rows train and judge. To train on all, add lightgbm to train"),
    ],
)
def test_way_follows_from_size_and_memory(
    rows: int, allowed: int, names: list[str], pieces: bool, newest: int | None, said: str
) -> None:
    """In memory if there is room, else from pieces, else the newest rows; with figures for all but few rows."""
    way = memory.choose(rows, WIDE, Train(), names, allowed * GB)
    assert way.pieces == pieces
    assert way.newest == newest
    assert said in way.sentence
    assert bool(way.sentence) == bool(said)
    with pytest.raises(TrainingFailed, match=r"300.0M rows need 150.0 GB in memory, 24.0 GB are allowed"):
        memory.choose(300_000_000, WIDE, Train(), names, 24 * GB)


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where LightGBM is not installed, the sentence says so, and what it would need."""
    monkeypatch.setattr(memory, "find_spec", lambda name: None if name == "lightgbm" else pytest.fail(name))
    way = memory.choose(41_000_000, WIDE, Train(), ["tree"], 6 * GB)
    assert "install the extra retraind[boost], whose LightGBM reads rows piece by piece in" in way.sentence


def test_answers_by_parts_are_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeats, occurrences and memberships of hashes do not depend on the size of the parts."""
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**64, 300, dtype=np.uint64)[random.integers(0, 300, 5000)]
    targets = random.integers(0, 2, 5000).astype(np.float64)
    others = hashes[random.random(5000) < 0.02]

    def answers() -> list[Any]:
        return [
            hash_parts.repeats(hashes, targets),
            hash_parts.occurrence(hashes).tolist(),
            hash_parts.is_among(hashes, others).tolist(),
            split.fair(hashes, np.arange(5000) < 10).tolist(),
        ]

    at_once = answers()
    assert at_once[2] == np.isin(hashes, others).tolist()
    monkeypatch.setattr(hash_parts, "MOST_ROWS", 100)
    monkeypatch.setattr(hash_parts, "PART_ROWS", 50)
    assert answers() == at_once
    assert hash_parts.counts(hashes).tolist() == [int((hashes == one).sum()) for one in hashes]


def test_large_segment_is_read_from_its_file(kept: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Row groups come from the file after its hash was compared, so a changed one is refused as well."""
    workshop = kept.copied(tmp_path / "large")
    whole = Data.read(workshop.home.segments, workshop.segments, workshop.schema, 900, 0.2)
    monkeypatch.setattr(segments, "WHOLE_BYTES", 0)
    again = Data.read(workshop.home.segments, workshop.segments, workshop.schema, 900, 0.2)
    np.testing.assert_array_equal(again.matrix, whole.matrix)
    path = workshop.home.segments / next(iter(workshop.segments))
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(-20, 2)
        file.write(b"?")
    with pytest.raises(DatasetDamaged, match="not the one that was accepted"):
        Data.read(workshop.home.segments, workshop.segments, workshop.schema, 900, 0.2)
