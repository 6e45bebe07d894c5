"""daemon.schema.schema: which rows and targets fit."""

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core import durable
from daemon.core.errors import BadSchema, InvalidDrop, InvalidFeatures
from daemon.core.settings import Inbox
from daemon.ingest import outcomes
from daemon.schema import schema
from daemon.schema.column import UNKNOWN, Column
from daemon.schema.schema import MOST_COLUMNS, REMARKS, Schema
from daemon.tabular import csv_table, schema_growth
from daemon.tabular.file_content import Content

AGE = Column(name="age", kind="number")
PLAN = Column(name="plan", kind="category", categories=["basic", "plus"])
NOTE = Column(name="note", kind="number", missing=True)
AREA = Column(name="area", kind="category", missing=True, categories=["north"])
SCHEMA = Schema(target="left", classes=["no", "yes"], columns=[AGE, PLAN, NOTE, AREA])
GOOD: list[Any] = [40, "plus", None, None]


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
    """Lists go by position, objects by name; what is missing is NaN or UNKNOWN, as is a category nobody has listed."""
    assert same(SCHEMA.encode(features), wanted)


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
        SCHEMA.encode(features)
    assert caught.value.field == field


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=6))
def test_any_json_is_encoded_or_refused(value: Any) -> None:
    """Nothing else ever happens, and what is encoded is a number a model can take."""
    for features in (value, [value] * 4, {"age": value, "plan": value}):
        try:
            row = SCHEMA.encode(features)
        except InvalidFeatures:
            continue
        assert len(row) == 4
        assert not any(map(math.isinf, row))


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


def test_markers_in_json_are_null() -> None:
    """As in drops; where the schema allows no missing value, the complaint is that of null."""
    wanted = pytest.approx([math.nan, -1, 1], nan_ok=True)
    assert MARKED.encode(["NA", " NA", 1]) == wanted
    assert MARKED.encode({"age": "-", "plan": "NA", "note": 1}) == wanted
    assert MARKED.encode([2, "plus", 1]) == [2, 0, 1]
    for features, part in ([2, "plus", "NA"], "must not be null"), ([2, "plus", "-"], "not the text '-'"):
        with pytest.raises(InvalidFeatures, match=part) as caught:
            MARKED.encode(features)
        assert caught.value.field == "note"
    with pytest.raises(InvalidFeatures, match="no column 'no'"):
        MARKED.encode({"no": "NA"})


def test_new_classes_that_look_alike_are_pointed_out() -> None:
    """Also where both come with one drop."""
    grown = schema_growth.grown(SCHEMA, classes=[*SCHEMA.classes, "later", "Later ", f"{SCHEMA.classes[0].upper()}"])
    told = list(outcomes.growth(SCHEMA, grown))
    assert told[0] == "The schema has the new class 'later'."
    assert (
        told[1]
        == "The schema has the new class 'Later ', which differs from 'later' in case or spaces only: is it the same?"
    )
    assert f"differs from {SCHEMA.classes[0]!r} in case or spaces only" in told[2]


def test_markers_are_written_only_where_there_are_any() -> None:
    """A schema without them is read by older programs; odd ones are refused."""
    assert b"missing_values" not in SCHEMA.dump()
    assert schema.parse(MARKED.dump(), "x") == MARKED
    for odd in ("", " NA"):
        with pytest.raises(BadSchema, match="missing_values is empty or has spaces"):
            schema.parse(json.dumps(MARKED.model_dump() | {"missing_values": [odd]}).encode(), "x")


KINDS = Schema(
    task="regression",
    target="y",
    columns=[
        Column(name="count", kind="integer"),
        Column(name="left", kind="boolean", missing=True),
        Column(name="since", kind="date", missing=True),
    ],
)


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
    assert same(KINDS.encode(features), wanted)


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
        KINDS.encode(features)
    assert caught.value.field == field


def test_target_of_a_regression_is_a_number() -> None:
    """As the text that its cell would have."""
    assert [KINDS.label(1), KINDS.label(-2.5), KINDS.label(1e100)] == ["1.0", "-2.5", "1e+100"]
    for target in ("1", None, True, math.nan):
        with pytest.raises(InvalidFeatures):
            KINDS.label(target)


@pytest.mark.parametrize(("target", "label"), [("no", "no"), ("yes", "yes"), (0, "no"), (1, "yes")])
def test_target_is_a_name_or_a_code(target: Any, label: str) -> None:
    """Both ways of naming a class give its name."""
    assert SCHEMA.label(target) == label


@pytest.mark.parametrize("target", ["maybe", "0", "", 2, -1, True, None, 1.0, ["no"], {"a": 1}, "x" * 10_000])
def test_other_targets_are_refused(target: Any) -> None:
    """The complaint lists the classes and stays short."""
    with pytest.raises(InvalidFeatures, match="the classes are: no, yes") as caught:
        SCHEMA.label(target)
    assert caught.value.field == "left"
    assert len(str(caught.value)) < 300


def test_number_names_a_class_of_that_name_before_a_code() -> None:
    """Where classes are called 1 and 2, 1 means the class, not the code of the second one; and 0 means none."""
    found = Schema(target="t", classes=["1", "2"], columns=[AGE])
    assert [found.label(1), found.label(2), found.label("2"), found.label(1.0), found.label("01")] == list("12211")
    with pytest.raises(InvalidFeatures, match="the classes are: 1, 2"):
        found.label(0)
    comma = Schema(target="t", classes=["1,5", "2"], columns=[AGE], decimal=",")
    assert [comma.label(1.5), comma.label("1,50"), comma.label(2.0)] == ["1,5", "1,5", "2"]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"target": "age"}, "'age' is listed twice"),
        ({"columns": [AGE, AGE]}, "'age' is listed twice"),
        ({"target": "_drop"}, "'_drop' is reserved"),
        ({"classes": ["no", "no"]}, "a class is listed twice"),
        ({"classes": ["no"]}, "classes"),
        ({"columns": []}, "columns"),
        ({"task": "regression"}, "regression has no classes"),
        ({"classes": []}, "at least two classes"),
        ({"decimal": ";"}, "decimal"),
        ({"target": "_reason"}, "'_reason' is reserved"),
        ({"columns": [{"name": "a", "kind": "category", "categories": ["b", "b"]}]}, "category of 'a' is listed twice"),
        ({"columns": [{"name": "a", "kind": "words"}]}, r"columns\.0\.kind"),
        ({"colunms": []}, "colunms"),
        ({"format": "retraind-schema/9"}, "format"),
    ],
)
def test_schema_that_contradicts_itself_is_refused(change: dict[str, Any], part: str) -> None:
    """The complaint names where the schema came from and the key."""
    document = json.dumps(SCHEMA.model_dump() | change, default=Column.model_dump)
    with pytest.raises(BadSchema, match=part) as caught:
        schema.parse(document.encode(), "s.json")
    assert str(caught.value).startswith("s.json: ")
    assert "retraind init" in str(caught.value)


def test_schema_survives_its_file(tmp_path: Path) -> None:
    """What was written is what is read; no file is no schema; text that is no JSON is an error."""
    path = tmp_path / "schema.json"
    assert schema.load(path) is None
    path.write_bytes(SCHEMA.dump())
    assert schema.load(path) == SCHEMA
    assert schema.load(path) is schema.load(path), "what has not changed is not parsed again"
    durable.write(path, SCHEMA.dump().replace(b"age", b"Age"))
    assert schema.load(path) != SCHEMA
    path.write_bytes(SCHEMA.dump()[:-20])
    for _ in range(2):
        with pytest.raises(BadSchema, match=rf"^{path}: Invalid JSON.*move it away.*retraind init FILE --target COL"):
            schema.load(path)
    path.unlink()
    assert schema.load(path) is None


def wide(count: int) -> Schema:
    """A schema of so many feature columns."""
    return Schema(target="t", task="regression", columns=[Column(name=f"c{i}", kind="number") for i in range(count)])


def test_schema_has_as_many_columns_as_a_drop_may_have() -> None:
    """With the target; one more is refused by the same limit."""
    found = wide(MOST_COLUMNS - 1)
    assert len(found.encode(dict.fromkeys(found.features, 1.0))) == MOST_COLUMNS - 1
    text = ",".join([*REMARKS, *found.features, "t"]).encode()
    assert len(csv_table.examine(Content.of(text + b"\n"), ["t"]).names) == MOST_COLUMNS + len(REMARKS)
    with pytest.raises(ValueError, match=f"{MOST_COLUMNS + 1} columns with the target"):
        wide(MOST_COLUMNS)
    with pytest.raises(InvalidDrop, match=f"at most {MOST_COLUMNS}"):
        csv_table.examine(Content.of(text + b",more\n"), ["t"])


def test_drop_can_not_make_the_schema_too_wide() -> None:
    """One whose new columns would is refused, by the first of them."""
    found = wide(MOST_COLUMNS - 1)
    row = pa.table({name: pa.array(["1"]) for name in [*found.features, "t", "more"]})
    with pytest.raises(InvalidDrop, match=f"would have 1 more; at most {MOST_COLUMNS}") as caught:
        schema_growth.with_columns(row, found, Inbox(extra_columns="add"))
    assert caught.value.column == "more"
