"""retraind.daemon.tabular: columns of numbers with some other cells, which `init` explains, and notations of a chosen kind."""

from pathlib import Path

import pytest
from inferring import check, schema_of

from retraind.daemon.core.errors import BadSchema
from retraind.daemon.schema.cell_notation import Notation
from retraind.daemon.tabular import infer_schema

EUROS = Notation(decimal=",", thousands=".", unit="€")


def money(other: str, rows: int = 600) -> str:
    """A file of German Excel: a column of money of which some cells are `other`, a number, and the target."""
    lines = (
        f"{other if at % 60 == 7 else f'1.{at:03},50 €'};{at % 9};{'ja' if at % 3 else 'nein'}" for at in range(rows)
    )
    return "Umsatz;Anrufe;gekündigt\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize("marker", ["#NV", "#N/A", "#NULL!", "#DIV/0!", "#WERT!", "#N/D", "#VALEUR!", "#¡DIV/0!"])
def test_errors_of_spreadsheets_are_missing_values(tmp_path: Path, marker: str) -> None:
    """In German, French and Spanish as well: the column stays one of numbers, and the schema lists the text."""
    schema = schema_of(tmp_path, money(marker), "gekündigt")
    assert [(column.name, column.kind) for column in schema.columns] == [("Umsatz", "number"), ("Anrufe", "integer")]
    assert (schema.columns[0].notation, schema.missing_values, schema.decimal) == (EUROS, [marker], ",")
    assert not check(money(marker).encode(), schema).bad


def test_column_that_is_nearly_of_numbers_is_explained(tmp_path: Path) -> None:
    """How many cells are numbers, which are not and where, and the command that reads them as a missing value."""
    (tmp_path / "own.csv").write_text(money("k.A."))
    draft = infer_schema.of(tmp_path / "own.csv", "gekündigt")
    assert draft.left_out["Umsatz"] == "nearly numbers: 10 of 600 cells are not"
    assert draft.texts == []
    assert draft.mixed == [
        (
            "'Umsatz' is left out, although 590 of 600 cells are numbers such as '1.000,50 €': 10 are not ('k.A.' in line "
            "9). If these mean a missing value: retraind schema --missing k.A. --kind Umsatz=number --notation 'Umsatz=1.000,50 €'"
        )
    ]


def test_person_says_what_means_a_missing_value(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text(money("k.A."))
    draft = infer_schema.of(tmp_path / "own.csv", "gekündigt", missing=["k.A."])
    assert (draft.schema.columns[0].kind, draft.schema.missing_values, draft.mixed) == ("number", ["k.A."], [])
    assert draft.findings["Umsatz"].missing == {"k.A.": 10}


def test_chosen_kind_gets_its_notation_and_wrong_cells_are_counted(tmp_path: Path) -> None:
    """`--kind` reads all cells as this kind; those that do not fit are reported, few or many."""
    (tmp_path / "own.csv").write_text(money("k.A."))
    draft = infer_schema.of(tmp_path / "own.csv", "gekündigt", kinds={"Umsatz": "number"})
    assert draft.schema.columns[0].notation == EUROS
    assert (draft.schema.columns[0].minimum, draft.schema.columns[0].maximum) == (1000.5, 1599.5)
    remarks = list(draft.cell_remarks())
    assert remarks == ["'Umsatz' has 10 wrong cells ('k.A.' in line 9): a row of a drop with such a cell is bad."]
    (tmp_path / "own.csv").write_text("place,y\n" + "Bonn,a\nKiel,b\n" * 60)
    draft = infer_schema.of(tmp_path / "own.csv", "y", kinds={"place": "integer"})
    assert next(iter(draft.cell_remarks())).endswith("Only 0 cells fit: is it of another kind?")


def test_chosen_dates_get_their_order(tmp_path: Path) -> None:
    """Also if some cells are no dates; an order that two readings leave open is asked for."""
    (tmp_path / "own.csv").write_text("day,y\n" + "31.12.2024,a\nsoon,b\n" * 20)
    schema = infer_schema.of(tmp_path / "own.csv", "y", kinds={"day": "date"}).schema
    assert schema.columns[0].notation == Notation(order="day/month/year")
    (tmp_path / "own.csv").write_text("day,y\n" + "01.02.2024,a\nsoon,b\n" * 20)
    with pytest.raises(BadSchema, match="two ways"):
        infer_schema.of(tmp_path / "own.csv", "y", kinds={"day": "date"})


@pytest.mark.parametrize("target", ["Gekuendigt", "Gekündigt", "gekundigt", "gekündig"])
def test_misspelt_target_is_named_with_the_columns(tmp_path: Path, target: str) -> None:
    """Before any row is read: with semicolons and decimal commas, rows would seem torn."""
    (tmp_path / "own.csv").write_text(money("#NV"))
    with pytest.raises(
        BadSchema, match=rf"no column '{target}'. Is it 'gekündigt'\? It has: Umsatz, Anrufe, gekündigt"
    ):
        infer_schema.of(tmp_path / "own.csv", target)
