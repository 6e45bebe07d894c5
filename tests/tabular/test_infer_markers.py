"""retraind.daemon.tabular.infer_schema: texts that stand for missing values, and single wrong cells."""

import functools
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from inferring import check, draft_of, schema_of

from retraind.daemon.schema import cell_notation
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Task
from retraind.daemon.tabular import rows

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
        remarks[0] == "'NA' is read as a missing value, 6 times (species 1, bill 1, mass 1, sex 1, seen 1, ringed 1)."
    )
    assert remarks[1] == "'?' is read as a missing value, 1 times (mass 1)."
    assert "without a label, which no model is trained on: 1." in remarks[2]


@functools.cache
def numbers_of_blanks(target: str) -> str:
    """What models see of PENGUINS where nothing stands for a missing value."""
    with tempfile.TemporaryDirectory() as folder:
        return str(numbers_of(PENGUINS.replace("NA", "").replace("?", ""), target, Path(folder)))


@pytest.mark.parametrize(
    "marker", sorted(cell_notation.MARKERS - {*cell_notation.SPREADSHEET[4:]} | {" ", "#NV", "#N/D"})
)
def test_file_with_markers_gives_the_same_schema_as_with_blanks(tmp_path: Path, marker: str) -> None:
    """Each of the texts that the world writes, in every kind of column and in the target; the models see the same numbers."""
    text = re.sub(r"NA|\?", lambda _: marker, PENGUINS)
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
