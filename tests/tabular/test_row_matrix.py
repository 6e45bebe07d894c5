"""retraind.daemon.tabular.rows: samples, rows as numbers, and where each row came from."""

import math
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from checking import HEADER, KINDS, NOW, POLICY, SCHEMA, check, sample

from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.core.settings import Inbox
from retraind.daemon.schema.column import Column, Kind
from retraind.daemon.schema.row_encoding import encode
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import column_types, rows, schema_growth


@pytest.mark.parametrize("size", [1, 1.5, -0.0, 1e-300, 2**53 + 1, 2**63])
@pytest.mark.parametrize("decimal", [".", ","])
def test_sample_is_one_row(size: float, decimal: Literal[".", ","]) -> None:
    """A sample that came over HTTP is one row, also with numbers that no double holds exactly."""
    schema = Schema(target="kind", classes=["a", "b"], columns=SCHEMA.columns, decimal=decimal)
    checked = rows.check(rows.sample_cells(sample({"size": size, "colour": "red"}), schema), schema, POLICY)
    assert checked.table.to_pylist() == [{"size": float(size), "note": None, "colour": "red", "kind": "b"}]


def test_sample_of_all_kinds_is_what_serving_sees() -> None:
    """Dates in every form that JSON may have, and a regression's target."""
    kinds_of = [
        Column(name=kind, kind=kind, missing=True, categories=["x"] if kind == "category" else []) for kind in KINDS
    ]
    schema = Schema(task="regression", target="y", decimal=",", columns=kinds_of)
    for date in ("2026-01-31", "20260131T1200", "2026-W05-6T12:00:00.25+02:00", None):
        features = {"number": 1.5, "integer": 3, "boolean": True, "category": "x", "date": date}
        checked = rows.check(rows.sample_cells(sample(features, schema.label(2.5)), schema), schema, POLICY)
        np.testing.assert_array_equal(rows.matrix(checked.table, schema), [encode(schema, features)])
        assert rows.targets(checked.table, schema).tolist() == [2.5]


@pytest.mark.parametrize(
    ("features", "column", "part"),
    [({}, "size", "missing"), ({"size": "1"}, "size", "is a number"), ({"size": 1, "hue": 1}, "hue", "no column")],
)
def test_sample_that_does_not_fit_is_refused(features: dict[str, Any], column: str, part: str) -> None:
    """The schema may have changed since the row was posted, or the file was written by hand."""
    with pytest.raises(InvalidDrop, match=part) as caught:
        rows.sample_cells(sample(features), SCHEMA)
    assert caught.value.column == column


# Numbers for the model


def test_matrix_and_codes() -> None:
    """Missing numbers are NaN, missing and unlisted categories UNKNOWN, targets their codes."""
    table = check(HEADER + "1,,red,b\n2,3,,a\n3,4,green,b\n").table
    np.testing.assert_array_equal(rows.matrix(table, SCHEMA), [[1, np.nan, 0], [2, 3, -1], [3, 4, -1]])
    assert rows.codes(table, SCHEMA).tolist() == [1, 0, 1]
    assert rows.matrix(table, SCHEMA).dtype == np.float64


def test_matrix_is_what_serving_computes() -> None:
    """A row of a file and the same row as a request give the same numbers."""
    kinds_of = [Column(name=kind, kind=kind, categories=["x"] if kind == "category" else []) for kind in KINDS]
    schema = Schema(target="y", classes=["a", "b"], columns=kinds_of)
    moments = ["2026-01-31", "1969-12-31T23:59:59.5-05:30", "2024-02-29 12:00"]
    text = ",".join(KINDS) + ",y\n" + "".join(f"1.5,3,true,x,{moment},a\n" for moment in moments)
    encoded = [encode(schema, [1.5, 3, True, "x", moment]) for moment in moments]
    np.testing.assert_array_equal(rows.matrix(check(text, schema).table, schema), encoded)


def test_matrix_copes_with_segments_of_other_times() -> None:
    """A column that was added later, or whose kind was edited by hand: what can be cast is, the rest is missing."""
    old = pa.table(
        {
            "a": pa.array(["1", "x", None]),
            "b": pa.array([1.0, 2.5, None]),
            "c": pa.array([1, 0, None]),
            "d": pa.array(["2026-01-31", "", "x"]).dictionary_encode(),
            "e": pa.nulls(3),
            "f": pa.array([datetime(1970, 1, 2, tzinfo=UTC)] * 3, column_types.TYPES["date"]),
            "y": pa.array([0.0, 1.0, 5.0]),
        }
    )
    kinds: dict[str, Kind] = {
        "a": "number",
        "b": "category",
        "c": "boolean",
        "d": "date",
        "e": "integer",
        "f": "number",
    }
    columns_of = [Column(name=name, kind=kind, missing=True) for name, kind in kinds.items()]
    columns_of[1] = Column(name="b", kind="category", categories=["2.5", "1"])
    later = [Column(name="late", kind="date"), Column(name="later", kind="category")]
    schema = Schema(target="y", classes=["0", "1"], columns=[*columns_of, *later])
    nan = math.nan
    np.testing.assert_array_equal(
        rows.matrix(old, schema),
        [
            [1, 1, 1, 20_484, nan, nan, nan, -1],
            [nan, 0, 0, nan, nan, nan, nan, -1],
            [nan, -1, nan, nan, nan, nan, nan, -1],
        ],
    )
    assert rows.codes(old, schema).tolist() == [0, 1, -1]
    assert rows.targets(old.set_column(6, "y", pa.array(["1", "x", "2"])), schema).tolist()[::2] == [1, 2]


def table(drop: str, count: int) -> pa.Table:
    return rows.with_provenance(pa.table({"size": np.zeros(count)}), [drop], [count], np.arange(count), NOW, "file")


def test_every_row_knows_where_it_came_from() -> None:
    """Drop, row number, time and source stand beside the cells, for many drops at once; one may come twice."""
    drops = ["ab" * 32, "cd" * 32, "ab" * 32, "ef" * 32]
    table = rows.with_provenance(
        pa.table({"size": np.zeros(6)}), drops, [2, 1, 3, 0], np.array([0, 2, 0, 3, 4, 7]), NOW, "http"
    )
    assert table["_drop"].to_pylist() == ["ab" * 32] * 2 + ["cd" * 32] + ["ab" * 32] * 3
    assert table["_row"].to_pylist() == [0, 2, 0, 3, 4, 7]
    assert set(table["_source"].to_pylist()) == {"http"}
    assert set(table["_accepted_at"].to_pylist()) == {NOW}
    assert table.schema.field("_drop").type == pa.dictionary(pa.int32(), pa.string())


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1,234", "2,000,000"], "number", [1234, 2000000]),
        (["$5.50", "$7"], "number", [5.5, 7]),
        (["31/01/2024", "01/02/2024"], "date", [19753, 19754]),
        (["01/02/2024", "02/03/2024"], "category", [0, 1]),
    ],
    ids=["thousands", "currency", "dates", "dates that may be two"],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_added_column_is_read_as_at_init(cells: list[str], kind: str, values: list[float], streamed: bool) -> None:
    """The notation of its numbers and dates is found out, and never guessed."""
    schema = Schema(target="y", classes=["a", "b"], columns=[Column(name="n", kind="number")])
    table = pa.table({"n": ["1", "2"], "new": cells, "y": ["a", "b"]})
    policy = Inbox(extra_columns="add")
    grown = schema_growth.with_columns(table[:0], schema, policy, lambda: [table]) if streamed else schema
    checked = rows.check(table, grown, policy)
    assert (checked.schema.columns[1].kind, checked.bad) == (kind, [])
    assert rows.matrix(checked.table, checked.schema)[:, 1].tolist() == values
