"""daemon.tabular.infer_schema, daemon.tabular.infer_column and daemon.service.bootstrap: the first schema of a home."""

import functools
import gzip
import itertools
import tempfile
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest
from example_counts import some
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core.errors import BadSchema, Exit
from daemon.core.home import Home
from daemon.core.settings import Inbox
from daemon.ingest.reading.late_labels import plain
from daemon.schema import cell_notation
from daemon.schema.cell_notation import Notation, Order
from daemon.schema.column import Column
from daemon.schema.row_encoding import encode
from daemon.schema.schema import Schema, Task, load
from daemon.service import bootstrap
from daemon.tabular import column_types, csv_table, file_content, infer_schema, rows
from daemon.tabular.file_content import Content
from daemon.tabular.infer_column import ColumnProfile
from daemon.tabular.schema_draft import Draft


def draft_of(folder: Path, text: str | bytes, target: str = "y", task: Task | None = None) -> Draft:
    path = folder / "own.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return infer_schema.of(path, target, task)


def schema_of(folder: Path, text: str | bytes, target: str = "y", task: Task | None = None) -> Schema:
    return draft_of(folder, text, target, task).schema


def check(text: bytes, schema: Schema, **policy: Any) -> rows.Checked:
    content = Content.of(text)
    header = csv_table.examine(content, [*schema.features, schema.target])
    return rows.check(next(csv_table.chunks(content, header)).table, schema, Inbox(**policy))


def test_columns_are_what_their_cells_are(tmp_path: Path) -> None:
    """Kinds with their range, categories in order, and whether a cell is missing; the target may stand anywhere."""
    lines = [
        "plan,y,age,fee,left,since,zip,_line",
        "plus,no,30,,true,2026-01-31,0070,1",
        "basic,yes,-1,2.5,False,,1234,2",
        ",no, 7,-1e1,TRUE,1970-01-02T12:00Z,99,3",
    ]
    inferred = schema_of(tmp_path, "\n".join(lines))
    assert inferred.columns == [
        Column(name="plan", kind="category", missing=True, categories=["basic", "plus"]),
        Column(name="age", kind="integer", minimum=-1, maximum=30),
        Column(name="fee", kind="number", missing=True, minimum=-10, maximum=2.5),
        Column(name="left", kind="boolean"),
        Column(name="since", kind="date", missing=True, minimum=1.5, maximum=20_484),
        Column(name="zip", kind="category", categories=["0070", "1234", "99"]),
    ]
    assert (inferred.task, inferred.target, inferred.classes) == ("classification", "y", ["no", "yes"])


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", "0"], "integer"),
        (["1", "true"], "boolean"),
        (["1.0", "2"], "number"),
        (["1e3"], "number"),
        (["9007199254740993", "1" * 20], "number"),
        (["0", "0.5"], "number"),
        (["00", "1"], "category"),
        (["n/a", "1"], "integer"),
        (["nan", "1.5"], "number"),
        (["-", "2026-02-28"], "date"),
        (["NULL", "true"], "boolean"),
        (["NA", "a", "b"], "category"),
        (["NA", "?"], "every cell is empty or one of"),
        (["2026-02-30"], "category"),
        (["2026-02-28", "1"], "category"),
        (["yes", "no"], "category"),
        ([f"{i}.5" for i in range(200)], "number"),
        ([f"2026-01-01T00:{i // 60:02d}:{i % 60:02d}" for i in range(130)], "date"),
        (["", " "], "every cell is empty"),
        ([f"t{i}" for i in range(101)], "more than 100 texts, such as 't0'"),
        (["1"] * 200 + [f"t{i}" for i in range(101)], "more than 100 texts"),
        ([f"0{i}" for i in range(101)], "more than 100 texts"),
    ],
)
def test_kind_is_the_first_that_all_cells_fit(texts: list[str], kind: str) -> None:
    """Whether they come at once or bit by bit; what fits none is left out."""
    for size in (1, 7, 10_000):
        profile = ColumnProfile()
        for i in range(0, len(texts), size):
            profile.add(pa.array(texts[i : i + size]))
        try:
            assert profile.column("c", ".").kind == kind
        except ValueError as error:
            assert kind in str(error)


@settings(max_examples=some(100), deadline=None)
@given(
    st.lists(st.sampled_from(["1", "-2.5", "1,5", "007", "true", "0", "2026-01-31", "", " ", "red", "\x07", "1e400"]))
)
def test_every_cell_surveyed_fits_its_column(texts: list[str]) -> None:
    """What the profile says holds for the very cells it has seen, but for control characters."""
    profile = ColumnProfile()
    profile.add(pa.array(texts, pa.string()))
    for decimal in (".", ","):
        try:
            column = profile.column("c", decimal)
        except ValueError:
            assert not any(text.strip() for text in texts)
            continue
        bad = column_types.coerce(pa.array(texts, pa.string()), column, decimal).bad
        assert [texts[i] for i in bad] == ["\x07"] * len(bad)


@pytest.mark.parametrize(
    ("texts", "classes"),
    [("b a b", ["a", "b"]), ("10 2 1", ["1", "2", "10"]), ("1 a 10", ["1", "10", "a"]), ("1.0 -1.0", ["-1.0", "1.0"])],
)
def test_classes_are_in_the_order_people_expect(tmp_path: Path, texts: str, classes: list[str]) -> None:
    """By number where all names are numbers, else by letter."""
    text = "x,y\n" + "".join(f"1,{cell}\n" for cell in texts.split())
    assert schema_of(tmp_path, text).classes == classes


def test_number_in_several_spellings_is_one_class(tmp_path: Path) -> None:
    """Its name is the shortest of them; so it is among classes that are no numbers."""
    assert schema_of(tmp_path, "x,y\n1,1.0\n2,1\n3,2.0\n4,01\n5,10\n6,2.0\n").classes == ["1", "2.0", "10"]
    assert schema_of(tmp_path, "x,y\n1,1.0\n2,1\n3,none\n").classes == ["1", "none"]


@pytest.mark.parametrize(
    ("values", "times", "task"),
    [
        (["0", "1"], 1, "classification"),
        (["0.0", "1.0", "2.0"], 1, "classification"),
        (["0.5", "1"], 100, "regression"),
        ([str(i) for i in range(20)], 1, "classification"),
        ([str(i) for i in range(21)], 1, "regression"),
        ([str(i) for i in range(21)], 20, "classification"),
        ([str(i) for i in range(100)], 20, "classification"),
        ([str(i) for i in range(101)], 100, "regression"),
        (["01", "02.5"], 1, "classification"),
        (["a", "1.5"], 1, "classification"),
        (["2026-01-01", "2026-01-02"], 1, "classification"),
    ],
)
def test_task_follows_from_the_target(tmp_path: Path, values: list[str], times: int, task: Task) -> None:
    """Numbers with fractions or many values are predicted as numbers; the command line may say otherwise."""
    text = "x,y\n" + "".join(f"1,{value}\n" for value in values * times)
    inferred = schema_of(tmp_path, text)
    assert inferred.task == task
    assert bool(inferred.classes) == (task == "classification")
    other: Task = "regression" if task == "classification" else "classification"
    if len(values) <= 100 and values[0] not in {"a", "01", "2026-01-01"}:
        assert schema_of(tmp_path, text, task=other).task == other


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


def test_what_no_candidate_can_learn_from_is_left_out(tmp_path: Path) -> None:
    """Free text, ids, empty columns, columns without a name: each with its reason; the drops may still have them."""
    header = "x,text,empty,,prediction_id," + "n" * 201 + ",y\n"
    text = header + "".join(f"{i},some {i},,1,{i},1,{i % 2}\n" for i in range(101))
    draft = draft_of(tmp_path, text)
    assert draft.schema.features == ["x"]
    assert list(draft.left_out) == ["text", "empty", "", "prediction_id", "n" * 201]
    assert "more than 100 texts" in draft.left_out["text"]
    assert "empty" in draft.left_out["empty"]
    assert (
        len(check(text.encode().replace(b"prediction_id", b"note"), draft.schema, extra_columns="ignore").good) == 101
    )
    assert draft.schema.ignored == ["text", "empty", "", "n" * 201]


def test_torn_rows_are_counted_and_not_looked_at(tmp_path: Path) -> None:
    """They would be refused when the file is dropped."""
    draft = draft_of(tmp_path, "x,y\n1,a\nz\n2,b\n3,c,d\n")
    assert (draft.torn, draft.schema.classes, draft.schema.columns[0].kind) == (2, ["a", "b"], "integer")


def test_compressed_file_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one larger than what is kept in memory; up to a limit."""
    monkeypatch.setattr(file_content, "SMALL_BYTES", 100_000)
    path = tmp_path / "own.csv.gz"
    path.write_bytes(gzip.compress(b"x,y\n" + b"1,a\n2.5,b\n" * 20_000, 1))
    inferred = infer_schema.of(path, "y").schema
    assert inferred == Schema(
        target="y", classes=["a", "b"], columns=[Column(name="x", kind="number", minimum=1, maximum=2.5)]
    )
    with pytest.raises(BadSchema, match="more than 1000 bytes"):
        infer_schema.of(path, "y", most=1000)
    path.write_bytes(b"x,y\n1,a\n2,b\n")
    with pytest.raises(BadSchema, match="Not a gzip file"):
        infer_schema.of(path, "y")


@pytest.mark.parametrize(
    ("text", "task", "part"),
    [
        ("x,z\n1,2\n", None, "no column 'y'. It has: x, z"),
        ("", None, "empty"),
        ("x,y\n", None, "no rows"),
        ("x,y\n\n1\n", None, "line 3: This row has 1 cells"),
        (b"x,y\n1,\xff\n", None, "line 2: Not UTF-8"),
        ("x,y\n1,a\n2,a\n", None, "fewer than two classes"),
        ("x,y\n1,\n2,\n", None, "fewer than two classes"),
        ("x,y\n1,a\n2,b\n", "regression", "not a number in every row, for example 'a'"),
        ("x,y\n1,\n2,\n", "regression", "not a number"),
        ("x,y\n,a\n,b\n", None, "no columns are left to train on; 'x': every cell is empty"),
        ("y\na\nb\n", None, "no columns are left"),
        ("_drop,y\n1,a\n2,b\n", None, "reserved"),
        ("x,y\n" + "".join(f"1,t{i}\n" for i in range(101)), None, "more than 100 different values"),
        ("x,y\n" + "".join(f"1,{i}\n" for i in range(101)), "classification", "more than 100 different values"),
    ],
)
def test_file_that_gives_no_schema_is_refused(tmp_path: Path, text: str | bytes, task: Task | None, part: str) -> None:
    """The complaint names the file and what to change."""
    with pytest.raises(BadSchema) as caught:
        schema_of(tmp_path, text, task=task)
    assert part in str(caught.value)
    assert "own.csv" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit == Exit.USAGE


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """A wrong path, and a folder, are a sentence and no traceback."""
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(BadSchema, match="Name a CSV file"):
            infer_schema.of(path, "y")


def test_draft_takes_the_file_it_was_made_of(tmp_path: Path) -> None:
    """The file can be dropped as it is, and so can the schema's own text."""
    text = "plan,y,age,fee,new,on\nplus,0,30,,true,2026-01-31\nbasic,1,-1e1,2.5,false,\n,0,7,,,2026-01-31 10:00\n"
    for swap in itertools.product([text, text.replace(",", ";")], ["y", "age", "fee"]):
        inferred = schema_of(tmp_path, *swap)
        checked = check(swap[0].encode(), inferred)
        assert (len(checked.bad), checked.schema is inferred) == (2 if swap[1] == "fee" else 0, True)
        (tmp_path / "schema.json").write_bytes(inferred.dump())
        assert load(tmp_path / "schema.json") == inferred


# Iris


def test_new_home_gets_iris(home: Home) -> None:
    """150 rows wait in the inbox, and the schema is the one that a draft of the file would be."""
    assert bootstrap.iris(home)
    drop = home.inbox / bootstrap.NAME
    saved = load(home.schema)
    assert saved == infer_schema.of(drop, bootstrap.TARGET).schema
    assert saved is not None
    table = check(drop.read_bytes(), saved).table
    assert table.num_rows == 150
    assert table["species"].value_counts().to_pylist() == [
        {"values": name, "counts": 50} for name in ("setosa", "versicolor", "virginica")
    ]


def test_home_with_a_schema_or_data_is_left_alone(home: Home) -> None:
    """Iris is written once; a home that was begun by hand stays as it is."""
    bootstrap.iris(home)
    (home.inbox / bootstrap.NAME).unlink()
    assert not bootstrap.iris(home)
    home.schema.unlink()
    (home.data / ".git").mkdir()
    assert not bootstrap.iris(home)
    assert not (home.inbox / bootstrap.NAME).exists()


def test_an_id_is_no_category_however_few_rows_there_are(tmp_path: Path) -> None:
    """A text that differs in nearly every row says nothing about the next one: it is left out, with the reason."""
    rows = [f"C{number},{'red' if number % 2 else 'blue'},{'yes' if number % 3 else 'no'}" for number in range(30)]
    (tmp_path / "own.csv").write_text("\n".join(["customer,colour,left", *rows]) + "\n")
    draft = infer_schema.of(tmp_path / "own.csv", "left")
    assert draft.schema.features == ["colour"]
    assert draft.left_out == {"customer": "an id: 30 texts in 30 rows, such as 'C0'"}


# Missing values as the world writes them

PENGUINS = (
    """\
species,island,bill,mass,sex,seen,ringed
Adelie,Torgersen,39.1,3750,male,2007-11-11,true
Adelie,Torgersen,NA,NA,NA,NA,false
Gentoo,Biscoe,46.1,4500,female,2007-12-03,NA
Gentoo,Biscoe,50,?,male,2007-12-03,true
NA,Dream,46.5,3500,female,2008-11-09,false
"""
    + "Chinstrap,Dream,46.5,3500,female,2008-11-09,true\n" * 15
)
"""As R writes them."""


def numbers_of(text: str, target: str, folder: Path) -> Any:
    inferred = schema_of(folder, text, target)
    checked = check(text.encode(), inferred)
    return rows.matrix(checked.table, inferred).tolist()


def test_markers_are_recognised_by_the_other_values(tmp_path: Path) -> None:
    """Beside numbers, dates and booleans, and where rare among names; kinds stay, counts and places are said."""
    draft = draft_of(tmp_path, PENGUINS, "species")
    assert [(column.name, column.kind, column.missing, column.missing_values) for column in draft.schema.columns] == [
        ("island", "category", False, []),
        ("bill", "number", True, []),
        ("mass", "integer", True, ["?"]),
        ("sex", "category", True, []),
        ("seen", "date", True, []),
        ("ringed", "boolean", True, []),
    ]
    assert draft.schema.missing_values == ["NA"]
    assert draft.schema.classes == ["Adelie", "Chinstrap", "Gentoo"]
    assert draft.schema.columns[3].categories == ["female", "male"]
    remarks = list(draft.cell_remarks())
    assert (
        remarks[0] == "'NA' is taken for a missing value, 6 times (species 1, bill 1, mass 1, sex 1, seen 1, ringed 1)."
    )
    assert remarks[1] == "'?' is taken for a missing value, 1 times (mass 1)."
    assert "without a label, which no model is trained on: 1." in remarks[2]


@functools.cache
def numbers_of_blanks(target: str) -> str:
    """What models see of PENGUINS where nothing stands for a missing value."""
    with tempfile.TemporaryDirectory() as folder:
        return str(numbers_of(PENGUINS.replace("NA", "").replace("?", ""), target, Path(folder)))


@pytest.mark.parametrize("marker", sorted(cell_notation.MARKERS | {" "}))
def test_file_with_markers_gives_the_same_schema_as_with_blanks(tmp_path: Path, marker: str) -> None:
    """Each of the texts that the world writes, in every kind of column and in the target; the models see the same numbers."""
    text = PENGUINS.replace("NA", marker).replace("?", marker)
    for target in ("species", "mass"):
        ours = numbers_of(text, target, tmp_path)
        assert str(ours) == numbers_of_blanks(target)  # NaN is not equal to itself
        assert len(ours) == 19 if target == "species" else 18


def test_frequent_marker_among_names_is_a_name(tmp_path: Path) -> None:
    """`None` may be a kind of alley, `NA` a continent, `-` a class: where they are not rare they stay what they are."""
    text = "alley,size,y\n" + "None,1,+\nGrvl,NA,-\nPave,3,+\n" * 10
    inferred = schema_of(tmp_path, text)
    assert inferred.columns[0] == Column(name="alley", kind="category", categories=["Grvl", "None", "Pave"])
    assert (inferred.classes, inferred.missing_values) == (["+", "-"], ["NA"])
    assert len(check(text.encode(), inferred).good) == 30
    both = schema_of(tmp_path, text.replace("None", "NA"))
    assert both.columns[0].categories == ["Grvl", "NA", "Pave"]
    assert check(text.replace("None", "NA").encode(), both).table["alley"].null_count == 0


@pytest.mark.parametrize("task", [None, "regression"])
def test_target_that_is_missing_changes_no_task(tmp_path: Path, task: Task | None) -> None:
    """A price that is not known yet makes no class of its own, however often it is missing."""
    text = "x,y\n" + "".join(f"{i},{i / 3:.3f}\n{i},N/A\n" for i in range(50))
    draft = draft_of(tmp_path, text, task=task)
    assert (draft.schema.task, draft.schema.missing_values, draft.unlabelled) == ("regression", ["N/A"], 50)
    classes = draft_of(tmp_path, "x,y\n" + "1,a\n2,b\n3,NULL\n" * 9)
    assert (classes.schema.classes, classes.unlabelled) == (["a", "b"], 9)
    assert schema_of(tmp_path, "x,y\n1,EU\n2,NA\n").classes == ["EU", "NA"]


@pytest.mark.parametrize("slip", ["3O.5", "unknown", "Total"])
def test_one_wrong_cell_in_a_thousand_is_a_slip(tmp_path: Path, slip: str) -> None:
    """The column stays one of numbers, the cell is a bad row, and its line is named, torn rows and quotes counted."""
    lines = [f"{i}.5,{i % 7},2026-01-{i % 28 + 1:02d},{i % 2}" for i in range(1000)]
    lines[700] = f"{slip},{slip},{slip},1"
    text = "x,n,on,y\n" + "torn\n" + "\n".join(lines) + "\n"
    draft = draft_of(tmp_path, text)
    assert [column.kind for column in draft.schema.columns] == ["number", "integer", "date"]
    assert draft.findings["x"].slips == draft.findings["on"].slips == {slip: 703}
    assert any(f"'x' has 1 wrong cells ('{slip}' in line 703)" in told for told in draft.cell_remarks())
    assert len(check(text.encode(), draft.schema).bad) == 1
    few = "x,y\n" + "1,a\n2,b\n" * 20 + f"{slip},a\n"
    assert schema_of(tmp_path, few).columns[0].kind == "category"


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


# Ids, and files that are no plain table


def test_whole_numbers_that_tell_rows_apart_are_suspected(tmp_path: Path) -> None:
    """One that is called like an id is left out; another is kept, for it may be measured, and named."""
    header = "Unnamed: 0,customer_id,income,rownames,orderId,idle,y\n"
    text = header + "".join(f"{i},{i * 7 % 101},{i * 11 % 103},{i + 1},{i % 9},{i % 3},{i % 2}\n" for i in range(100))
    draft = draft_of(tmp_path, text)
    assert draft.schema.features == ["income", "orderId", "idle"]
    assert draft.left_out["rownames"] == draft.left_out["Unnamed: 0"] == "a row number"
    assert draft.left_out["customer_id"] == "an id: whole numbers that differ in every row"
    assert draft.notes == {
        "income": "differs in every row: an id? --ignore 'income' leaves it out",
        "orderId": "an id that repeats? train.group = 'orderId' keeps its rows on one side of a score, --ignore 'orderId' leaves it out",
    }
    assert (
        infer_schema.of(tmp_path / "own.csv", "y", kinds={"rownames": "integer"}).schema.columns[1].name == "rownames"
    )


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("5.1,3.5,setosa\n4.9,3.0,setosa\n", "begins with data (5.1, 3.5, setosa): put a line with the names"),
        ("Sales of 2024\n\nx,y\n1,a\n2,b\n", "line 3, looks like the header: remove the lines above it"),
        ("x;;\nmade by;me;\nx;y;z\n1;a;b\n", "line 3, looks like the header"),
        ('x,y\n"a \\"b, c",1\n"d",2\n"e",3\n', "quote in a cell as"),
    ],
)
def test_file_without_a_plain_header_is_named_for_what_it_is(tmp_path: Path, text: str, part: str) -> None:
    """No header, titles above it, quotes with backslashes."""
    path = tmp_path / "own.csv"
    path.write_text(text)
    try:
        draft = infer_schema.of(path, "y")
    except BadSchema as error:
        assert part in str(error)
    else:
        assert draft.backslashes
        assert part in draft.BACKSLASHES


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [";", "|", ","])
def test_line_that_tells_the_delimiter_is_understood(tmp_path: Path, mark: str, end: str) -> None:
    """As Excel writes it; lines of bad rows are counted with it."""
    text = end.join([f"sep={mark}", f"x{mark}y", f"1{mark}a", f"bad{mark}b", f"2{mark}b", ""]).encode()
    header = csv_table.examine(Content.of(text), ["x", "y"])
    assert (header.names, header.delimiter, header.line) == (("x", "y"), mark, 2)
    assert next(csv_table.chunks(Content.of(text), header)).table["x"].to_pylist() == ["1", "bad", "2"]
    assert list(csv_table.locate(Content.of(text), header, [1])) == [(1, 4, f"bad{mark}b")]
    assert schema_of(tmp_path, text).classes == ["a", "b"]


def test_ignored_column_is_not_read() -> None:
    """Whether drops have it or not; written as a column of the kind `ignore` it is the same."""
    x = {"name": "x", "kind": "number"}
    ignored = {"name": "z", "kind": "ignore"}
    reduced = Schema.model_validate({"target": "y", "classes": ["a", "b"], "columns": [ignored, x]})
    assert (reduced.features, reduced.ignored) == (["x"], ["z"])
    for text in (b"x,y\n1,a\n", b"z,x,y\nq,1,a\n"):
        assert check(text, reduced, extra_columns="reject").table.to_pylist() == [{"x": 1, "y": "a"}]


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
    assert "two digits? --dates" in without.notes["on"]
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
