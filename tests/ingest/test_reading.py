"""retraind.daemon.ingest.reading: bad rows, small files read as one, large and packed files read in parts, and a schema that grows."""

import gzip
import subprocess
from contextlib import closing
from typing import Any

import interrupting
import orjson
import pytest
from ingesting import HEADER, Parts, row
from interrupting import bad_rows

from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Inbox as Limits
from retraind.daemon.core.settings import Settings
from retraind.daemon.dataset import segment_writer, segments
from retraind.daemon.records.query import ask
from retraind.daemon.schema import schema as schema_module
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import file_content

pytestmark = pytest.mark.engines(full=True)

parts = pytest.fixture(interrupting.parts)


def test_bad_rows_go_into_quarantine_and_come_back_corrected(parts: Parts) -> None:
    """The good rows are accepted. The bad ones are in rejected/, verbatim, with line, column and reason; corrected, they are accepted."""
    parts.drop("a.csv", HEADER + row(1) + "x,3.5,1.4,0.2,setosa\n" + row(2) + '3,3.5,1.4,0.2,"ro\nse"\n4,1\n')
    parts.run()
    assert parts.lengths == [1, 2]
    bad = bad_rows(parts, "a.csv")
    lines = bad.read_text().splitlines()
    assert lines[0] == "_line,_column,_reason," + HEADER.strip()
    assert lines[1].startswith("3,sepal_length,")
    assert lines[1].endswith(",x,3.5,1.4,0.2,setosa")
    assert lines[2].startswith("5,species,")
    assert lines[4].startswith("7,,")
    [drop] = parts.journal.drops.of_batch(1)
    assert (drop["rows_read"], drop["rows_accepted"], drop["rows_refused"]) == (5, 2, 3)
    assert (drop["line"], drop["column"], drop["bad_file"]) == (3, "sepal_length", bad.name)
    mended = bad.read_text().replace(",x,3.5", ",3,3.5").replace('"ro\nse"', "setosa")
    parts.drop("mended.csv", mended)
    parts.run()
    assert parts.lengths == [1, 2, 3, 3]
    again = bad_rows(parts, "mended.csv").read_text().splitlines()
    assert again[0] == lines[0]
    assert again[1].endswith(",4,1")


def test_many_small_files_are_read_as_one(parts: Parts) -> None:
    """Torn rows, bad cells, no final line end, other headers: each file gets what it gets when it comes alone."""
    other = "species,sepal_length,sepal_width,petal_length,petal_width\n"
    texts = {
        "a.csv": HEADER + row(1) + row(2),
        "b.csv": HEADER + row(3).strip(),
        "c.csv": HEADER + "x,1,1,1,setosa\n" + row(4) + "1,2\n",
        "d.csv": HEADER + "1,2\n",
        "e.csv": other + "setosa,5,1,1,1\n",
        "f.csv": HEADER + '"6",1,1,1,setosa\r\n',
        "g.csv": "\ufeff" + HEADER + row(7),
        "h.csv": HEADER + "\n\n" + row(8),
    }
    for name, text in texts.items():
        parts.drop(name, text)
    parts.run()
    assert parts.lengths == [1, 2, 3, 4, 5, 6, 7, 8]
    assert ("d.csv", "rejected") in parts.drops()
    outcomes = {drop["name"]: drop for drop in parts.journal.drops.of_batch(1)}
    assert {name: drop["rows_accepted"] for name, drop in outcomes.items()} == {
        "a.csv": 2, "b.csv": 1, "c.csv": 1, "e.csv": 1, "f.csv": 1, "g.csv": 1, "h.csv": 1,
    }  # fmt: skip
    assert (outcomes["c.csv"]["line"], outcomes["c.csv"]["rows_refused"]) == (2, 2)
    known = {one["name"]: one["sha256"] for one in parts.journal.segments.current()}
    [(_, table)] = segments.read(parts.home.segments, known)
    place = {(drop, number) for drop, number in zip(table["_drop"].to_pylist(), table["_row"].to_pylist(), strict=True)}
    assert (outcomes["c.csv"]["sha256"], 1) in place
    assert len(place) == 8


def test_large_file_comes_in_parts(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than fits into memory: many steps, one segment, the same rows."""
    monkeypatch.setattr(file_content, "SMALL_BYTES", 1000)
    parts.drop("big.csv", HEADER + "".join(row(number) for number in range(300)) + "x,1,1,1,setosa\n")
    parts.drop("packed.csv.gz", gzip.compress((HEADER + "".join(row(1000 + n) for n in range(300))).encode()))
    parts.drop("small.csv", HEADER + row(5000))
    parts.run()
    assert parts.lengths == [*range(300), *range(1000, 1300), 5000]
    assert [batch["rows"] for batch in parts.journal.batches.all()] == [300, 300, 1]
    assert bad_rows(parts, "big.csv").read_text().splitlines()[1].startswith("302,sepal_length,")


def test_packed_file_is_inflated_in_steps(parts: Parts) -> None:
    """Half a megabyte that becomes a hundred: the loop has its turn in between."""
    parts.drop("zeros.csv.gz", gzip.compress(bytes(4 * file_content.PIECE_BYTES + 1), 1))
    parts.now += 5
    steps = 0
    while not parts.drops():
        assert parts.ingestion.step(parts.now)
        steps += 1
    assert parts.drops() == [("zeros.csv.gz", "rejected")]
    assert steps > 4


def test_reject_file_takes_all_or_nothing(home: Home, parts: Parts) -> None:
    """With bad_rows = reject_file one bad row refuses its drop, small, large or among others; nothing of it stays."""
    parts.close()
    parts.settings = Settings(inbox=Limits(settle_seconds=0.0, bad_rows="reject_file"))
    parts.open()
    for name, text in {"a.csv": row(1), "b.csv": row(2) + "x,1,1,1,setosa\n", "c.csv": row(3) + "1\n"}.items():
        parts.drop(name, HEADER + text)
    parts.run()
    assert parts.lengths == [1]
    assert (home.rejected / "b.csv").exists()
    assert orjson.loads((home.rejected / "c.csv.report.json").read_bytes())["line"] == 3


def test_schema_grows_with_the_data_that_needs_it(home: Home, parts: Parts) -> None:
    """Accepted classes and columns are in schema.json, committed with the batch, and told."""
    parts.close()
    parts.settings = Settings(inbox=Limits(settle_seconds=0.0, new_classes="accept", extra_columns="add"))
    parts.open()
    parts.drop("a.csv", HEADER + row(1))
    parts.run()
    parts.drop("b.csv", HEADER.strip() + ",hour\n2,1,1,1,rosa,7\n")
    parts.run()
    grown = schema_module.load(home.schema)
    assert grown is not None
    assert grown.classes[-1] == "rosa"
    assert grown.columns[-1].name == "hour"
    shown = subprocess.run(["git", "show", "HEAD:schema.json"], cwd=home.data, capture_output=True, check=True)
    assert shown.stdout == home.schema.read_bytes()
    assert parts.lengths == [1, 2]


def test_edit_of_the_schema_survives_growth(home: Home, parts: Parts) -> None:
    """schema.json is edited while a batch that extends it is read: the batch is read again with the edit."""
    parts.close()
    parts.settings = Settings(inbox=Limits(settle_seconds=0.0, new_classes="accept"))
    parts.open()
    parts.drop("a.csv", HEADER + row(1) + "2,1,1,1,rosa\n")
    real = segment_writer.write

    parts.now += 100
    assert parts.ingestion.step(parts.now)
    edited = home.schema.read_text().replace('"missing": false', '"missing": true', 1)
    assert parts.ingestion.step(parts.now)
    home.schema.write_text(edited)
    with pytest.raises(Unavailable, match="changed meanwhile"):
        parts.run()
    parts.now += 100
    parts.run()
    assert segment_writer.write is real
    grown = schema_module.load(home.schema)
    assert grown is not None
    assert grown.columns[0].missing
    assert grown.classes[-1] == "rosa"
    assert parts.lengths == [1, 2]


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("x,y\n" + "1,2\n" * 7, "quarantine"),
        (HEADER + "x,1,1,1,setosa\n" * 7, "quarantine"),
        (HEADER + "\r\n".join(["x,1,1,1,setosa", *["1,1,1,1,setosa"] * 6]), "reject_file"),
    ],
)
def test_a_file_refused_whole_counts_all_its_rows(home: Home, schema: Schema, text: str, policy: Any) -> None:
    """Whether its header did not fit, all its rows were bad, or one of them was enough."""
    assert schema
    with closing(Parts(home, Settings(inbox=Limits(settle_seconds=0, bad_rows=policy)))) as parts:
        parts.drop("a.csv", text)
        parts.run()
    recorded = ask(home.journal, "SELECT state, rows_read, rows_refused FROM drops")
    assert recorded == [{"state": "rejected", "rows_read": 7, "rows_refused": 7}]
    (report,) = home.rejected.glob("*.report.json")
    assert orjson.loads(report.read_bytes())["rows_read"] == 7


def test_category_without_its_zeros_is_a_warning_at_its_drop(parts: Parts) -> None:
    """A spreadsheet has made 1067 of 01067: the drop that brought it has the event, another one of the batch has not."""
    columns = [{"name": "zip", "kind": "category", "categories": ["01067"]}, {"name": "sepal_length", "kind": "number"}]
    changed = Schema.model_validate({"target": "species", "classes": ["a", "b"], "columns": columns})
    parts.home.schema.write_bytes(changed.dump())
    parts.drop("a.csv", "zip,sepal_length,species\n01067,1,a\n10115,2,b\n")
    parts.drop("b.csv", "zip,sepal_length,species\n10115,3,a\n1067,4,b\n")
    parts.run()
    names = {row["sha256"]: row["name"] for row in ask(parts.home.journal, "SELECT sha256, name FROM drops")}
    query = """SELECT "drop", message FROM events WHERE kind = 'schema' AND level = 'warning'"""
    [event] = ask(parts.home.journal, query)
    assert names[event["drop"]] == "b.csv"
    assert "'1067' of 'zip', which differs from '01067' only in leading zeros" in event["message"]
