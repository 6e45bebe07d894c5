"""retraind.daemon.encoding and retraind.daemon.training.export.onnx_encoding: texts and categories of many names as what they say of the target; the same in ONNX."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from sklearn.metrics import roc_auc_score

from retraind.daemon import encoding, model
from retraind.daemon.artifacts import bundle
from retraind.daemon.core.settings import Train
from retraind.daemon.encoding import Encoding
from retraind.daemon.model import Matrix, Targets
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import rows
from retraind.daemon.training.export import export
from retraind.daemon.training.selection import candidates, cross_validation
from retraind.daemon.training.selection.candidates import ENCODED, Candidate

TOWNS = [f"town {number}" for number in range(40)]
LETTERS = Schema(
    target="y",
    classes=["ham", "spam"],
    columns=[
        Column(name="letter", kind="text", missing=True),
        Column(name="size", kind="number", missing=True),
        Column(name="town", kind="category", missing=True, categories=TOWNS),
    ],
)
THREE = Schema(target="y", classes=["a", "b", "c"], columns=LETTERS.columns)
PRICES = Schema(task="regression", target="y", columns=LETTERS.columns)
TASKS = [LETTERS, THREE, PRICES]


def letters(schema: Schema, count: int = 300, seed: int = 0) -> tuple[Matrix, Targets]:
    """Letters of random words, of which few say what the target is, beside towns that say a little."""
    random = np.random.default_rng(seed)
    towns = random.integers(0, len(TOWNS), count)
    score = random.integers(0, 3, count)
    said = np.array(["meeting", "offer", "lottery"])[score]
    texts = [f"{' '.join(map(str, random.integers(0, 200, 8)))} {word}" for word in said]
    cells = {"letter": texts, "size": random.normal(size=count), "town": [TOWNS[at] for at in towns]}
    matrix = rows.matrix(pa.table(cells), schema)
    if schema.task == "regression":
        return matrix, 100.0 * score + towns
    return matrix, np.asarray(score if len(schema.classes) == 3 else score == 2, dtype=np.int64)


@pytest.mark.parametrize("schema", TASKS, ids=["two classes", "three classes", "regression"])
@pytest.mark.parametrize("name", ["linear", "forest", "boosting"])
def test_candidate_with_texts_is_served_by_onnx(schema: Schema, name: str, tmp_path: Path) -> None:
    """Each kind of estimator learns from words and is a graph that answers the same, on gaps and on unknown towns too."""
    matrix, targets = letters(schema)
    name = {"linear": "ridge" if schema.task == "regression" else "logistic"}.get(name, name)
    estimator = candidates.build(name, schema, 1, encoded=[2])
    if name == "forest":
        estimator.set_params(**{f"{estimator.steps[-1][0]}__n_estimators": 10})
    fitted = model.fit(estimator, matrix, targets, slice(0, 200))
    facts = export.write(fitted, matrix, schema, tmp_path)
    assert facts["backend"] == "onnx"
    assert facts["difference"] <= bundle.PARITY
    assert fitted.score(matrix[200:], targets[200:]) > 0.8


def test_what_onnx_can_not_say_is_served_by_scikit_learn_itself(tmp_path: Path) -> None:
    """The bundle may load an encoding, so a pipeline without a graph is served all the same."""
    matrix, targets = letters(LETTERS, 120)
    fitted = model.fit(candidates.build("logistic", LETTERS, 1), matrix, targets)
    assert export.untrusted_types(fitted) == []


def test_encoding_is_crossed_in_training() -> None:
    """Words and towns of coins say nothing: what a row gets in training must not know its own target."""
    matrix, _ = letters(LETTERS, 400)
    coins = np.random.default_rng(1).integers(0, 2, 400)
    made = Encoding(3, [0], [2], [len(TOWNS)], 2)
    crossed = made.fit_transform(matrix, coins)
    assert crossed.shape == (400, 2 + 2)
    for place in (2, 3):
        assert abs(roc_auc_score(coins, crossed[:, place]) - 0.5) < 0.12
        assert roc_auc_score(coins, made.transform(matrix)[:, place]) > 0.6


def test_equal_rows_are_never_on_both_sides() -> None:
    """A file of copies: no copy may tell the label of another."""
    matrix, _ = letters(LETTERS, 200)
    coins = np.random.default_rng(1).integers(0, 2, 200)
    crossed = Encoding(3, [0], [2], [len(TOWNS)], 2).fit_transform(np.tile(matrix, (3, 1)), np.tile(coins, 3))
    assert abs(roc_auc_score(np.tile(coins, 3), crossed[:, 3]) - 0.5) < 0.15


def test_same_rows_give_the_same_tables_to_the_bit() -> None:
    matrix, targets = letters(THREE)
    first, again = (Encoding(3, [0], [2], [len(TOWNS)], 3) for _ in range(2))
    encoded = first.fit_transform(matrix, targets)
    encoding._KNOWN.clear()  # what candidates of one training share
    assert_array_equal(encoded, again.fit_transform(matrix, targets))
    for mine, theirs in zip(first.tables_, again.tables_, strict=True):
        assert_array_equal(mine, theirs)


@pytest.mark.parametrize(("classes", "buckets"), [(0, 1 << 17), (2, 1 << 17), (20, 1 << 15), (100, 1 << 13)])
def test_table_of_words_is_bounded(classes: int, buckets: int) -> None:
    made = Encoding(1, [0], classes=classes)
    assert made.buckets == buckets
    assert made.buckets * (made.outputs + 1) * 4 <= 4 << 20


def test_rows_of_one_kind_are_encoded_too() -> None:
    """All rows equal, texts missing, a class without rows: numbers all the same."""
    matrix = np.tile(rows.matrix(pa.table({"size": [1.0]}), THREE), (5, 1))
    made = Encoding(3, [0], [2], [len(TOWNS)], 3).fit_transform(matrix, np.array([0, 1, 0, 1, 0]))
    assert np.isfinite(made[:, 1:]).all()


def test_encoded_categories_compete_and_win_where_they_help() -> None:
    """Forty towns of which each has its price and few rows: their mean says more than their number does; else it loses."""
    schema = Schema(task="regression", target="y", columns=LETTERS.columns[1:])
    random = np.random.default_rng(0)
    worth = random.normal(size=len(TOWNS)) * 10
    towns = random.integers(0, len(TOWNS), 240)
    planned = candidates.plan(schema, Train(candidates=["boosting"], folds=3))
    assert [one.name for one in planned] == ["boosting", f"boosting({ENCODED})"]
    rows_of = np.column_stack([random.normal(size=240), towns])
    trial = cross_validation.Trial(schema, rows_of, worth[towns] + random.normal(size=240), Train(folds=3))
    plain, means = (trial.of(Candidate(one.name, one.estimator)) for one in planned)
    assert means.score > plain.score + 0.1


def test_few_patterns_are_no_copies() -> None:
    """Towns alone: their rows are equal, and still say what the next row of a town is worth."""
    towns = np.random.default_rng(0).integers(0, len(TOWNS), 800)
    crossed = Encoding(1, [], [0], [len(TOWNS)]).fit_transform(towns.reshape(-1, 1).astype(float), towns * 1.0)
    assert np.corrcoef(crossed[:, 0], towns)[0, 1] > 0.9
