"""retraind.daemon.schema.schema: which schemas are consistent, and which targets fit."""

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from retraind.daemon.core import durable
from retraind.daemon.core.errors import BadSchema, InvalidDrop, InvalidFeatures
from retraind.daemon.core.settings import Inbox
from retraind.daemon.ingest import schema_sentences
from retraind.daemon.schema import schema
from retraind.daemon.schema.cell_notation import Notation
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.row_encoding import encode
from retraind.daemon.schema.schema import MOST_COLUMNS, REMARKS, Schema
from retraind.daemon.tabular import csv_table, schema_growth
from retraind.daemon.tabular.file_content import Content

AGE = Column(name="age", kind="number")
PLAN = Column(name="plan", kind="category", categories=["basic", "plus"])
NOTE = Column(name="note", kind="number", missing=True)
AREA = Column(name="area", kind="category", missing=True, categories=["north"])
SCHEMA = Schema(target="left", classes=["no", "yes"], columns=[AGE, PLAN, NOTE, AREA])


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


def test_new_classes_that_look_alike_are_pointed_out() -> None:
    """Also where both come with one drop."""
    grown = schema_growth.grown(SCHEMA, classes=[*SCHEMA.classes, "later", "Later ", f"{SCHEMA.classes[0].upper()}"])
    remarks = [one.sentence for one in schema_sentences.growth(SCHEMA, grown)]
    assert remarks[0] == "The schema has the new class 'later'."
    assert (
        remarks[1]
        == "The schema has the new class 'Later ', which differs from 'later' only in case or spaces: is it the same?"
    )
    assert f"differs from {SCHEMA.classes[0]!r} only in case or spaces" in remarks[2]


def test_every_change_by_hand_is_named() -> None:
    """Not only columns and kinds: notations, missing values, categories, classes, decimals."""
    age = Column(name="age", kind="number", notation=Notation(decimal=",", unit="€"))
    plan = Column(name="plan", kind="category", missing=True, categories=["plus", "basic"], missing_values=["k.A."])
    after = MARKED.model_copy(
        update={"columns": [age, plan, MARKED.columns[2]], "decimal": ",", "classes": ["no", "yes", "maybe"]}
    )
    sentence = schema_sentences.changes(MARKED, Schema(**after.model_dump()))
    for part in (
        "'age' may not be missing",
        "missing values of 'age' are those of all columns",
        "'age' is written as decimal ',', unit '€'",
        "'plan' has the category 'basic'",
        "missing values of 'plan' are k.A.",
        "with the class 'maybe'",
        "the decimal mark is ','",
    ):
        assert part in sentence
    turned = Schema(**(MARKED.model_dump() | {"columns": [one.model_dump() for one in MARKED.columns[::-1]]}))
    assert "the order or the ranges of its columns" in schema_sentences.changes(MARKED, turned)


def test_category_that_lost_its_zeros_is_suspect() -> None:
    zips = Schema(target="y", classes=["a", "b"], columns=[Column(name="PLZ", kind="category", categories=["01067"])])
    columns = [Column(name="PLZ", kind="category", categories=["01067", "1067", "10115", "Bonn"])]
    remarks = list(schema_sentences.growth(zips, Schema(**(zips.model_dump() | {"columns": columns}))))
    assert [one.suspect for one in remarks] == [("PLZ", "1067"), None, None]
    assert "differs from '01067' only in leading zeros" in remarks[0].sentence


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
    numbered = Schema(target="t", classes=["1", "2"], columns=[AGE])
    assert [
        numbered.label(1),
        numbered.label(2),
        numbered.label("2"),
        numbered.label(1.0),
        numbered.label("01"),
    ] == list("12211")
    with pytest.raises(InvalidFeatures, match="the classes are: 1, 2"):
        numbered.label(0)
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
        with pytest.raises(
            BadSchema, match=rf"^{path}: it is not valid JSON.*move it away.*retraind init FILE --target COL"
        ):
            schema.load(path)
    path.unlink()
    assert schema.load(path) is None


def wide(count: int) -> Schema:
    """A schema of so many feature columns."""
    return Schema(target="t", task="regression", columns=[Column(name=f"c{i}", kind="number") for i in range(count)])


def test_schema_has_as_many_columns_as_a_drop_may_have() -> None:
    """With the target; one more is refused by the same limit."""
    widest = wide(MOST_COLUMNS - 1)
    assert len(encode(widest, dict.fromkeys(widest.features, 1.0))) == MOST_COLUMNS - 1
    text = ",".join([*REMARKS, *widest.features, "t"]).encode()
    assert len(csv_table.examine(Content.of(text + b"\n"), ["t"]).names) == MOST_COLUMNS + len(REMARKS)
    with pytest.raises(ValueError, match=f"{MOST_COLUMNS + 1} columns with the target"):
        wide(MOST_COLUMNS)
    with pytest.raises(InvalidDrop, match=f"at most {MOST_COLUMNS}"):
        csv_table.examine(Content.of(text + b",more\n"), ["t"])


def test_drop_can_not_make_the_schema_too_wide() -> None:
    """One whose new columns would is refused, by the first of them."""
    widest = wide(MOST_COLUMNS - 1)
    row = pa.table({name: pa.array(["1"]) for name in [*widest.features, "t", "more"]})
    with pytest.raises(InvalidDrop, match=f"would have 1 more; at most {MOST_COLUMNS}") as caught:
        schema_growth.with_columns(row, widest, Inbox(extra_columns="add"))
    assert caught.value.column == "more"
