"""retraind.daemon.schema.row_encoding: which JSON rows fit a schema, and the numbers that they become."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retraind.daemon.core.errors import InvalidFeatures
from retraind.daemon.schema.column import UNKNOWN, Column
from retraind.daemon.schema.row_encoding import encode
from retraind.daemon.schema.schema import Schema

AGE = Column(name="age", kind="number")
PLAN = Column(name="plan", kind="category", categories=["basic", "plus"])
NOTE = Column(name="note", kind="number", missing=True)
AREA = Column(name="area", kind="category", missing=True, categories=["north"])
SCHEMA = Schema(target="left", classes=["no", "yes"], columns=[AGE, PLAN, NOTE, AREA])
GOOD: list[Any] = [40, "plus", None, None]
MARKED = Schema(
    target="left",
    classes=["no", "yes"],
    missing_values=["NA", "plus"],
    columns=[
        Column(name="age", kind="number", missing=True, missing_values=["-"]),
        Column(name="plan", kind="category", missing=True, categories=["plus"]),
        Column(name="note", kind="number"),
    ],
)

KINDS = Schema(
    task="regression",
    target="y",
    columns=[
        Column(name="count", kind="integer"),
        Column(name="left", kind="boolean", missing=True),
        Column(name="since", kind="date", missing=True),
    ],
)


def same(got: list[float], wanted: list[float]) -> bool:
    return all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(got, wanted, strict=True))


@pytest.mark.parametrize(
    ("features", "wanted"),
    [
        (GOOD, [40.0, 1.0, math.nan, UNKNOWN]),
        ((40, "basic", 1.5, "north"), [40.0, 0.0, 1.5, 0.0]),
        ([-0.5, "premium", 1e100, "south"], [-0.5, UNKNOWN, 1e100, UNKNOWN]),
        ([2**53 + 1, "", 0, ""], [2.0**53, UNKNOWN, 0.0, UNKNOWN]),
        ({"age": 40, "plan": "plus"}, [40.0, 1.0, math.nan, UNKNOWN]),
        ({"plan": "plus", "area": None, "note": 3, "age": 40}, [40.0, 1.0, 3.0, UNKNOWN]),
    ],
)
def test_features_become_numbers_in_column_order(features: Any, wanted: list[float]) -> None:
    """Lists go by position, objects by name; a missing value is NaN or UNKNOWN, and so is an unlisted category."""
    assert same(encode(SCHEMA, features), wanted)


@pytest.mark.parametrize(
    ("features", "field", "part"),
    [
        (None, None, "must be a list"),
        ("plus", None, "must be a list"),
        (7, None, "must be a list"),
        ([], None, "has 0 values; the model takes 4: age, plan, note, area"),
        ([*GOOD, 1], None, "has 5 values"),
        ([GOOD], None, "one row.*'instances'"),
        ([None, "plus", None, None], "age", "must not be null"),
        ([40, None, None, None], "plan", "must not be null"),
        ([True, "plus", None, None], "age", "not true or false"),
        (["40", "plus", None, None], "age", "not the text '40'"),
        ([[40], "plus", None, None], "age", "not a list"),
        ([math.nan, "plus", None, None], "age", "between"),
        ([40, "plus", math.inf, None], "note", "between"),
        ([10**400, "plus", None, None], "age", "between"),
        ([1.1e100, "plus", None, None], "age", "between"),
        ([40, 1, None, None], "plan", "give a string"),
        ({"age": 40}, "plan", "is missing"),
        ({"age": 40, "plan": "plus", "aeg": 1}, "aeg", "no column 'aeg'"),
        ({"age": 40, "plan": "plus", "left": "no"}, "left", "no column 'left'"),
    ],
)
def test_features_that_do_not_fit_are_refused_by_name(features: Any, field: str | None, part: str) -> None:
    """The complaint names the column."""
    with pytest.raises(InvalidFeatures, match=part) as caught:
        encode(SCHEMA, features)
    assert caught.value.field == field


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=6))
def test_any_json_is_encoded_or_refused(value: Any) -> None:
    """Nothing else ever happens, and what is encoded is a number a model can take."""
    for features in (value, [value] * 4, {"age": value, "plan": value}):
        try:
            row = encode(SCHEMA, features)
        except InvalidFeatures:
            continue
        assert len(row) == 4
        assert not any(map(math.isinf, row))


def test_a_column_that_the_schema_ignores_may_be_sent() -> None:
    """The rows of a file go as they are, whether it is dropped or its rows are sent as JSON."""
    schema = SCHEMA.model_copy(update={"ignored": ["customer"]})
    assert same(encode(schema, {"customer": 7, "age": 40, "plan": "plus"}), [40.0, 1.0, math.nan, UNKNOWN])
    with pytest.raises(InvalidFeatures):
        encode(schema, {"client": 7, "age": 40, "plan": "plus"})


def test_markers_in_json_are_null() -> None:
    """As in drops; where the schema allows no missing value, the complaint is that of null."""
    expected_row = pytest.approx([math.nan, -1, 1], nan_ok=True)
    assert encode(MARKED, ["NA", " NA", 1]) == expected_row
    assert encode(MARKED, {"age": "-", "plan": "NA", "note": 1}) == expected_row
    assert encode(MARKED, [2, "plus", 1]) == [2, 0, 1]
    for features, part in ([2, "plus", "NA"], "must not be null"), ([2, "plus", "-"], "not the text '-'"):
        with pytest.raises(InvalidFeatures, match=part) as caught:
            encode(MARKED, features)
        assert caught.value.field == "note"
    with pytest.raises(InvalidFeatures, match="no column 'no'"):
        encode(MARKED, {"no": "NA"})


@pytest.mark.parametrize(
    ("features", "wanted"),
    [
        ([3, True, "1970-01-02"], [3, 1, 1]),
        ([3.0, False, "1970-01-02T12:00:00"], [3, 0, 1.5]),
        ([-(2**53), None, "1970-01-02T00:00:00+06:00"], [-(2.0**53), math.nan, 0.75]),
        ([0, None, None], [0, math.nan, math.nan]),
    ],
)
def test_kinds_become_numbers(features: list[Any], wanted: list[float]) -> None:
    """A boolean is 0 or 1, a date its days since 1970 in UTC."""
    assert same(encode(KINDS, features), wanted)


@pytest.mark.parametrize(
    ("features", "field", "part"),
    [
        ([0.5, None, None], "count", "whole number"),
        ([2**53 + 2, None, None], "count", "whole number"),
        ([2**53 + 1, None, None], "count", "whole number"),
        ([True, None, None], "count", "not true or false"),
        ([None, None, None], "count", "null"),
        ([1, 1, None], "left", "give true or false"),
        ([1, "true", None], "left", "give true or false"),
        ([1, None, "31.1.2026"], "since", "ISO 8601"),
        ([1, None, "2026-02-30"], "since", "ISO 8601"),
        ([1, None, 20_000], "since", "ISO 8601"),
    ],
)
def test_value_of_another_kind_is_refused(features: list[Any], field: str, part: str) -> None:
    """JSON has types of its own: nothing is guessed."""
    with pytest.raises(InvalidFeatures, match=part) as caught:
        encode(KINDS, features)
    assert caught.value.field == field
