"""retraind.daemon.ingest.reading.late_labels: the cells that a label and its features become."""

from datetime import UTC, timedelta, timezone
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from example_counts import some
from hypothesis import given, settings
from hypothesis import strategies as st
from label_schemas import PRICES, WIDE

from retraind.daemon.core.settings import Inbox
from retraind.daemon.ingest.reading.late_labels import cell, cells, plain
from retraind.daemon.schema.column import BOUND, Kind
from retraind.daemon.schema.row_encoding import encode
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import rows


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, "number", ""),
        (0.1 + 0.2, "number", "0,30000000000000004"),
        (1e-7, "number", "1e-07"),
        (-0.0, "number", "-0,0"),
        (2**53, "integer", "9007199254740992"),
        (7.0, "integer", "7"),
        (7.5, "integer", "7,5"),
        (False, "boolean", "false"),
        ("a,b", "category", "a,b"),
        (1.5, "category", "1.5"),
        ("2026-W05-6", "date", "2026-01-31T00:00:00"),
        ("red", "date", "red"),
    ],
)
def test_a_value_as_a_cell(value: Any, kind: Kind, text: str) -> None:
    assert cell(value, kind, ",") == text


NUMBERS = st.floats(-BOUND, BOUND) | st.integers(-(10**18), 10**18)


WHOLE = st.integers(-(2**53), 2**53) | st.integers(-(2**53), 2**53).map(float)


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).map(str.strip).filter(bool)


DAYS = st.datetimes(timezones=st.sampled_from([None, UTC, timezone(timedelta(hours=-9, minutes=-30))])).map(
    lambda moment: moment.replace(microsecond=0).isoformat()
)


@settings(deadline=None, max_examples=some(50))
@given(st.tuples(st.none() | NUMBERS, WHOLE, st.none() | st.booleans(), WORDS, DAYS), st.sampled_from(".,"))
def test_the_reader_gets_back_what_was_predicted_on(features: tuple[Any, ...], decimal: Literal[".", ","]) -> None:
    schema = Schema(**(WIDE.model_dump() | {"decimal": decimal}))
    texts = dict(zip(schema.features, cells(list(features), WIDE, schema), strict=True))
    checked = rows.check(pa.table({name: [text] for name, text in {**texts, "grade": "low"}.items()}), schema, Inbox())
    assert checked.bad == []
    assert checked.table["colour"].to_pylist() == [features[3]]
    got, expected = rows.matrix(checked.table, schema)[0].tolist(), encode(schema, list(features))
    assert np.array_equal(np.array(got), np.array(expected), equal_nan=True)


@pytest.mark.parametrize(
    ("truth", "names", "name"),
    [
        ("low", ["low", "high"], "low"),
        (" 0 ", ["low", "high"], "low"),
        ("2", ["low", "high"], "2"),
        ("01", ["low", "high"], "01"),
        ("x", ["low", "high"], "x"),
        ("0", ["low", "high", "7"], "0"),
        ("7.0", ["low", "high", "7"], "7"),
        ("1", ["3", "4"], "1"),
    ],
)
def test_a_class_by_name_or_code(truth: str, names: list[str], name: str) -> None:
    """A code counts only where no class is called by a number; a number spelt otherwise is the same class."""
    schema = Schema(target="grade", classes=names, columns=WIDE.columns)
    assert plain(truth, schema) == name


def test_what_is_no_number_stays_for_the_reader_to_refuse() -> None:
    assert plain(" much ", PRICES) == "much"
