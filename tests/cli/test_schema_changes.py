"""retraind.daemon.cli.schema_changes and retraind.daemon.cli.report.schema_table: a schema changed and shown by commands."""

import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from subprocess import PIPE, Popen
from threading import Barrier
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from ingesting import Parts
from journal_entries import a_drop

from retraind.daemon.cli import schema_changes, schema_commands
from retraind.daemon.cli.report import schema_table
from retraind.daemon.cli.report.schema_table import Line
from retraind.daemon.cli.schema import notations
from retraind.daemon.core import durable
from retraind.daemon.core.errors import BadSchema, BadSettings, Exit, InvalidDrop, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Inbox
from retraind.daemon.dataset import segment_writer, segments
from retraind.daemon.schema import schema, schema_file
from retraind.daemon.schema.cell_notation import Notation
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.storage.journal import Journal
from retraind.daemon.tabular import rows, schema_growth
from retraind.daemon.tabular.csv_profile import Choice
from retraind.daemon.tabular.schema_draft import Draft

A = Column(name="a", kind="number", minimum=0, maximum=9)
ZIP = Column(name="zip", kind="integer", missing=True, missing_values=["?"])
SCHEMA = Schema(target="y", classes=["0", "1"], missing_values=["NA"], columns=[A, ZIP])


def test_column_leaves_without_a_trap_and_comes_back() -> None:
    """Files with the column are taken, and those without it; when it comes back, rows of between lack it."""
    gone = schema_changes.altered(SCHEMA, {"a": "ignore"}, [])
    assert (gone.features, gone.ignored) == (["zip"], ["a"])
    for names in (["a", "zip", "y"], ["zip", "y"]):
        schema_growth.with_columns(pa.table({name: pa.array([], pa.string()) for name in names}), gone, Inbox())
    with pytest.raises(InvalidDrop, match="retraind schema --ignore"):
        schema_growth.with_columns(
            pa.table({name: pa.array([], pa.string()) for name in ("b", "zip", "y")}), gone, Inbox()
        )
    back = schema_changes.altered(gone, {"a": "number"}, [])
    assert (back.features, back.ignored, back.columns[1].missing) == (["zip", "a"], [], True)


def test_kind_and_markers_change() -> None:
    """What is known of the column as another kind goes; the rest stays; the same again changes nothing."""
    altered = schema_changes.altered(SCHEMA, {"zip": "category", "a": "number"}, ["-", "NA"])
    assert altered.columns == [A, Column(name="zip", kind="category", missing=True, missing_values=["?"])]
    assert altered.missing_values == ["NA", "-"]
    assert schema_changes.altered(altered, {"zip": "category"}, ["-"]) == altered


@pytest.mark.parametrize(
    ("kinds", "missing", "part"),
    [
        ({"b": "ignore"}, [], "no column 'b'. It has: a, zip"),
        ({"y": "ignore"}, [], "is the target"),
        ({"a": "ignore", "zip": "ignore"}, [], "columns: it must have at least 1 entry"),
        ({}, [" NA"], "spaces around it"),
    ],
)
def test_nonsense_is_refused(kinds: dict[str, Choice], missing: list[str], part: str) -> None:
    with pytest.raises(BadSchema, match=part) as caught:
        schema_changes.altered(SCHEMA, kinds, missing)
    assert caught.value.exit == Exit.USAGE


def test_choices_of_the_command_line() -> None:
    """A column's name may have an equals sign; unknown kinds are refused with those there are."""
    assert schema_changes.choices(["a=b=category", "c=ignore"]) == {"a=b": "category", "c": "ignore"}
    for wrong in ("a", "a=colour", "=number"):
        with pytest.raises(BadSchema, match="Kinds: number, integer"):
            schema_changes.choices([wrong])


def test_categories_come_from_the_data(home: Home) -> None:
    """A column of numbers that becomes one of names lists the names that the rows have."""
    home.segments.mkdir()
    table = pa.table({"a": [1.0, 2.5, 1.0], "zip": pa.array([70, None, 9], pa.int64()), "y": ["0", "1", "0"]})
    rows_of = rows.with_provenance(table, ["a" * 64], [3], np.arange(3), datetime(2026, 1, 1, tzinfo=UTC), "file")
    segment = segment_writer.write(home.segments, [rows_of]).place()
    with closing(Journal.open(home.journal)) as journal:
        journal.batches.accept(segment.record, [a_drop()])
    altered = schema_changes.altered(SCHEMA, {"zip": "category"}, [], home)
    assert altered.columns[1].categories == ["70", "9"]


def test_overview_of_thousands_of_columns_is_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    """What is unusual is listed, the others are counted."""
    many = Schema(target="y", classes=["0", "1"], columns=[Column(name=f"c{i}", kind="number") for i in range(3000)])
    lines = schema_table.of_schema(many)
    assert len(lines) == 3001
    schema_table.show(lines)
    shown = capsys.readouterr().out
    assert shown.count("\n") < 10
    assert "3000 number" in shown


def test_change_is_made_to_what_a_drop_let_grow_meanwhile(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon is at work in the home: its new class stays, and so does the change."""
    home.schema.parent.mkdir(parents=True, exist_ok=True)
    home.schema.write_bytes(SCHEMA.dump())
    altered = schema_changes.altered

    def beside(*given: Any) -> Schema:
        if schema.load(home.schema) == SCHEMA:
            home.schema.write_bytes(schema_growth.grown(SCHEMA, classes=["0", "1", "2"]).dump())
        return altered(*given)

    monkeypatch.setattr(schema_changes, "altered", beside)
    schema_changes.change(home, {"a": "ignore"}, [])
    saved = schema.load(home.schema)
    assert saved is not None
    assert (saved.classes, saved.features, saved.ignored) == (["0", "1", "2"], ["zip"], ["a"])


def test_changes_at_the_same_moment_are_all_made(home: Home) -> None:
    """A person's and a drop's: none overwrites the other, whoever comes between the look and the rename."""
    home.schema.parent.mkdir(parents=True, exist_ok=True)
    home.schema.write_bytes(SCHEMA.dump())
    together = Barrier(4)

    def grow(name: str) -> None:
        for _ in range(100):
            saved = schema.load(home.schema)
            assert saved is not None
            if schema_file.write(home.schema, saved, schema_growth.grown(saved, classes=[*saved.classes, name])):
                return
        raise AssertionError("never")

    def change(name: str) -> None:
        together.wait(10)
        grow(name) if name.islower() else schema_changes.change(home, {}, [name])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, ["c", "M", "d", "N"]))
    saved = schema.load(home.schema)
    assert saved is not None
    assert ({*saved.classes}, {*saved.missing_values}) == ({"0", "1", "c", "d"}, {"NA", "M", "N"})


def test_first_schema_of_another_process_stays(home: Home) -> None:
    """Two `init`, or one and a start with the Iris data, look at the same moment: the slower one is refused."""
    home.schema.parent.mkdir(parents=True, exist_ok=True)
    assert schema_file.write(home.schema, None, SCHEMA)
    with pytest.raises(BadSettings, match="already has data"):
        schema_commands._write(
            home, Draft(schema_growth.grown(SCHEMA, target="z"), {}, 0, {}, {}, "", backslashes=False)
        )
    assert schema.load(home.schema) == SCHEMA


def test_change_waits_while_another_process_writes(home: Home) -> None:
    home.schema.parent.mkdir(parents=True, exist_ok=True)
    home.schema.write_bytes(SCHEMA.dump())
    code = "import fcntl, sys; f = open(sys.argv[1], 'r+'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    with Popen([sys.executable, "-c", code, str(home.schema)], stdin=PIPE, stdout=PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(Unavailable, match="locked by another"), durable.locked(home.schema, seconds=0.0):
            pass
        other.communicate(b"\n")
    schema_changes.change(home, {}, ["M"])
    saved = schema.load(home.schema)
    assert saved is not None
    assert saved.missing_values == ["NA", "M"]


def test_change_is_reported_and_takes_effect_with_the_next_drop(home: Home) -> None:
    """Beside an ingestion that goes on: no restart, nothing is lost, and the journal says what was changed."""
    home.schema.parent.mkdir(parents=True, exist_ok=True)
    home.schema.write_bytes(SCHEMA.dump())
    parts = Parts(home)
    parts.drop("1.csv", "a,zip,y\n" + "1,2,0\n3,4,1\n")
    parts.run()
    schema_changes.change(parts.home, {"a": "ignore", "zip": "text"}, ["NIL"])
    parts.drop("2.csv", "zip,y\nsome words,0\nNIL,1\n")
    parts.run()
    with closing(sqlite3.connect(home.journal)) as connection:
        said = [row[0] for row in connection.execute("SELECT message FROM events WHERE kind = 'schema' ORDER BY id")]
        counts = [row[0] for row in connection.execute("SELECT rows_accepted FROM drops")]
    changes = "without 'a'; 'zip' is text, not integer; missing values are NA, NIL"
    assert said == [f"The schema was changed: {changes}. It applies from the next drop on."]
    assert counts == [2, 2]
    names = {one["name"]: one["sha256"] for one in parts.journal.segments.current()}
    saved = schema.load(parts.home.schema)
    assert saved is not None
    lengths = [
        rows.matrix(piece, saved)[:, 0].tolist() for piece in segments.pieces(parts.home.segments, names, ["zip"])
    ]
    parts.close()
    assert lengths[0] == [1.0, 1.0]  # numbers of before, as texts of one word
    assert lengths[1][0] == 2.0
    assert np.isnan(lengths[1][1])


def test_notation_comes_from_an_example() -> None:
    """Of numbers and dates; it implies the kind. An example that can be read in two ways is refused."""
    written = ["a=1.234,56 €", "zip=31.12.2024"]
    altered = schema_changes.altered(SCHEMA, {}, [], None, written)
    assert [(column.kind, column.notation) for column in altered.columns] == [
        ("number", Notation(decimal=",", thousands=".", unit="€")),
        ("date", Notation(order="day/month/year")),
    ]
    assert schema_changes.altered(SCHEMA, {}, [], None, ["zip=1.5"]).columns[1].notation is None
    for wrong, part in (("a=1,234", "may be read as"), ("a=1/2/2024", "may be read"), ("a=soon", "neither a number")):
        with pytest.raises(BadSchema, match=part):
            schema_changes.altered(SCHEMA, {}, [], None, [wrong])
    with pytest.raises(BadSchema, match="is a date, the kind is number"):
        schema_changes.altered(SCHEMA, {"a": "number"}, [], None, ["a=31.12.2024"])


def test_notation_is_found_in_the_stored_rows(home: Home) -> None:
    """A column of texts that becomes one of numbers; how its cells fit is reported."""
    home.segments.mkdir()
    cells = ["1.000,50 €", "2.000 €", "k.A.", None] * 10
    table = pa.table({"a": [1.0] * 40, "fee": pa.array(cells, pa.string()), "y": ["0", "1"] * 20})
    rows_of = rows.with_provenance(table, ["a" * 64], [40], np.arange(40), datetime(2026, 1, 1, tzinfo=UTC), "file")
    segment = segment_writer.write(home.segments, [rows_of]).place()
    with closing(Journal.open(home.journal)) as journal:
        journal.batches.accept(segment.record, [a_drop()])
    before = Schema(target="y", classes=["0", "1"], columns=[A, Column(name="fee", kind="text", missing=True)])
    after = schema_changes.altered(before, {"fee": "number"}, [], home)
    assert after.columns[1].notation == Notation(decimal=",", thousands=".", unit="€")
    assert (after.columns[1].minimum, after.columns[1].maximum) == (1000.5, 2000)
    [remark] = notations.remarks(home, before, after)
    assert remark.startswith("Only 20 of 30 stored cells of 'fee' fit the kind number: 'k.A.' does not.")
    [remark] = notations.remarks(home, SCHEMA, schema_changes.altered(SCHEMA, {"zip": "number"}, [], home))
    assert remark.startswith("No stored row shows how 'zip' is written; it is read as a plain number.")


def test_schema_shows_its_markers(capsys: pytest.CaptureFixture[str]) -> None:
    assert schema_table.of_schema(SCHEMA)[1].missing == "allowed (?)"
    assert list(schema_table.remarks(SCHEMA)) == ["Missing values in every column: an empty cell, NA."]


def test_sentences_stand_below_the_table_in_a_narrow_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A command to copy is not cut."""
    why = "an id: 300 texts in 300 rows, such as 'K-10000'; --kind 'Kundennummer'=text takes it in"
    schema_table.show([Line("Kundennummer", "ignore", "12 (NA 12)", "> 100", "K-10000", why)])
    assert f"  Kundennummer: {why}\n" in capsys.readouterr().out
