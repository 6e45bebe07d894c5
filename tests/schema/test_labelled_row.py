"""retraind.daemon.schema.labelled_row: one labelled row over HTTP becomes a drop."""

import math
from typing import Any

import pytest
from conftest import names

from retraind.daemon.core.errors import InvalidFeatures
from retraind.daemon.core.home import Home
from retraind.daemon.core.inbox_names import ignored
from retraind.daemon.core.settings import Inbox
from retraind.daemon.schema import labelled_row
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.labelled_row import Sample
from retraind.daemon.schema.row_encoding import encode
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import rows

SCHEMA = Schema(
    target="kind",
    classes=["a", "b"],
    columns=[Column(name="size", kind="number"), Column(name="colour", kind="category", missing=True)],
)


@pytest.mark.parametrize("features", [[1, None], [1.0, "red"], {"size": 1}, {"colour": "red", "size": 1.5}])
@pytest.mark.parametrize("target", ["b", 1])
def test_sample_means_the_row_it_was_made_of(features: Any, target: Any) -> None:
    """Lists and objects, names and codes: reading the drop gives the numbers that serving computes."""
    made = labelled_row.make(SCHEMA, features, target)
    read = rows.check(rows.sample_cells(made, SCHEMA), SCHEMA, Inbox()).table
    assert rows.matrix(read, SCHEMA).tolist() == [encode(SCHEMA, features)]
    assert rows.codes(read, SCHEMA).tolist() == [1]


@pytest.mark.parametrize(("features", "target"), [([1], "a"), ([math.nan, None], "a"), ([1, None], "c"), ("1", "a")])
def test_bad_sample_is_refused_before_it_is_a_file(features: Any, target: Any) -> None:
    """What does not fit the schema never reaches the inbox."""
    with pytest.raises(InvalidFeatures):
        labelled_row.make(SCHEMA, features, target)


def test_same_sample_twice_is_two_drops(home: Home) -> None:
    """Without a key two equal samples differ in their id, so both count."""
    made = [labelled_row.make(SCHEMA, [1, None], "a") for _ in range(2)]
    assert made[0].name != made[1].name
    assert made[0].dump() != made[1].dump()
    assert [labelled_row.drop(home, one) for one in made] == [True, True]
    assert len(names(home.inbox)) == 3  # and rejected/


def test_same_key_is_one_drop(home: Home) -> None:
    """With the same Idempotency-Key the file is the same, byte for byte, and the second one changes nothing."""
    first, again = (labelled_row.make(SCHEMA, [1, None], "a", key="k\n/../é") for _ in range(2))
    other = labelled_row.make(SCHEMA, [1, None], "a", key="other")
    assert first == again != other
    assert [labelled_row.drop(home, one) for one in (first, again, other)] == [True, False, True]
    assert (home.inbox / first.name).read_bytes() == again.dump()
    assert not ignored(first.name)


def test_id_can_name_no_other_file() -> None:
    """The name follows from the id alone, which is hexadecimal."""
    for bad in ("../" * 10 + "ab", "A" * 32, "a" * 31):
        with pytest.raises(ValueError, match="id"):
            Sample(id=bad, features={}, target="a")
