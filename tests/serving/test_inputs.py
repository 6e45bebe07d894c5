"""retraind.web.serving.inputs: every shape of request means the same rows."""

from typing import Any

import bundles
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retraind.daemon.core.errors import InvalidFeatures
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.row_encoding import encode
from retraind.daemon.schema.schema import Schema
from retraind.web.http.payload import MOST_ROWS
from retraind.web.serving import call, inputs

VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.sampled_from(["Aachen", 10**400])
)


def by_name(schema: Schema, row: list[Any]) -> dict[str, Any]:
    return dict(zip(schema.features, row, strict=True))


@given(st.lists(st.lists(VALUES, min_size=3, max_size=4) | st.just(bundles.SETOSA), min_size=1, max_size=4))
def test_many_rows_are_what_each_is_alone(rows: list[list[Any]]) -> None:
    """Numbers go through numpy at once, and yet nothing passes that one row would not."""
    try:
        expected = [encode(bundles.SCHEMA, row) for row in rows]
    except InvalidFeatures:
        with pytest.raises(InvalidFeatures):
            inputs.from_rows(bundles.SCHEMA, rows)
    else:
        parsed = inputs.from_rows(bundles.SCHEMA, rows)
        assert parsed.matrix.tolist() == expected
        assert list(parsed.values) == rows


@pytest.mark.parametrize("place", range(4))
def test_nan_is_no_number_wherever_it_stands(place: int) -> None:
    """JSON has none, but whoever reads rows from elsewhere may."""
    row = [*bundles.SETOSA[:place], float("nan"), *bundles.SETOSA[place + 1 :]]
    with pytest.raises(InvalidFeatures):
        inputs.from_rows(bundles.SCHEMA, [row])


def test_rows_columns_and_matrix_agree() -> None:
    rows = [bundles.SETOSA, [6.0, 3.0, 4.0, 1.0]]
    named = inputs.from_rows(bundles.SCHEMA, [by_name(bundles.SCHEMA, row) for row in rows])
    columns = inputs.from_columns(
        bundles.SCHEMA, by_name(bundles.SCHEMA, [list(one) for one in zip(*rows, strict=True)])
    )
    matrix = inputs.from_matrix(bundles.SCHEMA, np.array(rows))
    for parsed in (named, columns, matrix):
        assert parsed.matrix.tolist() == rows
        assert [list(row) for row in parsed.values] == rows
        assert len(parsed) == 2


def test_kinds_keep_their_meaning_in_columns() -> None:
    columns: dict[str, list[Any]] = {
        name: [value] * 2 for name, value in by_name(bundles.PRICES, bundles.HOUSE).items()
    }
    del columns["built"]
    parsed = inputs.from_columns(bundles.PRICES, columns)
    assert np.isnan(parsed.matrix[:, 3]).all(), "what may be missing may be left out"
    assert parsed.values[1] == [100.0, 4, True, None, "Zürich"]


def test_not_a_number_is_a_missing_value_where_one_may_be() -> None:
    schema = Schema(task="regression", target="y", columns=[Column(name="x", kind="number", missing=True)])
    parsed = inputs.from_matrix(schema, np.array([[1.0], [np.nan]], dtype=np.float32))
    assert parsed.values == [[1.0], [None]]
    assert np.isnan(parsed.matrix[1, 0])
    with pytest.raises(InvalidFeatures, match="Row 2: 'sepal_length' must not be null"):
        inputs.from_matrix(bundles.SCHEMA, np.array([bundles.SETOSA, [np.nan, 1, 1, 1]]))


def test_booleans_of_an_array_are_zero_and_one() -> None:
    kinds = [Column(name="b", kind="boolean", missing=True), Column(name="i", kind="integer")]
    schema = Schema(task="regression", target="y", columns=kinds)
    parsed = inputs.from_matrix(schema, np.array([[1.0, 1.0], [0.0, 0.0], [np.nan, 7.0]]))
    assert parsed.values == [[True, 1.0], [False, 0.0], [None, 7.0]]
    assert [type(row[0]) for row in parsed.values] == [bool, bool, type(None)]
    for row in ([2.0, 1.0], [1.0, 0.5]):
        with pytest.raises(InvalidFeatures):
            inputs.from_matrix(schema, np.array([row]))


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"sepal_length": [1.0], "sepal_width": [1.0, 2.0]}, "same number of rows"),
        ({"sepal_length": [1.0], "colour": ["red"]}, "no column 'colour'"),
        ({"sepal_length": [1.0]}, "column 'sepal_width' is missing"),
        ({}, "none of them was sent"),
        ({name: [True] for name in bundles.NAMES}, "'sepal_length' is a number, not true or false"),
        ({name: [] for name in bundles.NAMES}, "There are no rows"),
    ],
)
def test_wrong_columns_are_refused(columns: dict[str, list[Any]], complaint: str) -> None:
    with pytest.raises(InvalidFeatures, match=complaint):
        inputs.from_columns(bundles.SCHEMA, columns)


def test_a_wrong_shape_is_refused() -> None:
    for shape in ((2, 3), (4,), (1, 2, 4)):
        with pytest.raises(InvalidFeatures, match="the model takes"):
            inputs.from_matrix(bundles.SCHEMA, np.zeros(shape))


def test_the_number_of_rows_has_a_limit() -> None:
    for rows, complaint in ((0, "There are no rows"), (MOST_ROWS + 1, f"may have at most {MOST_ROWS}")):
        with pytest.raises(InvalidFeatures, match=complaint):
            inputs.from_matrix(bundles.SCHEMA, np.zeros((rows, 4)))
        with pytest.raises(InvalidFeatures, match=complaint):
            inputs.from_rows(bundles.SCHEMA, [bundles.SETOSA] * rows)


def test_the_more_classes_the_fewer_rows() -> None:
    """100,000 rows of a thousand classes would take ten gigabytes to answer."""
    classes = [f"c{code}" for code in range(1000)]
    schema = Schema(target="y", classes=classes, columns=[Column(name="x", kind="number")])
    assert inputs.most_rows(schema) == 1000
    assert inputs.most_rows(bundles.SCHEMA) == MOST_ROWS
    assert len(inputs.from_rows(schema, [[1.0]] * 1000)) == 1000
    with pytest.raises(InvalidFeatures, match="may have at most 1000"):
        inputs.from_rows(schema, [[1.0]] * 1001)


@pytest.mark.parametrize(("classes", "most"), [(0, 100), (3, 100), (10, 100), (40, 25), (1000, 1), (3000, 1)])
def test_where_requests_are_handed_over_answers_are_small(classes: int, most: int) -> None:
    """A hundred rows of a thousand classes are 3 MB, which would keep all others waiting; one row is always taken."""
    names = [f"c{code}" for code in range(classes)]
    task: Any = "classification" if names else "regression"
    schema = Schema(task=task, target="y", classes=names, columns=[Column(name="x", kind="number")])
    assert len(inputs.from_rows(schema, [[1.0]] * (most + 1))) == most + 1
    token = call.CURRENT.set(call.Call(inline=True))
    try:
        assert len(inputs.from_rows(schema, [[1.0]] * most)) == most
        with pytest.raises(call.Deferred):
            inputs.from_rows(schema, [[1.0]] * (most + 1))
    finally:
        call.CURRENT.reset(token)


def test_an_array_of_booleans_is_kept_as_what_its_columns_take() -> None:
    """Whoever reads the log encodes what stands there once more."""
    truths = np.array([[True, False, True, True]])
    parsed = inputs.from_matrix(bundles.SCHEMA, truths)
    assert [type(value) for value in parsed.values[0]] == [int] * 4
    assert encode(bundles.SCHEMA, list(parsed.values[0])) == parsed.matrix[0].tolist() == [1, 0, 1, 1]
    schema = Schema(task="regression", target="y", columns=[Column(name=n, kind="boolean") for n in "abcd"])
    assert list(inputs.from_matrix(schema, truths).values[0]) == [True, False, True, True]
