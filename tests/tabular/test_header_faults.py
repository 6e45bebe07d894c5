"""retraind.daemon.core.validation: all faults of a header at once, and what may be meant."""

import pytest
from checking import SCHEMA, check

from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.core.validation import header_faults, near_names


def test_all_faults_of_a_header_are_named_with_the_next_step() -> None:
    header = ["Kunde", "Umsatz netto", "Anzahl Anrufe", "Ort"]
    assert header_faults.missing(["Umsatz", "Anrufe", "Alter"], header, {"Ort"}) == (
        "The columns 'Umsatz', 'Anrufe', 'Alter' are missing; the header has: Kunde, Umsatz netto, Anzahl Anrufe, Ort. "
        "Is 'Umsatz netto' 'Umsatz'? Is 'Anzahl Anrufe' 'Anrufe'? Rename them in the file."
    )
    with pytest.raises(InvalidDrop) as caught:
        check("Size,price,extra\n1,2,3\n", SCHEMA)
    assert "'size', " in caught.value.reason
    assert "Is 'Size' 'size'?" in caught.value.reason
    assert "The columns 'Size', 'price', 'extra' are not in the schema" in caught.value.reason


@pytest.mark.parametrize(
    ("name", "other", "close"),
    [
        ("gekündigt", "gekuendigt", True),
        ("gekündigt", "Gekundigt", True),
        ("monthly_fee", "Monthly Fee", True),
        ("customer_id", "customerid", True),
        ("Umsatz", "Umsatz netto", True),
        ("age", "wage", True),
        ("age", "plan", False),
        ("x", "y", False),
    ],
)
def test_names_that_may_mean_the_same(name: str, other: str, close: bool) -> None:
    assert near_names.like(name, [other, "something else"]) == ([other] if close else [])
