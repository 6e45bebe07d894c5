"""retraind.daemon.tabular.infer_schema, retraind.daemon.tabular.infer_column and retraind.daemon.service.bootstrap: the first schema of a home."""

import itertools
from pathlib import Path

import pyarrow as pa
import pytest
from example_counts import some
from hypothesis import given, settings
from hypothesis import strategies as st
from inferring import check, draft_of, schema_of

from retraind.daemon.core.home import Home
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema, Task, load
from retraind.daemon.service import bootstrap
from retraind.daemon.tabular import column_types, infer_schema
from retraind.daemon.tabular.infer_column import ColumnProfile


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


def test_ignored_column_is_not_read() -> None:
    """Whether drops have it or not; written as a column of the kind `ignore` it is the same."""
    x = {"name": "x", "kind": "number"}
    ignored = {"name": "z", "kind": "ignore"}
    reduced = Schema.model_validate({"target": "y", "classes": ["a", "b"], "columns": [ignored, x]})
    assert (reduced.features, reduced.ignored) == (["x"], ["z"])
    for text in (b"x,y\n1,a\n", b"z,x,y\nq,1,a\n"):
        assert check(text, reduced, extra_columns="reject").table.to_pylist() == [{"x": 1, "y": "a"}]
