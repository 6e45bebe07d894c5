"""retraind.daemon.training.data.split and retraind.daemon.tabular.row_hashes: no row is both trained and judged on; what are copies, and what are rows of one kind."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from retraind.daemon import model
from retraind.daemon.artifacts.bundle import Model
from retraind.daemon.core.settings import Train
from retraind.daemon.dataset import segment_writer
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import row_hashes, rows
from retraind.daemon.training.data import split
from retraind.daemon.training.data.holdout_assignment import PastAssignment
from retraind.daemon.training.data.revision import Data
from retraind.daemon.training.data.split import By
from retraind.daemon.training.evaluation import holdouts
from retraind.daemon.training.selection import cross_validation
from retraind.daemon.training.selection.candidates import Candidate

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NUMBERS = Schema(target="y", classes=["a", "b"], columns=[Column(name=f"x{i}", kind="number") for i in range(4)])
PATTERNS = [Column(name="class", kind="category", categories=["1", "2", "3", "crew"])]
PATTERNS += [Column(name=name, kind="category", categories=["x", "y"]) for name in ("sex", "age")]
TITANIC = Schema(target="survived", classes=["no", "yes"], columns=PATTERNS)


def table(columns: dict[str, Any], drop: str, at: datetime = NOW) -> pa.Table:
    """Rows of one drop as a segment has them."""
    made = pa.table(columns)
    return rows.with_provenance(made, [drop], [len(made)], np.arange(len(made)), at, "file")


def noise(first: int, last: int, drop: str, at: datetime = NOW, copies: int = 1) -> pa.Table:
    """Rows `first` to `last` of a source whose labels are coins."""
    random = np.random.default_rng(0)
    matrix, labels = random.normal(size=(3000, 4)), random.integers(0, 2, 3000)
    which = np.tile(np.arange(first, last), copies)
    cells = {f"x{i}": matrix[which, i] for i in range(4)}
    return table(cells | {"y": np.array(["a", "b"])[labels[which]]}, drop * 64, at)


def passengers(count: int, drop: str, seed: int = 0) -> pa.Table:
    """Rows of sixteen kinds, some of them rare, whose fates differ."""
    random = np.random.default_rng(seed)
    cells = {
        "class": random.choice(["1", "2", "3", "crew"], count, p=[0.15, 0.13, 0.32, 0.4]),
        "sex": random.choice(["x", "y"], count, p=[0.8, 0.2]),
        "age": random.choice(["x", "y"], count, p=[0.95, 0.05]),
        "survived": random.choice(["no", "yes"], count, p=[0.7, 0.3]),
    }
    return table(cells, drop.ljust(64, "0"))


def read(folder: Path, tables: list[pa.Table], schema: Schema = NUMBERS, **more: Any) -> Data:
    made = [segment_writer.write(folder, [one]).place() for one in tables]
    return Data.read(folder, {one.name: one.sha256 for one in made}, schema, len(tables[0]), 0.2, **more)


def straddling(data: Data, taught: NDArray[np.bool_] | None = None) -> int:
    """How many different rows (features) are on both sides."""
    sides = data.held if taught is None else ~taught
    shown = [row.tobytes() for row in np.nan_to_num(data.matrix, nan=-9.0)]
    return len(
        {row for row, held in zip(shown, sides, strict=True) if held}
        & {row for row, held in zip(shown, sides, strict=True) if not held}
    )


# Copies


def test_exports_that_grow_have_no_row_on_both_sides(tmp_path: Path) -> None:
    """Three nights, each with all rows so far: each row has one side, and counts once as evidence."""
    data = read(tmp_path, [noise(0, last, drop) for last, drop in ((300, "1"), (360, "2"), (420, "3"))])
    assert (data.by, len(data.held)) == (By.CONTENT, 1080)
    assert straddling(data) == 0
    fitted = model.fit(DecisionTreeClassifier(random_state=0), *data.training)
    compared_scores = holdouts.compare(fitted, None, data).scores["challenger"]["rolling"]
    assert 60 < compared_scores["n"] < 110
    assert abs(compared_scores["accuracy"] - 0.5) < 0.17


def test_improbable_rows_three_times_in_one_file_are_copies(tmp_path: Path) -> None:
    """An oversampled file, also one in which the rare class alone is there fifty times."""
    data = read(tmp_path, [noise(0, 500, "1", copies=3)])
    assert data.by == By.CONTENT
    assert straddling(data) == 0
    data = read(tmp_path, [pa.concat_tables([noise(0, 500, "1"), noise(500, 510, "2", copies=50)])])
    assert data.by == By.CONTENT
    assert straddling(data) == 0


def test_one_column_of_numbers_is_distinguished_from_one_of_kinds(tmp_path: Path) -> None:
    """A hundred values that are hardly ever equal by chance, three times each; and whole years, which are."""
    schema = Schema(target="y", classes=["a", "b"], columns=[Column(name="x", kind="number")])
    random = np.random.default_rng(0)
    labels = random.choice(["a", "b"], 500)
    copies = table({"x": np.tile(random.normal(size=500), 3), "y": np.tile(labels, 3)}, "1" * 64)
    years = table({"x": random.integers(18, 60, 1500).astype(float), "y": np.tile(labels, 3)}, "2" * 64)
    assert read(tmp_path, [copies], schema).by == By.CONTENT
    assert read(tmp_path, [years], schema).by == By.OCCURRENCE


# Rows of one kind


def test_rows_of_few_kinds_are_observations_of_their_own(tmp_path: Path) -> None:
    """Sixteen kinds in 1,316 rows: whoever holds out whole kinds judges on what no model could learn."""
    data = read(tmp_path, [passengers(1316, "1")], TITANIC)
    assert data.by == By.OCCURRENCE
    assert abs(data.held.mean() - 0.2) < 0.05
    kinds, counts = np.unique(data.matrix, axis=0, return_counts=True)
    common = kinds[counts >= 30]
    assert len(common) >= 6
    for kind in common:
        sides = data.held[(data.matrix == kind).all(axis=1)]
        assert 0 < sides.mean() < 0.6


def test_exports_of_few_kinds_stay_together(tmp_path: Path) -> None:
    """The fifth row of its kind has the same side in both, so the first export's rows judge none that the second teaches."""
    first = passengers(1000, "1")
    more = passengers(200, "2", seed=1).drop(["_drop", "_row", "_accepted_at", "_source"])
    both = pa.concat_tables([first.select(more.column_names), more])
    second = table({name: both[name] for name in both.column_names}, "3" * 64)
    data = read(tmp_path, [first, second], TITANIC)
    assert data.by == By.OCCURRENCE
    assert len(set(data.units.tolist())) == 1200


def test_single_rows_of_few_kinds_spread(tmp_path: Path) -> None:
    """A row a drop: each is the first of its kind in its drop, and yet they don't all lie on one side."""
    single = [passengers(1, f"{seed:x}", seed) for seed in range(600)]
    data = read(tmp_path, [pa.concat_tables(single)], TITANIC)
    assert data.by == By.OCCURRENCE
    assert abs(data.held.mean() - 0.2) < 0.06


def test_columns_that_say_the_same_don_t_make_rows_improbable(tmp_path: Path) -> None:
    """Twenty columns, all made of one: by chance no two rows would be equal, but with such labels they are no copies."""
    random = np.random.default_rng(0)
    value = random.integers(0, 12, 1000)
    columns = [Column(name=f"x{i}", kind="number") for i in range(20)]
    cells = {f"x{i}": (value * (i + 1)).astype(float) for i in range(20)}
    schema = Schema(target="y", classes=["a", "b"], columns=columns)
    assert read(tmp_path, [table(cells | {"y": random.choice(["a", "b"], 1000)}, "1" * 64)], schema).by == By.OCCURRENCE


# Membership


@given(st.lists(st.tuples(st.floats(-9, 9), st.sampled_from(["red", "blue", None])), min_size=1, max_size=20))
def test_a_print_is_of_the_values(cells: list[tuple[float, str | None]]) -> None:
    """Not of the order of columns, of the way a segment stores them, or of columns that came later and are empty."""
    columns = [Column(name="n", kind="number"), Column(name="c", kind="category", categories=["red", "blue"])]
    numbers, colours = pa.array([one for one, _ in cells]), pa.array([other for _, other in cells], pa.string())
    plain = row_hashes.of(row_hashes.by_cell(pa.table({"n": numbers, "c": colours}), columns))
    turned = pa.table({"c": colours.dictionary_encode(), "z": pa.nulls(len(cells), pa.float64()), "n": numbers})
    more = [*reversed(columns), Column(name="z", kind="number", missing=True)]
    assert (row_hashes.of(row_hashes.by_cell(turned, more)) == plain).all()
    expected = [(float(one) + 0.0, other) for one, other in cells]
    equal = [[one == other for other in expected] for one in expected]
    assert (plain[:, None] == plain[None, :]).tolist() == equal


def test_whole_numbers_keep_their_print_as_numbers() -> None:
    """A merge turns a column of whole numbers into numbers where others are."""
    prints = [
        row_hashes.by_cell(pa.table({"n": pa.array([1, -3, None], kind)}), [Column(name="n", kind=name)]).tolist()
        for kind, name in ((pa.int64(), "integer"), (pa.float64(), "number"), (pa.int64(), "number"))
    ]
    assert prints[0] == prints[1] == prints[2]
    assert prints[0][0][2] == 0


@given(st.integers(9, 40), st.integers(0, 40), st.integers(0, 2**32))
def test_no_row_moves_from_training_to_judging(count: int, more: int, seed: int) -> None:
    """Also of a class that had no row below the share, of which one is held out all the same."""
    units = np.random.default_rng(seed).integers(0, 2**64, count + more, dtype=np.uint64)
    classes = np.arange(count + more) % 3
    before = split.held_out(units[:count], 0.1, classes[:count])
    after = split.held_out(units, 0.1, classes)
    assert not (after[:count] & ~before).any()
    for code in range(3):
        assert after[classes == code].any() or (classes == code).sum() < split.LEAST


def test_share_is_about_what_was_asked_for(tmp_path: Path) -> None:
    """With the numbers of a binomial distribution."""
    data = read(tmp_path, [noise(0, 3000, "1")])
    assert abs(data.held.mean() - 0.2) < 4 * (0.2 * 0.8 / 3000) ** 0.5


def test_rows_of_old_homes_are_where_they_were() -> None:
    """Figures of the first release, by which its versions can be trained again."""
    keys = row_hashes.places(table({"size": np.zeros(40)}, "0123456789abcdef" * 4))
    assert np.flatnonzero(split.held_out(keys, 0.2, np.full(40, -1))).tolist() == [2, 6, 7, 9, 11, 25]
    assert row_hashes.places(table({"size": np.zeros(0)}, "0" * 64)).tolist() == []


# Folds


def test_folds_part_no_unit(tmp_path: Path) -> None:
    """Cross-validation on coins thrice gives a coin, and not what a tree remembers."""
    data = read(tmp_path, [noise(0, 1000, "1", copies=3)])
    tree = Candidate("tree", DecisionTreeClassifier(random_state=0))
    trial = cross_validation.Trial(NUMBERS, *data.training, Train(), units=data.training_units)
    assert abs(trial.of(tree).score - 0.5) < 0.07
    assert cross_validation.Trial(NUMBERS, *data.training, Train()).of(tree).score > 0.9


# Groups


def visits(count: int, customers: int, drop: str) -> pa.Table:
    """Rows of some customers, each with a coin of its own that a feature gives away: whoever is known is known by heart."""
    random = np.random.default_rng(0)
    customer = random.integers(0, customers, count)
    habits, coins = random.normal(size=(customers, 4)), random.integers(0, 2, customers)
    cells = {f"x{i}": habits[customer, i] + random.normal(size=count) / 1000 for i in range(4)}
    names = [f"c{one}" if one else None for one in customer]
    return table(
        cells | {"y": np.array(["a", "b"])[coins[customer]], "customer": pa.array(names, pa.string())}, drop * 64
    )


def test_rows_of_one_group_stay_together(tmp_path: Path) -> None:
    """In holdout and folds, so what a tree remembers of a customer counts for nothing; who has none is judged as a row."""
    rows_of = visits(2000, 100, "1")
    data = read(tmp_path, [rows_of], group="customer")
    assert data.by == By.GROUP
    customers = np.array([name or "" for name in rows_of["customer"].to_pylist()])[np.flatnonzero(data.place >= 0)]
    held = data.held[data.place]
    assert not set(customers[held]) & set(customers[~held]) - {""}
    assert 0 < held.mean() < 0.4
    fitted = model.fit(DecisionTreeClassifier(random_state=0), *data.training)
    assert holdouts.compare(fitted, None, data).scores["challenger"]["rolling"]["accuracy"] < 0.8
    trial = cross_validation.Trial(NUMBERS, *data.training, Train(), units=data.training_units)
    assert trial.of(Candidate("tree", DecisionTreeClassifier(random_state=0))).score < 0.7
    alone = read(tmp_path, [rows_of])
    assert (
        cross_validation.Trial(NUMBERS, *alone.training, Train(), units=alone.training_units)
        .of(Candidate("tree", DecisionTreeClassifier(random_state=0)))
        .score
        > 0.95
    )


# A home of before


@pytest.mark.parametrize("by", [By.PLACE, By.CONTENT])
def test_first_comparison_is_on_rows_that_trained_neither(tmp_path: Path, by: By) -> None:
    """A version of before remembers rows that are held out now: on these it would win whatever came."""
    exports = [noise(0, last, drop) for last, drop in ((1000, "1"), (1200, "2"))]
    old = read(tmp_path, exports, by=by)
    remembers = model.fit(DecisionTreeClassifier(random_state=0), *old.training)
    later = noise(1200, 1500, "3", NOW + timedelta(days=2))
    before = PastAssignment(NUMBERS, by, 0.2, (NOW + timedelta(days=1)).timestamp() * 1000)
    new = read(tmp_path, [*exports, later], before=before)
    served = Model.__new__(Model)
    manifest: Any = type("Manifest", (), {"data_schema": NUMBERS, "settings": {}})
    served.__init__(manifest, "", lambda given: model.answers(remembers, given, NUMBERS))  # type: ignore[misc]
    compared_scores: Any = holdouts.compare(
        model.fit(DecisionTreeClassifier(random_state=1), *new.training), served, new
    ).scores
    assert abs(compared_scores["champion"]["rolling"]["accuracy"] - 0.5) < 0.15
    assert ("fair" in compared_scores) == (by is By.PLACE)
    beside = compared_scores.get("fair") or compared_scores["challenger"]
    assert (
        beside["rolling"]["n"]
        == compared_scores["champion"]["rolling"]["n"]
        == compared_scores["paired"]["holdout"]["rolling"]["n"]
    )
    assert compared_scores["champion"]["rolling"]["n"] >= 55
