"""retraind.daemon.predicting and `retraind predict`: real bundles, real files, a process of its own for Parquet."""

import csv
import gzip
import io
import json
import re
from pathlib import Path

import bundles
import flowers
import pytest
from commands import forked
from flowers import FLOWER_FILE, FLOWERS, HEADER, price_home, read
from running import retraind
from sites import Client

from retraind.daemon.core.errors import Exit
from retraind.daemon.core.home import Home

flower_home = pytest.fixture(flowers.flower_home)


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
    """Dates, booleans, categories, an unknown one, an empty cell; a column may be missing only as in drops."""
    place, file = price_home(home), tmp_path / "houses.csv"
    file.write_text("town,size,rooms,garden,built\nZürich,100,4,TRUE,2026-01-31\nUr,100,4,0,\n")
    rows = read(forked("predict", file, home=place).stdout)
    assert [float(row["prediction"]) for row in rows] == pytest.approx([bundles.HOUSE_PRICE, 200 + 40 - 50], abs=1e-9)
    file.write_text("town,size,rooms,garden\nZürich,100,4,TRUE\n")
    done = forked("predict", file, home=place)
    assert done.returncode == Exit.NOT_ROWS
    assert "The column 'built' is missing" in done.stderr
    place.settings.write_text('[inbox]\nextra_columns = "add"\n')
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


def test_counts_as_json(flower_home: Home, tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(FLOWER_FILE + "3,wide,3,1,1\n")
    done = forked("predict", tmp_path / "f.csv", "-o", tmp_path / "o.csv", "--json", home=flower_home)
    bad = str(tmp_path / "o.bad.csv")
    assert json.loads(done.stdout) == {"version": 1, "rows": 4, "answered": 3, "bad": 1, "bad_file": bad}


def test_answers_are_written_as_the_file_is(home: Home, tmp_path: Path) -> None:
    """For a German Excel: byte order mark, line ends, semicolons, a decimal comma; its own cells stay verbatim."""
    columns = bundles.PRICES.model_dump()["columns"]
    columns[0] |= {"notation": {"decimal": ",", "thousands": ".", "unit": "m²"}}
    place = price_home(home, columns=columns)
    header, row = "size;rooms;garden;built;town", "100,25 m²;4;true;2026-01-31;Köln"
    (tmp_path / "f.csv").write_bytes(f"\ufeff{header}\r\n{row}\r\nx;4;true;2026-01-31;Köln\r\n".encode())
    out, bad = tmp_path / "o.csv", tmp_path / "o.bad.csv"
    assert forked("predict", tmp_path / "f.csv", "-o", out, home=place).returncode == Exit.INCOMPLETE
    first, second, rest = out.read_bytes().decode().split("\r\n")
    assert (first, rest) == (f"\ufeff{header};prediction;model_version", "")
    assert second.startswith(f"{row};")
    assert re.fullmatch(r"[0-9]+,[0-9]+;1", second.removeprefix(f"{row};"))
    assert bad.read_bytes().startswith(f"\ufeff_line;_column;_reason;{header}\r\n".encode())
    (tmp_path / "g.csv").write_text('size,rooms,garden,built,town\n"100,25",4,true,2026-01-31,Köln\n')
    plain = forked("predict", tmp_path / "g.csv", home=place).stdout
    assert float(read(plain)[0]["prediction"]) > 0
