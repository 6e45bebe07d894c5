"""daemon.alteration and daemon.overview: a schema changed and shown by commands."""

from contextlib import closing
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from test_journal import a_drop

from daemon import alteration, growth, overview, rows, segments
from daemon.errors import BadSchema, Exit, InvalidDrop
from daemon.home import Home
from daemon.journal import Journal
from daemon.schema import Column, Schema
from daemon.settings import Inbox

A = Column(name="a", kind="number", minimum=0, maximum=9)
ZIP = Column(name="zip", kind="integer", missing=True, missing_values=["?"])
SCHEMA = Schema(target="y", classes=["0", "1"], missing_values=["NA"], columns=[A, ZIP])


def test_column_leaves_without_a_trap_and_comes_back() -> None:
    """Files with the column are taken, and those without it; when it comes back, rows of between lack it."""
    gone = alteration.altered(SCHEMA, {"a": "ignore"}, [])
    assert (gone.features, gone.ignored) == (["zip"], ["a"])
    for names in (["a", "zip", "y"], ["zip", "y"]):
        growth.with_columns(pa.table({name: pa.array([], pa.string()) for name in names}), gone, Inbox())
    with pytest.raises(InvalidDrop, match="retraind schema --ignore"):
        growth.with_columns(pa.table({name: pa.array([], pa.string()) for name in ("b", "zip", "y")}), gone, Inbox())
    back = alteration.altered(gone, {"a": "number"}, [])
    assert (back.features, back.ignored, back.columns[1].missing) == (["zip", "a"], [], True)


def test_kind_and_markers_change() -> None:
    """What is known of the column as another kind goes; the rest stays; the same again changes nothing."""
    found = alteration.altered(SCHEMA, {"zip": "category", "a": "number"}, ["-", "NA"])
    assert found.columns == [A, Column(name="zip", kind="category", missing=True, missing_values=["?"])]
    assert found.missing_values == ["NA", "-"]
    assert alteration.altered(found, {"zip": "category"}, ["-"]) == found


@pytest.mark.parametrize(
    ("kinds", "missing", "part"),
    [
        ({"b": "ignore"}, [], "no column 'b'. It has: a, zip"),
        ({"y": "ignore"}, [], "is the target"),
        ({"a": "ignore", "zip": "ignore"}, [], "at least 1 item"),
        ({}, [" NA"], "spaces around it"),
    ],
)
def test_nonsense_is_refused(kinds: dict[str, alteration.Choice], missing: list[str], part: str) -> None:
    with pytest.raises(BadSchema, match=part) as caught:
        alteration.altered(SCHEMA, kinds, missing)
    assert caught.value.exit == Exit.USAGE


def test_choices_of_the_command_line() -> None:
    """A column's name may have an equals sign; unknown kinds are refused with those there are."""
    assert alteration.choices(["a=b=category", "c=ignore"]) == {"a=b": "category", "c": "ignore"}
    for wrong in ("a", "a=colour", "=number"):
        with pytest.raises(BadSchema, match="Kinds: number, integer"):
            alteration.choices([wrong])


def test_categories_come_from_the_data(home: Home) -> None:
    """A column of numbers that becomes one of names lists the names that the rows have."""
    home.segments.mkdir()
    table = pa.table({"a": [1.0, 2.5, 1.0], "zip": pa.array([70, None, 9], pa.int64()), "y": ["0", "1", "0"]})
    rows_of = rows.with_provenance(table, ["a" * 64], [3], np.arange(3), datetime(2026, 1, 1, tzinfo=UTC), "file")
    segment = segments.write(home.segments, [rows_of]).place()
    with closing(Journal.open(home.journal)) as journal:
        journal.accept(segment.record, [a_drop()])
    found = alteration.altered(SCHEMA, {"zip": "category"}, [], home)
    assert found.columns[1].categories == ["70", "9"]


def test_overview_of_thousands_of_columns_is_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    """What is unusual is listed, the others are counted."""
    many = Schema(target="y", classes=["0", "1"], columns=[Column(name=f"c{i}", kind="number") for i in range(3000)])
    lines = overview.of_schema(many)
    assert len(lines) == 3001
    overview.show(lines)
    shown = capsys.readouterr().out
    assert shown.count("\n") < 10
    assert "3000 number" in shown
