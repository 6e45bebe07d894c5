"""retraind.daemon.tabular.infer_schema: numbers and dates as people write them."""

from pathlib import Path
from typing import Literal

import pyarrow as pa
import pytest
from example_counts import some
from hypothesis import given, settings
from hypothesis import strategies as st
from inferring import check, schema_of

from retraind.daemon.core.errors import BadSchema
from retraind.daemon.ingest.reading.late_labels import plain
from retraind.daemon.schema.cell_notation import Notation, Order
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.row_encoding import encode
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import column_types, infer_schema, rows


@pytest.mark.parametrize(
    ("text", "decimal"),
    [
        ("x;z;y\n1,5;2;a\n-2,25e1;3;b\n", ","),
        ("x\tz\ty\n1,5\t2\ta\n2\t3\tb\n", ","),
        ("x;z;y\n1.5;2;a\n2;3;b\n", "."),
        ("x;z;y\n1,5;2.5;a\n2;3;b\n", "."),
        ("x;z;y\n1;2;a\n2;3;b\n", "."),
        ('x,z,y\n"1,5",2,a\n2,3,b\n', "."),
        ("x;z;y\n1,5;red;1,5\n2;blue;2,5\n", ","),
    ],
)
def test_decimal_comma_is_recognised_by_the_numbers(tmp_path: Path, text: str, decimal: Literal[".", ","]) -> None:
    """Only where the comma is not the delimiter, and more columns speak for it than against it."""
    inferred = schema_of(tmp_path, text)
    assert inferred.decimal == decimal
    assert not check(text.encode(), inferred).bad
    if decimal == ",":
        assert inferred.columns[0].kind == "number"


# Notations: how numbers and dates are written

FORMATS = [
    (["1,234", "12", "1,234,567.5"], "number", [1234, 12, 1234567.5]),
    (["$1000.00", "-$2.5", "$ 3,000", "$-7"], "number", [1000, -2.5, 3000, -7]),
    (["12.5%", "7 %", "0.1"], "number", [12.5, 7, 0.1]),
    (["1.234,56", "7,5", "12"], "number", [1234.56, 7.5, 12]),
    (["1 234,5 €", "1\u00a0234 €", "7€"], "number", [1234.5, 1234, 7]),
    (["1'234.50", "7"], "number", [1234.5, 7]),
    (["31/01/2024", "01/02/2024"], "date", [19753, 19754]),
    (["31.01.2024", "1.2.2024"], "date", [19753, 19754]),
    (["1/31/2024 1:30 PM", "02/01/2024 12:00 am"], "date", [19753.5625, 19754]),
    (["2024/01/31 06:00", "2024-02-01"], "date", [19753.25, 19754]),
]


@pytest.mark.parametrize(("texts", "kind", "values"), FORMATS, ids=[one[0][0] for one in FORMATS])
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_numbers_and_dates_are_read_as_people_write_them(
    tmp_path: Path, texts: list[str], kind: str, values: list[float], delimiter: str
) -> None:
    """The notation stands in the schema; a drop, one cell alone, and JSON are read by it, and plain cells as ever."""
    text = "".join(f'"{cell}"{delimiter}{at % 2}\n' for at, cell in enumerate(texts * 2))
    inferred = schema_of(tmp_path, f"x{delimiter}y\n{text}")
    [column] = inferred.columns
    assert column.kind == kind
    assert (
        rows.matrix(check(f"x{delimiter}y\n{text}".encode(), inferred).table, inferred).ravel().tolist() == values * 2
    )
    for cell, value in zip(texts, values, strict=True):
        assert (
            rows.matrix(check(f'x{delimiter}y\n"{cell}"{delimiter}1\n'.encode(), inferred).table, inferred)[0, 0]
            == value
        )
        assert encode(inferred, [cell]) == [value]
    assert Schema.model_validate_json(inferred.dump()) == inferred


def test_target_has_a_notation_too(tmp_path: Path) -> None:
    """Prices with a currency are values, in drops and as late labels."""
    text = "x,y\n" + "".join(f'{i},"${i},{i}00.50"\n' for i in range(1, 10))
    inferred = schema_of(tmp_path, text)
    assert (inferred.task, inferred.notation and inferred.notation.unit) == ("regression", "$")
    assert check(text.encode(), inferred).table["y"].to_pylist() == [i * 1100 + 0.5 for i in range(1, 10)]
    assert plain("$1,100.50", inferred) == "1100.5"


def test_date_that_may_be_two_is_asked_for(tmp_path: Path) -> None:
    """The order is never guessed: a flag gives it, unless a day above 12 shows it."""
    text = "on,y\n01/02/2024,a\n03/04/2024,b\n"
    with pytest.raises(BadSchema, match=r"can be read in two ways: in '01/02/2024'.*--dates day/month/year"):
        schema_of(tmp_path, text)
    orders: dict[Order, int] = {"day/month/year": 19754, "month/day/year": 19724}
    for order, day in orders.items():
        inferred = infer_schema.of(tmp_path / "own.csv", "y", order=order).schema
        assert inferred.columns[0].minimum == day
    clear = schema_of(tmp_path, text + "13/04/2024,a\n")
    assert clear.columns[0].notation == Notation(order="day/month/year")


@pytest.mark.parametrize(
    "texts", [["007", "0,5"], ["SKU 100", "SKU 200"], ["$5", "€5"], ["1.2.3", "1.2.4"], ["555-1234", "555-1235"]]
)
def test_names_with_digits_stay_names(tmp_path: Path, texts: list[str]) -> None:
    text = "x,y\n" + "".join(f'"{cell}",{at % 2}\n' for at, cell in enumerate(texts * 5))
    assert schema_of(tmp_path, text).columns[0].kind == "category"


NOTED = [
    Notation(thousands=",", unit="$"),
    Notation(decimal=",", thousands="."),
    Notation(thousands="'", unit="%"),
    Notation(decimal=",", thousands=" "),
]


@settings(max_examples=some(100), deadline=None)
@given(
    st.sampled_from(NOTED),
    st.lists(st.text("0123456789.,'$% +-", max_size=9), min_size=1, max_size=5),
)
def test_a_text_says_the_same_alone_and_in_a_column(notation: Notation, texts: list[str]) -> None:
    """Python and Arrow read numbers of a notation alike."""
    values = column_types.coerce(
        pa.array(texts, pa.string()), Column(name="x", kind="number", missing=True, notation=notation)
    )
    for text, value in zip(texts, values.values.to_pylist(), strict=True):
        number = notation.number(text.strip())
        assert number is None or number == value


@pytest.mark.parametrize(
    ("order", "texts", "days"),
    [
        ("day/month/yy", ["31/12/69", "01/01/70"], [-1, 0]),
        ("month/day/yy", ["12/31/69", "1/1/70"], [-1, 0]),
        ("yy/month/day", ["68-12-31", "70-01-01"], [36159, 0]),
    ],
)
def test_year_of_two_digits_is_read_where_it_is_asked_for(
    tmp_path: Path, order: Order, texts: list[str], days: list[int]
) -> None:
    """Never guessed: without the flag they stay texts, and the table says which flag reads them, and how."""
    own = tmp_path / "own.csv"
    own.write_text("on,n,y\n" + "".join(f"{text},{n},{'ab'[n % 2]}\n" for n, text in enumerate(texts)))
    without = infer_schema.of(own, "y")
    assert without.schema.columns[0].kind == "category"
    assert "two-digit years? --dates" in without.notes["on"]
    assert order in without.notes["on"]
    inferred = infer_schema.of(own, "y", order=order).schema
    assert (inferred.columns[0].kind, inferred.columns[0].notation) == ("date", Notation(order=order))
    checked = check(own.read_bytes(), inferred).table
    assert rows.matrix(checked, inferred)[:, 0].tolist() == days
    assert [encode(inferred, [text, 1])[0] for text in texts] == days


def test_short_years_do_not_hide_the_order_of_long_ones(tmp_path: Path) -> None:
    """One flag tells both: the order of a file's dates is one, however many digits a year has."""
    text = "on,till,y\n01/02/2024,01/02/24,a\n03/04/2024,03/04/24,b\n"
    (tmp_path / "own.csv").write_text(text)
    inferred = infer_schema.of(tmp_path / "own.csv", "y", order="day/month/yy").schema
    assert [one.minimum for one in inferred.columns] == [19754, 19754]
