"""train.time: the newest rows judge, older ones train, and nothing that a version was trained on judges it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier
from test_split import NOW, NUMBERS, read, table

from retraind.daemon.core import durable
from retraind.daemon.core.errors import TrainingFailed
from retraind.daemon.core.settings import Inbox, Train
from retraind.daemon.dataset import segments
from retraind.daemon.schema import score_caveats
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.schema.scores import Scores
from retraind.daemon.tabular import id_columns, row_times, rows
from retraind.daemon.training.data import holdout_assignment, split
from retraind.daemon.training.data.holdout_assignment import PastAssignment
from retraind.daemon.training.data.revision import Data
from retraind.daemon.training.data.split import By
from retraind.daemon.training.selection import calibration, cross_validation
from retraind.daemon.training.selection.candidates import Candidate

DAY = 86_400_000
FIRST = datetime(2025, 1, 1, tzinfo=UTC)
TEXTS = Column(name="when", kind="category")


def dated(first: int, last: int, drop: str, at: datetime = NOW, per_day: int = 10) -> pa.Table:
    """Rows `first` to `last` of a source that makes some each day, with the day as text; its rule turns slowly."""
    matrix = np.random.default_rng(0).normal(size=(5000, 4))
    which = np.arange(first, last)
    turn = which / 1000
    labels = (np.cos(turn) * matrix[which, 0] + np.sin(turn) * matrix[which, 1] > 0).astype(int)
    cells: dict[str, Any] = {f"x{i}": matrix[which, i] for i in range(4)}
    days = [(FIRST + timedelta(days=int(one) // per_day)).date().isoformat() for one in which]
    return table(cells | {"y": np.array(["a", "b"])[labels], "when": pa.array(days, pa.string())}, drop * 64, at)


def day(data: Data, mask: Any) -> set[int]:
    return set(((data.moments[mask] - FIRST.timestamp() * 1000) // DAY).astype(int).tolist())


# What the time of a row is


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["2025-01-01", "2025-01-02T00:00:00Z", "NA", "", "soon"], [0, 1, None, None, None]),
        (["2025-01-02T01:00:00+01:00", "2025-01-01T19:00:00-05:00"], [1, 1]),
        (["02/01/2025", "31/01/2025"], [1, 30]),
        (["01/02/2025", "1/31/2025 12:00 PM"], [1, 30.5]),
    ],
    ids=["iso", "zones", "day-first", "month-first"],
)
def test_texts_are_dates(texts: list[str], expected: list[float | None]) -> None:
    times = row_times.of([pa.chunked_array([texts[:1]]), pa.chunked_array([texts[1:]])], TEXTS)
    days = (times - FIRST.timestamp() * 1000) / DAY
    assert [None if np.isnan(one) else one for one in days] == expected


def test_numbers_are_times_as_they_are() -> None:
    """Also where a column was a number in some segments and text in others, as the schema listed it or not."""
    listed = pa.chunked_array([pa.array([2024.0, None])])
    assert row_times.of([listed, pa.chunked_array([["2025", "NA"]])], TEXTS).tolist()[::2] == [2024.0, 2025.0]
    at = pa.chunked_array([pa.array([DAY], pa.timestamp("ms", tz="UTC"))])
    assert row_times.of([at], Column(name="when", kind="date")).tolist() == [DAY]


def test_dates_that_can_be_read_twice_are_asked_for() -> None:
    with pytest.raises(TrainingFailed, match="the day or the month may come first"):
        row_times.of([pa.chunked_array([["01/02/2025", "03/04/2025"]])], TEXTS)


# Which rows judge


def test_one_odd_date_stops_no_training() -> None:
    """Cells of a column that is no feature are not checked when they come."""
    days = [f"2026-01-{day:02}" for day in range(1, 31)]
    known = row_times.of([pa.chunked_array([[*days, "01/02/2026"]])], Column(name="at", kind="category"))
    assert (int(np.isnan(known).sum()), int(np.nanargmax(known))) == (1, 29)
    numbers = row_times.of([pa.chunked_array([[*map(str, range(30)), "unknown"]])], Column(name="at", kind="category"))
    assert (int(np.isnan(numbers).sum()), numbers[29]) == (1, 29.0)


def test_few_rows_of_the_newest_time_judge_nothing() -> None:
    """A snapshot of all, and the rows of the day after: a hash decides, and it is said."""
    times = np.array([1.0] * 10_000 + [2.0] * 10)
    assert split.since(times, np.ones(len(times), dtype=bool), 0.2) is None


def test_equal_times_are_on_one_side_and_the_share_is_as_near_as_can_be() -> None:
    times = np.array([1.0] * 7 + [2.0] * 2 + [3.0])
    every = np.ones(10, dtype=bool)
    assert split.since(times, every, 0.2) == 3.0
    assert split.since(times, every, 0.3) == 2.0
    assert split.since(times, every & (times < 3), 0.3) == 2.0
    assert split.since(np.array([1.0, 1.0, np.nan]), np.ones(3, dtype=bool), 0.2) is None
    assert split.since(np.array([1.0] + [2.0] * 9), every, 0.2) is None, "one day with nearly all rows would judge"


def test_the_newest_judge_and_late_rows_with_an_old_time_train(tmp_path: Path) -> None:
    first = read(tmp_path, [dated(500, 1000, "1")], time="when")
    assert day(first, first.held) == set(range(90, 100))
    assert max(day(first, ~first.held)) == 89
    late = read(tmp_path, [dated(500, 1000, "1"), dated(0, 500, "2")], time="when")
    assert day(late, late.held) == set(range(80, 100))
    again = read(tmp_path, [dated(0, 500, "2"), dated(500, 1000, "1")], time="when")
    assert again.since == late.since, "it is the rows that say it, not the order in which they came"
    later = read(tmp_path, [dated(500, 1000, "1"), dated(1000, 1500, "2")], time="when")
    assert day(later, later.held) == set(range(130, 150))


def test_rows_without_a_time_are_on_the_side_of_their_hash(tmp_path: Path) -> None:
    blank = dated(1000, 1500, "2").drop_columns(["when"])
    data = read(tmp_path, [dated(0, 1000, "1"), blank], time="when")
    without = np.isnan(data.moments)
    assert without.sum() == 500
    assert abs(data.held[without].mean() - 0.2) < 0.08
    assert day(data, data.held & ~without) == set(range(80, 100))


def test_a_copy_of_a_row_that_trains_does_not_judge(tmp_path: Path) -> None:
    """An export of everything, dated again each night, would judge on what was trained on."""
    tonight = dated(0, 1000, "2")
    tonight = tonight.set_column(tonight.column_names.index("when"), "when", pa.array(["2025-06-01"] * 1000))
    new = dated(1000, 1200, "3")
    data = read(tmp_path, [dated(0, 1000, "1"), tonight, new], time="when")
    units = data.units
    assert not set(units[data.held].tolist()) & set(units[~data.held].tolist())


def test_where_no_time_parts_the_rows_a_hash_does_and_it_is_reported(tmp_path: Path) -> None:
    data = read(tmp_path, [dated(0, 500, "1", per_day=1000)], time="when")
    assert data.since is None
    assert abs(data.held.mean() - 0.2) < 0.08
    scores: Scores = {"challenger": {"rolling": {"n": 9, "accuracy": 1.0}}, "split": {"by": "content", "since": None}}
    assert "no point in time splits its rows as train.time requires" in score_caveats.sentence(scores)
    assert score_caveats.sentence({**scores, "split": {"by": "content"}}) == ""


@pytest.mark.parametrize("time", ["when", ""], ids=["by-time", "by-hash"])
def test_what_the_served_version_was_trained_on_does_not_judge(tmp_path: Path, time: str) -> None:
    """Also when rows came late, or were forgotten, and the newest are others now."""
    at = (NOW + timedelta(days=1)).timestamp() * 1000
    old = read(tmp_path, [dated(1000, 1500, "1")], time=time)
    before = PastAssignment(NUMBERS, By.CONTENT, 0.2, at, time=time, since=old.since)
    trained = set(old.units[~old.held].tolist())
    late = dated(0, 1000, "2", NOW + timedelta(days=2))
    for tables in ([dated(1000, 1500, "1"), late], [dated(1000, 1450, "1"), late]):
        new = read(tmp_path, tables, before=before, time="when")
        judging = new.units[new.held & new.fair]
        assert len(judging) > 10
        assert not set(judging.tolist()) & trained
        held = new.units[new.held]
        assert set(held.tolist()) & trained, "without that some would"


@pytest.mark.parametrize(
    ("then", "now", "again"),
    [
        ({}, {"time": "when"}, []),
        ({"group": "who"}, {"time": "when"}, [{"who", "_row"}]),
        ({"time": "when"}, {"group": "who"}, [{"when", "_row"}]),
        ({"time": "when"}, {"time": "when"}, []),
    ],
    ids=["time-is-new", "group-to-time", "time-to-group", "same"],
)
def test_after_a_switch_no_feature_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: dict[str, str], now: dict[str, str], again: list[set[str]]
) -> None:
    """What the served version was trained on is told by the columns that have another meaning since, and is the same as ever."""
    rows_of = dated(0, 1000, "1")
    rows_of = rows_of.append_column("who", pa.array([f"c{one // 7}" for one in range(1000)]))
    old = read(tmp_path, [rows_of], NUMBERS, **then)
    by = By.GROUP if "group" in then else By.CONTENT
    before = PastAssignment(NUMBERS, by, 0.2, NOW.timestamp() * 1000, since=old.since, **then)
    digests = {path.name: durable.sha256_file(path) for path in tmp_path.iterdir()}
    seen = holdout_assignment.read(tmp_path, digests, NUMBERS, **now)
    pieces, read_again = segments.pieces, []

    def noting(folder: Path, names: Any, columns: Any) -> Any:
        read_again.append({*columns} - {""})
        return pieces(folder, names, columns)

    monkeypatch.setattr(segments, "pieces", noting)
    trained = holdout_assignment.trained(tmp_path, digests, NUMBERS, seen, before)
    assert read_again == again
    assert trained.tolist() == (~old.held)[old.place].tolist()


def test_a_column_that_is_listed_later_moves_no_row_of_then(tmp_path: Path) -> None:
    """Its values were there, beside the features, so they are part of what rows are equal in only since."""
    at = (NOW + timedelta(days=1)).timestamp() * 1000
    rows_of = [dated(0, 600, "1"), dated(600, 1200, "2", NOW + timedelta(days=2))]
    old = read(tmp_path, rows_of[:1])
    listed = Schema(target="y", classes=["a", "b"], columns=[*NUMBERS.columns, Column(name="when", kind="date")])
    before = PastAssignment(NUMBERS, By.CONTENT, 0.2, at)
    new = read(tmp_path, rows_of, listed, before=before)
    shown = {row.tobytes() for row in old.matrix[~old.held]}
    assert not {row.tobytes() for row in new.matrix[new.held & new.fair][:, :4]} & shown


# Folds and calibration


@given(st.lists(st.one_of(st.integers(0, 9), st.none()), min_size=1, max_size=60), st.integers(2, 6))
def test_folds_go_forward_and_part_no_unit_and_no_time(times: list[int | None], count: int) -> None:
    when = np.array([np.nan if one is None else float(one) for one in times])
    units = np.arange(len(when), dtype=np.uint64) // np.uint64(2)
    folds = split.forward(when, units, count, None)
    assert len(folds) <= count
    for train, test in folds:
        assert not np.isnan(when[test]).any()
        known = when[train][~np.isnan(when[train])]
        assert not len(known) or known.max() < when[test].min()
        assert not set(units[train].tolist()) & set(units[test].tolist())


def test_a_fold_that_knows_one_class_only_is_left_out() -> None:
    when, units = np.arange(60.0), np.arange(60, dtype=np.uint64)
    codes = (when >= 30).astype(np.int64)
    folds = split.forward(when, units, 5, codes)
    assert [len(train) for train, _ in folds] == [40, 50]
    assert split.forward(np.zeros(60), units, 5, codes) == []


def test_a_score_of_a_rule_that_changes_is_that_of_the_days_to_come(tmp_path: Path) -> None:
    """Each week has a coin of its own: a hash lets the model peep at the week that it is judged on."""
    plain = dated(0, 3000, "1")
    weeks = np.arange(3000) // 70
    cells = {"x0": np.arange(3000.0), "y": np.array(["a", "b"])[np.random.default_rng(1).integers(0, 2, 50)[weeks]]}
    rows_of = plain
    for name, values in cells.items():
        rows_of = rows_of.set_column(plain.column_names.index(name), name, pa.array(values))
    tree = Candidate("tree", DecisionTreeClassifier(random_state=0))
    by_hash, by_time = read(tmp_path, [rows_of]), read(tmp_path, [rows_of], time="when")
    scores = {}
    for name, data in (("hash", by_hash), ("time", by_time)):
        trial = cross_validation.Trial(
            NUMBERS, *data.training, Train(), units=data.training_units, times=data.training_times
        )
        scores[name] = trial.of(tree).score
    assert scores["hash"] > 0.9
    assert abs(scores["time"] - 0.5) < 0.2


def test_calibration_is_tried_on_newer_rows() -> None:
    """Probabilities that were too sure and are right lately need no correction any more."""
    random = np.random.default_rng(0)
    sure = random.uniform(0.6, 0.99, 4000)
    proba = np.stack([1 - sure, sure], axis=1)
    honest = random.random(4000) < sure
    early = random.random(4000) < 0.5 + (sure - 0.5) / 3
    codes = np.where(np.arange(4000) < 1000, early, honest).astype(np.int64)
    units = np.arange(4000, dtype=np.uint64)
    forward = calibration.find(proba, codes, units, 1, forward=True)
    assert forward is None
    slope = calibration.find(proba[:1000], codes[:1000], units[:1000], 1, forward=True)
    assert slope is not None
    assert slope.slope < 0.8


# The column


def test_the_time_is_kept_and_no_feature() -> None:
    cells = pa.table({**{f"x{i}": ["1"] for i in range(4)}, "y": ["a"], "when": [" 2025-01-01 "], "who": ["c"]})
    checked = rows.check(cells, NUMBERS, Inbox(extra_columns="reject"), ["when", "who"])
    assert checked.table["when"].to_pylist() == ["2025-01-01"]
    assert checked.schema.features == NUMBERS.features
    assert Train(group="who", time="when").side_columns == ["who", "when"]


def test_names_of_times_are_distinguished_from_those_of_other_dates() -> None:
    assert all(map(id_columns.dated, ("date", "order_date", "createdAt", "timestamp", "Time", "event time")))
    assert not any(map(id_columns.dated, ("birth_date", "due_date", "since", "candidate", "update_count", "endDate")))
