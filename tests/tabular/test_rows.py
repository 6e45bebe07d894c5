"""retraind.daemon.tabular.rows and retraind.daemon.tabular.column_types: what text cells mean. Plain Python, cell by cell, is the judge."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from checking import HEADER, SCHEMA, check, good

from retraind.daemon.core.errors import InvalidDrop
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import rows
from retraind.daemon.tabular.checks.cells import BadCell


def text_table(columns: Mapping[str, list[str]]) -> pa.Table:
    return pa.table({name: pa.array(texts, pa.string()) for name, texts in columns.items()})


def test_row_has_types_and_schema_order() -> None:
    """Columns stand as in the schema, whatever their order in the file; blanks around a cell do not count."""
    checked = check("kind,colour,note,size\n a , red,\t2, 1 \n")
    assert checked.table.schema.names == ["size", "note", "colour", "kind"]
    assert [str(column.type) for column in checked.table.columns] == ["double", "double", "string", "string"]
    assert checked.table.to_pylist() == [{"size": 1.0, "note": 2.0, "colour": "red", "kind": "a"}]
    assert checked.schema is SCHEMA


def test_only_an_empty_cell_is_missing() -> None:
    """No word means "missing": where a category is called NA or null, that is its name."""
    got = good(HEADER + "1,,,a\n2, ,NA,b\n3,,null,a\n")
    assert [row["colour"] for row in got] == [None, "NA", "null"]
    assert [row["note"] for row in got] == [None] * 3


def test_class_may_be_given_by_code() -> None:
    """Where no class is called by a number."""
    assert [row["kind"] for row in good(HEADER + "1,,,0\n1,,,1\n1,,,b\n")] == ["a", "b", "b"]


def test_label_is_no_code_where_classes_are_called_by_numbers() -> None:
    """A label 1 among classes 3 to 8 is a bad row or a new class; one class that is a number is enough."""
    names = Schema(target="kind", classes=["3", "4", "5", "6", "7", "8"], columns=SCHEMA.columns)
    checked = check(HEADER + "1,,,1\n1,,,0\n1,,,3\n", names)
    assert [row["kind"] for row in checked.table.to_pylist()] == ["3"]
    assert [bad.row for bad in checked.bad] == [0, 1]
    grown = check(HEADER + "1,,,1\n1,,,0\n1,,,3\n", names, new_classes="accept")
    assert [row["kind"] for row in grown.table.to_pylist()] == ["1", "0", "3"]
    mixed = Schema(target="kind", classes=["a", "b", "10"], columns=SCHEMA.columns)
    assert [bad.row for bad in check(HEADER + "1,,,1\n", mixed).bad] == [0]


def test_number_spelt_otherwise_is_the_same_class() -> None:
    """Also among labels that are new; of two classes with one value only the spelling tells."""
    names = Schema(target="kind", classes=["1", "02"], columns=SCHEMA.columns)
    labels = ["1", "1.0", "01", "+1", "1e0", "2", "02", "2.00"]
    text = HEADER + "".join(f"1,,,{label}\n" for label in labels)
    assert [row["kind"] for row in good(text, names)] == ["1"] * 5 + ["02"] * 3
    grown = check(HEADER + "1,,,9.0\n1,,,9\n1,,,09\n", names, new_classes="accept")
    assert [row["kind"] for row in grown.table.to_pylist()] == ["9.0"] * 3
    assert grown.schema.classes == ["1", "02", "9.0"]
    twins = Schema(target="kind", classes=["1", "01"], columns=SCHEMA.columns)
    assert [row["kind"] for row in good(HEADER + "1,,,1\n1,,,01\n", twins)] == ["1", "01"]
    assert [bad.row for bad in check(HEADER + "1,,,1.0\n", twins).bad] == [0]


def test_label_that_differs_in_case_from_a_class_is_pointed_out() -> None:
    """The reason names the class that was probably meant."""
    names = Schema(target="kind", classes=["Not spam", "Spam"], columns=SCHEMA.columns)
    [bad] = check(HEADER + "1,,,not  SPAM\n", names).bad
    assert "Did you mean 'Not spam'?" in bad.reason


@pytest.mark.parametrize(
    ("row", "column", "part"),
    [
        (",2,red,a", "size", "empty"),
        ("x,2,red,a", "size", "'x' is not a number"),
        ("1e999,2,red,a", "size", "too large"),
        ("1,nan,red,a", "note", "'nan' is not a number"),
        ("1,2,r\x07d,a", "colour", "control character"),
        ("1,2,red,c", "kind", "'c' is not a known class. Known classes: a, b"),
        ("1,2,red,", "kind", "empty"),
        ("1,2,red,2", "kind", "'2' is not a known class"),
        ("1,2,red,{cell!r}{0}", "kind", "{0}"),
        ("x,y,r\x07d,c", "size", "'x'"),
        ("1,y,red,c", "note", "'y'"),
        ("1," + "y" * 1000 + ",red,c", "note", "'" + "y" * 80 + "'"),
    ],
)
def test_bad_row_is_named_by_its_first_bad_cell(row: str, column: str, part: str) -> None:
    """The rows around it are good."""
    checked = check(f"{HEADER}1,2,red,a\n{row}\n3,,,b\n")
    assert checked.good.tolist() == [0, 2]
    assert checked.table["size"].to_pylist() == [1, 3]
    assert [(bad.row, bad.column) for bad in checked.bad] == [(1, column)]
    assert part in checked.bad[0].reason
    assert len(checked.bad[0].reason) < 200


def test_column_too_few_is_an_invalid_drop() -> None:
    """Also one that may be empty, because its name may be misspelt; but columns that are added are not in older files."""
    for policy in ("ignore", "reject"):
        with pytest.raises(InvalidDrop, match="the header has: size, note, kind") as caught:
            check("size, note,kind\n1,2,a\n", extra_columns=policy)
        assert (caught.value.line, caught.value.column) == (1, "colour")
    assert good("size,note,kind\n1,2,a\n", extra_columns="add")[0]["colour"] is None
    for header in ("note,colour,kind", "size,note,colour"):
        with pytest.raises(InvalidDrop, match="is missing"):
            check(f"{header}\n1,2,a\n", extra_columns="add")


# Policies


def test_new_class_is_bad_or_a_class() -> None:
    """Accepted, it comes after those there are; one that only bad rows have does not."""
    text = HEADER + "1,,,c\n1,,,a\nx,,,d\n1,,,c\n1,,,\n1,,,e\x07\n"
    assert [bad.row for bad in check(text).bad] == [0, 2, 3, 4, 5]
    checked = check(text, new_classes="accept")
    assert [(bad.row, bad.column) for bad in checked.bad] == [(2, "size"), (4, "kind"), (5, "kind")]
    assert checked.schema.classes == ["a", "b", "c"]
    assert rows.codes(checked.table, checked.schema).tolist() == [2, 0, 2]


def test_number_of_classes_is_limited() -> None:
    """Rows beyond the limit are bad: a model can't be trained on an unlisted target."""
    checked = check(HEADER + "".join(f"1,,,c{i}\n" for i in range(110)), new_classes="accept")
    assert len(checked.schema.classes) == 100
    assert len(checked.good) == 98
    assert "maximum of 100 classes" in checked.bad[0].reason


def test_new_category_is_listed_or_bad() -> None:
    """Accepted ones come after those there are, up to a hundred; a category that only bad rows have does not."""
    text = HEADER + "1,,green,a\n1,,red,a\nx,,black,a\n1,,,a\n"
    checked = check(text)
    assert checked.schema.columns[2].categories == ["red", "blue", "green"]
    assert checked.schema.columns[2].codes == {"red": 0, "blue": 1, "green": 2}
    checked = check(text, new_categories="quarantine")
    assert checked.bad[0] == BadCell(0, "colour", "'green' is not a known category. Known categories: red, blue.")
    assert [bad.row for bad in checked.bad] == [0, 2]
    assert checked.schema is SCHEMA
    many = check(HEADER + "".join(f"1,,c{i},a\n" for i in range(110)))
    assert (len(many.schema.columns[2].categories), len(many.good)) == (100, 110)
    assert check(HEADER + "1,,c1000,a\n", many.schema).schema is many.schema


def test_extra_column_is_left_out_refused_or_added() -> None:
    """Remarks of a file from quarantine are never read."""
    text = "_line,_reason,_column,size,note,colour,kind,when,full,text\n" + "".join(
        f"7,bad,size,1,,,a,2026-01-0{i % 9 + 1},,{i}{'x' * i}\n" for i in range(101)
    )
    with pytest.raises(InvalidDrop, match="'when', 'full', 'text' are not in the schema") as caught:
        check(text)
    assert (caught.value.line, caught.value.column) == (1, "when")
    assert check(text, extra_columns="ignore").table.column_names == [*SCHEMA.features, "kind"]
    checked = check(text, extra_columns="add")
    assert checked.schema.features == [*SCHEMA.features, "when"]
    assert (checked.schema.columns[3].kind, checked.schema.columns[3].missing) == ("date", True)
    assert checked.table["when"][0].as_py() == datetime(2026, 1, 1, tzinfo=UTC)
    assert check(text.replace("2026", "x026", 1), checked.schema, extra_columns="add").bad[0].column == "when"
    assert good(HEADER + "1,,,a\n", checked.schema, extra_columns="add")[0]["when"] is None
    with pytest.raises(InvalidDrop, match="'when' is missing"):
        check(HEADER + "1,,,a\n", checked.schema)
