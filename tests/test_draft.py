"""daemon.draft and daemon.bootstrap: the first schema of a home."""

from pathlib import Path

import pytest

from daemon import bootstrap, draft, rows
from daemon.errors import BadSchema, Exit
from daemon.home import Home
from daemon.schema import Schema, load


def schema_of(tmp_path: Path, text: str | bytes, target: str = "y") -> Schema:
    path = tmp_path / "own.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return draft.schema_of(path, target)


def test_columns_are_what_their_cells_are(tmp_path: Path) -> None:
    """Numbers with their range, categories in order, and whether a cell is missing; the target may stand anywhere."""
    found = schema_of(tmp_path, "plan,y,age,fee\nplus,no,30,\nbasic,yes,-1e1,2.5\n,no,7,\n")
    plan, age, fee = found.columns
    assert (plan.kind, plan.missing, plan.categories) == ("category", True, ["basic", "plus"])
    assert (age.kind, age.missing, age.minimum, age.maximum) == ("number", False, -10.0, 30.0)
    assert (fee.kind, fee.missing, fee.minimum, fee.maximum) == ("number", True, 2.5, 2.5)
    assert (found.target, found.classes) == ("y", ["no", "yes"])


@pytest.mark.parametrize(
    ("cells", "classes"),
    [("b a b", ["a", "b"]), ("10 2 1", ["1", "2", "10"]), ("1 a 10", ["1", "10", "a"]), ("0.5 -1", ["-1", "0.5"])],
)
def test_classes_are_in_the_order_people_expect(tmp_path: Path, cells: str, classes: list[str]) -> None:
    """By number where all names are numbers, else by letter."""
    text = "x,y\n" + "".join(f"1,{cell}\n" for cell in cells.split())
    assert schema_of(tmp_path, text).classes == classes


def test_one_text_among_numbers_makes_a_category(tmp_path: Path) -> None:
    """A column is a number only if every cell is one."""
    assert schema_of(tmp_path, "x,y\n1,a\nn/a,b\n").columns[0].categories == ["1", "n/a"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("x,z\n1,2\n", "no column 'y'. It has: x, z"),
        ("", "empty"),
        ("x,y\n", "no rows"),
        ("x,y\n1\n", "1 cells"),
        (b"x,y\n\xff,a\n", "UTF-8"),
        ("x,y\n1,a\n2,a\n", "fewer than two classes"),
        ("x,y\n,a\n,b\n", "'x' is empty"),
        ("y\na\nb\n", "columns"),
        ("_drop,y\n1,a\n2,b\n", "reserved"),
        ("x,y\n" + "".join(f"t{i},{i % 2}\n" for i in range(101)), "'x' has 101 different texts"),
        ("x,y\n" + "".join(f"1,{i}\n" for i in range(101)), "101 different values"),
    ],
)
def test_file_that_gives_no_schema_is_refused(tmp_path: Path, text: str | bytes, part: str) -> None:
    """The complaint names the file and what to change."""
    with pytest.raises(BadSchema) as caught:
        schema_of(tmp_path, text)
    assert part in str(caught.value)
    assert "own.csv" in str(caught.value)
    assert caught.value.exit == Exit.USAGE


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """A wrong path, and a folder, are a sentence and no traceback."""
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(BadSchema, match="Name a CSV file"):
            draft.schema_of(path, "y")


def test_draft_takes_the_file_it_was_made_of(tmp_path: Path) -> None:
    """The file can be dropped as it is, and so can the schema's own text."""
    text = "plan,y,age,fee\nplus,0,30,\nbasic,1,-1e1,2.5\n,0,7,\n"
    found = schema_of(tmp_path, text)
    assert len(rows.parse(text.encode(), "own.csv", found)) == 3
    (tmp_path / "schema.json").write_bytes(found.dump())
    assert load(tmp_path / "schema.json") == found


# Iris


def test_new_home_gets_iris(home: Home) -> None:
    """150 rows wait in the inbox, and the schema is the one that a draft of the file would be."""
    assert bootstrap.iris(home)
    drop = home.inbox / bootstrap.NAME
    found = load(home.schema)
    assert found == draft.schema_of(drop, bootstrap.TARGET)
    assert found is not None
    table = rows.parse(drop.read_bytes(), drop.name, found).table
    assert table.num_rows == 150
    assert table["species"].value_counts().to_pylist() == [
        {"values": name, "counts": 50} for name in ("setosa", "versicolor", "virginica")
    ]


def test_home_with_a_schema_or_data_is_left_alone(home: Home) -> None:
    """Iris comes once; what somebody has begun is theirs."""
    bootstrap.iris(home)
    (home.inbox / bootstrap.NAME).unlink()
    assert not bootstrap.iris(home)
    home.schema.unlink()
    (home.data / ".git").mkdir()
    assert not bootstrap.iris(home)
    assert not (home.inbox / bootstrap.NAME).exists()
