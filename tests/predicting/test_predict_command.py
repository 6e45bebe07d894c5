"""retraind.daemon.predicting and `retraind predict`: real bundles, real files, a process of its own for Parquet."""

import csv
import datetime
import gzip
import io
import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import bundles
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import forked
from running import retraind
from sites import Client

from retraind.daemon.core.errors import Exit, NotRows
from retraind.daemon.core.home import Home
from retraind.daemon.predicting import input_file
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular.checks.bad_rows import BadRecord

MOST = 1 << 30
FLOWERS = [[5.1, 3.5, 1.4, 0.2], [6.0, 2.9, 4.5, 1.5], [6.9, 3.1, 5.4, 2.1]]
HEADER = ",".join(["id", *bundles.NAMES])
FLOWER_FILE = "\n".join([HEADER, *(f"{n},{','.join(map(str, row))}" for n, row in enumerate(FLOWERS))]) + "\n"


@pytest.fixture
def flower_home(home: Home) -> Home:
    """A home that serves version 1, and has judged version 2, which prefers another class."""
    bundles.record(home, bundles.make(home, 2, favourite=2))
    bundles.point(home, bundles.make(home, 1))
    return home


def price_home(home: Home, **changes: Any) -> Home:
    """A home that serves prices, whose columns are of every kind; `changes` of its schema."""
    bundles.point(home, bundles.make_prices(home, 1, Schema.model_validate(bundles.PRICES.model_dump() | changes)))
    return home


def read(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    """The rows of a CSV text."""
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


# Answers


def test_answers_are_those_of_the_service(flower_home: Home, tmp_path: Path) -> None:
    """The same classes and the same probabilities, to the last digit, beside the columns of the file."""
    file, out = tmp_path / "flowers.csv", tmp_path / "answers.csv"
    file.write_text(FLOWER_FILE)
    done = forked("predict", file, "-o", out, "--proba", home=flower_home)
    assert (done.returncode, done.stdout) == (Exit.OK, "")
    assert "version 1 answered 3 of 3 rows." in done.stderr
    _, _, text = Client(flower_home).ask("POST", "/predict", json.dumps({"instances": FLOWERS}).encode())
    answered = json.loads(text)["predictions"]
    rows = read(out.read_text())
    assert [row["id"] for row in rows] == ["0", "1", "2"]
    for row, expected in zip(rows, answered, strict=True):
        assert (row["prediction"], float(row["confidence"])) == (expected["prediction_name"], expected["confidence"])
        assert {name: float(row[f"probability_{name}"]) for name in bundles.CLASSES} == expected["probabilities"]
        assert row["model_version"] == "1"


def test_every_kind_of_column_is_read_as_in_drops(home: Home, tmp_path: Path) -> None:
    """Dates, booleans, categories, an unknown one, an empty cell; a column that may be missing is missing."""
    place, file = price_home(home), tmp_path / "houses.csv"
    file.write_text("town,size,rooms,garden,built\nZürich,100,4,TRUE,2026-01-31\nUr,100,4,0,\n")
    rows = read(forked("predict", file, home=place).stdout)
    assert [float(row["prediction"]) for row in rows] == pytest.approx([bundles.HOUSE_PRICE, 200 + 40 - 50], abs=1e-9)
    file.write_text("town,size,rooms,garden\nZürich,100,4,TRUE\n")
    assert float(read(forked("predict", file, home=place).stdout)[0]["prediction"]) == pytest.approx(295 - 0.0)


def test_version_is_chosen(flower_home: Home, tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(FLOWER_FILE)
    rows = read(forked("predict", tmp_path / "f.csv", "--version", 2, home=flower_home).stdout)
    assert {(row["prediction"], row["model_version"]) for row in rows} == {("virginica", "2")}


def test_cells_pass_through_verbatim(flower_home: Home, tmp_path: Path) -> None:
    """Quotes, delimiters, line ends and spaces in columns that the model does not take; the target, if there is one."""
    notes = ["plain", 'says "so"', "a,b", "two\nlines", " spaces ", "", "ünïcode", "cr\rin it"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(["note, here", *bundles.NAMES, "species"])
    writer.writerows([note, *FLOWERS[0], "setosa"] for note in notes)
    (tmp_path / "f.csv").write_bytes(text.getvalue().encode())
    out = tmp_path / "o.csv"
    assert forked("predict", tmp_path / "f.csv", "-o", out, home=flower_home).returncode == Exit.OK
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["note, here"] for row in rows] == notes
    assert {row["species"] for row in rows} == {"setosa"}


def test_notation_of_the_schema_is_read_and_written(home: Home, tmp_path: Path) -> None:
    """Semicolons, decimal commas and NA, as drops have them; the answers have a comma, too."""
    place = price_home(home, decimal=",", missing_values=["NA"])
    (tmp_path / "f.csv").write_text("size;rooms;garden;built;town\n100,25;4;true;NA;Aachen\n")
    done = forked("predict", tmp_path / "f.csv", home=place)
    (row,) = read(done.stdout, ";")
    assert "," in row["prediction"]
    assert float(row["prediction"].replace(",", ".")) == pytest.approx(200.5 + 40 + 5)


def test_standard_input_and_gzip_are_read(flower_home: Home, tmp_path: Path) -> None:
    """A stream has no name; a packed file is one by its name."""
    piped = retraind("predict", "-", home=flower_home, input=FLOWER_FILE)
    (tmp_path / "f.csv.gz").write_bytes(gzip.compress(FLOWER_FILE.encode()))
    packed = forked("predict", tmp_path / "f.csv.gz", home=flower_home)
    assert (piped.returncode, packed.returncode) == (Exit.OK, Exit.OK)
    assert piped.stdout == packed.stdout
    assert len(read(piped.stdout)) == 3


def test_many_rows_in_many_pieces(flower_home: Home, tmp_path: Path) -> None:
    """More than one piece: no row is lost, doubled or moved."""
    lines = [f"{number},{FLOWERS[number % 3][0]},3,{number % 7},0.2" for number in range(300_000)]
    (tmp_path / "f.csv").write_text("\n".join([HEADER, *lines]))
    done = forked("predict", tmp_path / "f.csv", "-o", tmp_path / "o.csv", home=flower_home)
    assert done.returncode == Exit.OK
    answers = (tmp_path / "o.csv").read_text().splitlines()
    assert len(answers) == len(lines) + 1
    assert all(answer.startswith(f"{line},") for answer, line in zip(answers[1:], lines, strict=True))


# Bad rows


def test_bad_rows_go_to_a_file_of_their_own(flower_home: Home, tmp_path: Path) -> None:
    """With line, column and reason; corrected, they are answered, without these three columns."""
    file, out = tmp_path / "flowers.csv", tmp_path / "answers.csv"
    file.write_text(FLOWER_FILE + "3,wide,3,1,1\n4,1,2,3\n5,1,2,3,4\n6,1e101,2,3,4\n")
    done = forked("predict", file, "-o", out, home=flower_home)
    bad = tmp_path / "answers.bad.csv"
    assert done.returncode == Exit.INCOMPLETE
    assert f"answered 4 of 7 rows, 3 bad (see {bad})" in done.stderr
    assert [row["id"] for row in read(out.read_text())] == ["0", "1", "2", "5"]
    assert [(row["_line"], row["_column"], row["id"]) for row in read(bad.read_text())] == [
        ("5", "sepal_length", "3"),
        ("6", "", "4"),
        ("8", "sepal_length", "6"),
    ]
    bad.write_text(bad.read_text().replace("wide", "5").replace("4,1,2,3\n", "4,1,2,3,4\n").replace("1e101", "1"))
    again = read(forked("predict", bad, home=flower_home).stdout)
    assert [next(iter(row)) for row in again] == ["id"] * 3


def test_bad_rows_are_named_if_they_go_nowhere(flower_home: Home, tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(FLOWER_FILE + "3,wide,3,1,1\n")
    done = forked("predict", tmp_path / "f.csv", home=flower_home)
    assert done.returncode == Exit.INCOMPLETE
    assert "row 4, sepal_length: 'wide' is not a number." in done.stderr
    assert len(read(done.stdout)) == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "The file is empty."),
        ("a,b\n1,2\n", "line 1: The column 'sepal_length' is missing; the header has: a, b."),
        (f"{HEADER}\n", "The file has a header and no rows"),
        (f"{HEADER}\n1,x,2,3,4\n", "No row is good, the first because: 'x' is not a number."),
        (f"prediction,{HEADER}\n1,1,2,3,4,5\n", "a column 'prediction', the name of an answer's column"),
        (f'{HEADER}\n1,"2,3,4,5\n', "A quote opens here and is never closed."),
        ("\0", "NUL byte"),
    ],
)
def test_file_that_is_not_one_of_rows(flower_home: Home, tmp_path: Path, text: str, reason: str) -> None:
    """A sentence, a code of its own, and no file of answers."""
    (tmp_path / "f.csv").write_text(text)
    done = forked("predict", tmp_path / "f.csv", "-o", tmp_path / "o.csv", home=flower_home)
    assert done.returncode == Exit.NOT_ROWS
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["f.csv"]


# Mistakes


def test_mistakes_have_their_codes(flower_home: Home, tmp_path: Path) -> None:
    """Nothing is written, and each says what to do."""
    file = tmp_path / "f.csv"
    file.write_text(FLOWER_FILE)
    empty = Home(tmp_path / "empty")
    empty.make()
    cases = [
        ((tmp_path / "gone.csv",), flower_home, Exit.NOT_FOUND, "No such file"),
        ((tmp_path,), flower_home, Exit.NOT_FOUND, "is a folder"),
        ((file, "--version", 9), flower_home, Exit.NOT_FOUND, "no version 9"),
        ((file,), empty, Exit.NOT_FOUND, "No version serves"),
        ((file, "-o", file), flower_home, Exit.USAGE, "read or written already"),
        ((file, "-o", tmp_path / "o.csv", "--bad", tmp_path / "o.csv"), flower_home, Exit.USAGE, "written already"),
        ((file, "-o", tmp_path / "no" / "o.csv"), flower_home, Exit.USAGE, "folder is missing"),
        ((file, "--json"), flower_home, Exit.USAGE, "--json needs -o"),
    ]
    for arguments, home, code, part in cases:
        done = forked("predict", *arguments, home=home)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert part in done.stderr
    assert file.read_text() == FLOWER_FILE
    assert list(empty.bundles.iterdir()) == []


def test_damaged_bundle_answers_nothing(flower_home: Home, tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(FLOWER_FILE)
    model = flower_home.bundle(1) / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    done = forked("predict", tmp_path / "f.csv", home=flower_home)
    assert (done.returncode, done.stdout) == (Exit.DAMAGED, "")
    assert "is not the file that was recorded" in done.stderr


def test_counts_as_json(flower_home: Home, tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(FLOWER_FILE + "3,wide,3,1,1\n")
    done = forked("predict", tmp_path / "f.csv", "-o", tmp_path / "o.csv", "--json", home=flower_home)
    bad = str(tmp_path / "o.bad.csv")
    assert json.loads(done.stdout) == {"version": 1, "rows": 4, "answered": 3, "bad": 1, "bad_file": bad}


# Parquet


def test_parquet_is_answered_like_csv(home: Home, tmp_path: Path) -> None:
    """Types of Parquet as the texts that drops have: dictionaries, decimals, times with a zone, null and NaN."""
    place = price_home(home)
    day = datetime.datetime(2026, 1, 31, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
    table = pa.table(
        {
            "town": pa.array(["Zürich", "Ur", "Aachen"]).dictionary_encode(),
            "size": pa.array([Decimal("100.00"), Decimal("50.25"), None], pa.decimal128(6, 2)),
            "rooms": pa.array([4.0, 3.0, 2.5]),
            "garden": [True, False, True],
            "built": pa.array([day, None, day], pa.timestamp("ns", "Europe/Zurich")),
            "tags": [["a"], [], None],
            "id": [1, 2, 3],
        }
    )
    pq.write_table(table, tmp_path / "f.parquet")
    done = forked("predict", tmp_path / "f.parquet", "--bad", tmp_path / "bad.csv", home=place)
    assert done.returncode == Exit.INCOMPLETE, done.stderr
    rows = read(done.stdout)
    assert [row["id"] for row in rows] == ["1", "2"]
    assert float(rows[0]["prediction"]) == pytest.approx(bundles.HOUSE_PRICE)
    assert float(rows[1]["prediction"]) == pytest.approx(100.5 + 30 - 50)
    (bad,) = read((tmp_path / "bad.csv").read_text())
    assert (bad["_line"], bad["_column"], bad["id"]) == ("3", "size", "3")


def test_large_parquet_is_read_in_pieces(flower_home: Home, tmp_path: Path) -> None:
    """The answers are those of the same rows as CSV."""
    values = {
        name: [round((n * (place + 3)) % 70 / 10, 1) for n in range(250_000)]
        for place, name in enumerate(bundles.NAMES)
    }
    table = pa.table({"id": range(250_000), **values})
    pq.write_table(table, tmp_path / "f.parquet", row_group_size=100_000)
    pa.csv.write_csv(table, tmp_path / "f.csv")
    for suffix in ("parquet", "csv"):
        done = forked("predict", tmp_path / f"f.{suffix}", "-o", tmp_path / f"o.{suffix}.csv", home=flower_home)
        assert done.returncode == Exit.OK, done.stderr
    answers = [read((tmp_path / f"o.{suffix}.csv").read_text()) for suffix in ("parquet", "csv")]
    assert [[row["prediction"], row["confidence"]] for row in answers[0]] == [
        [row["prediction"], row["confidence"]] for row in answers[1]
    ]


def test_damaged_parquet_is_rows_or_a_sentence(tmp_path: Path) -> None:
    """Whatever is flipped: the process that reads it may die, this one goes on."""
    pq.write_table(pa.table({name: [1.0, 2.0] * 500 for name in bundles.NAMES}), tmp_path / "f.parquet")
    good, outcomes = (tmp_path / "f.parquet").read_bytes(), set()
    source = random.Random(0)
    for _ in range(12):
        data = bytearray(good)
        for _ in range(source.choice([1, 20])):
            data[source.randrange(4, len(data))] ^= 1 << source.randrange(8)
        (tmp_path / "f.parquet").write_bytes(data)
        try:
            with input_file.opened(str(tmp_path / "f.parquet"), bundles.SCHEMA, MOST) as rows:
                assert sum(len(piece.records) for piece in rows.pieces()) >= 0
                outcomes.add("rows")
        except NotRows as error:
            assert "f.parquet: " in str(error)
            outcomes.add("refused")
    assert "refused" in outcomes


@pytest.mark.slow
def test_swollen_parquet_ends_its_reader_only(tmp_path: Path) -> None:
    """A few kilobytes that hold a text of 800 MB."""
    huge = pa.array(["0" * 800_000_000], pa.large_string())
    table = pa.table({"note": huge, **{name: [1.0] for name in bundles.NAMES}})
    pq.write_table(table, tmp_path / "f.parquet", compression="zstd", use_dictionary=False, write_statistics=False)
    assert (tmp_path / "f.parquet").stat().st_size < 1_000_000
    with (
        pytest.raises(NotRows, match=r"too much memory|more than 512 MB"),
        input_file.opened(str(tmp_path / "f.parquet"), bundles.SCHEMA, MOST) as rows,
    ):
        list(rows.pieces())


def test_report_of_parquet_is_made_from_a_second_reading(tmp_path: Path) -> None:
    schema = Schema(task="regression", target="y", columns=[Column(name="x", kind="number")])
    pq.write_table(pa.table({"x": [1.5, None, 2.5], "n": ["a", 'b"', "c"]}), tmp_path / "f.parquet")
    with input_file.opened(str(tmp_path / "f.parquet"), schema, MOST) as rows:
        assert b"".join(rows.report([BadRecord(1, "x", "It, is empty.")])) == (
            b'_line,_column,_reason,x,n\n2,x,"It, is empty.",,"b"""\n'
        )
