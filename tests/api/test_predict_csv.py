"""retraind.web.api.predict_csv, retraind.web.serving.csv_rows: `POST /predict` with a CSV file."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import bundles
import numpy as np
import pytest
from example_counts import some
from hypothesis import given, settings
from hypothesis import strategies as st
from sites import Client, Site

from retraind.daemon.core.errors import InvalidDrop, InvalidFeatures
from retraind.daemon.core.home import Home
from retraind.daemon.schema.cell_notation import Notation
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.tabular import csv_table, rows
from retraind.daemon.tabular.checks import unlabelled_rows
from retraind.daemon.tabular.file_content import Content
from retraind.web.http.problems import Problem
from retraind.web.serving import csv_rows

HEADER = ",".join(["id", *bundles.NAMES])
ROWS = [[5.1, 3.5, 1.4, 0.2], [6.0, 2.9, 4.5, 1.5]]
TEXT = f"{HEADER}\na,5.1,3.5,1.4,0.2\nb,6.0,2.9,4.5,1.5\n"


def ask(client: Client, text: str | bytes, kind: str = "text/csv", query: str = "") -> tuple[int, dict[str, str], str]:
    body = text if isinstance(text, bytes) else text.encode()
    status, headers, answer = client.ask("POST", "/predict", body, CONTENT_TYPE=kind, QUERY_STRING=query)
    return status, headers, answer.decode()


def refused(client: Client, text: str | bytes, **more: str) -> tuple[int, Any]:
    status, headers, answer = ask(client, text, **more)
    assert headers["content-type"] == "application/problem+json"
    return status, json.loads(answer)


def read(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


def served(root: Path, schema: Schema) -> Client:
    home = Home(root)
    home.make()
    bundles.point(home, bundles.make_prices(home, 1, schema))
    return Client(home)


def logged(client: Client) -> int:
    return sum(len(path.read_bytes()) for path in client.worker.home.logs.glob("*.jsonl"))


# Answers


def test_answers_are_those_to_json(flowers: Client) -> None:
    """The file comes back, with ids, answers and on request the probabilities; other columns are kept."""
    _, _, text = flowers.ask("POST", "/predict", json.dumps({"instances": ROWS}).encode())
    expected = json.loads(text)["predictions"]
    status, headers, answer = ask(flowers, TEXT, "text/csv; charset=UTF-8", "proba=true")
    assert (status, headers["content-type"], headers["x-model-version"]) == (200, "text/csv; charset=utf-8", "1")
    lines = read(answer)
    assert [line["id"] for line in lines] == ["a", "b"]
    for line, json_answer in zip(lines, expected, strict=True):
        assert line["prediction"] == json_answer["prediction_name"]
        assert float(line["confidence"]) == json_answer["confidence"]
        assert {name: float(line[f"probability_{name}"]) for name in bundles.CLASSES} == json_answer["probabilities"]
    assert len({line["prediction_id"] for line in lines}) == 2
    assert "probability_setosa" not in read(ask(flowers, TEXT)[2])[0]


def test_single_row_is_answered(flowers: Client, prices: Client) -> None:
    (line,) = read(ask(flowers, TEXT.rpartition("b,")[0])[2])
    assert (line["id"], line["prediction"], line["model_version"]) == ("a", "setosa", "1")
    (line,) = read(ask(prices, "town,size,rooms,garden,built\nZürich,100,4,TRUE,2026-01-31\n")[2])
    assert float(line["prediction"]) == pytest.approx(bundles.HOUSE_PRICE)
    assert "confidence" not in line


def test_cells_come_back_verbatim(flowers: Client) -> None:
    """Quotes, line ends and spaces in other columns; a byte order mark, empty lines and the order of columns don't matter."""
    notes = ['says "so"', "a,b", "two\nlines", " spaces ", "", "ünïcode"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([*bundles.NAMES[::-1], "note, here"])
    for note in notes:
        writer.writerow([*ROWS[0][::-1], note])
        text.write("\r\n")
    lines = read(ask(flowers, b"\xef\xbb\xbf" + text.getvalue().encode())[2])
    assert [line["note, here"] for line in lines] == notes


def test_notation_is_that_of_drops(tmp_path: Path) -> None:
    """Semicolons or the line for Excel, decimal commas, NA; the answers have a comma, too."""
    client = served(
        tmp_path / "home",
        Schema.model_validate(bundles.PRICES.model_dump() | {"decimal": ",", "missing_values": ["NA"]}),
    )
    for text in (
        "size;rooms;garden;built;town\n100,25;4;1;NA;Ur\n",
        "sep=;\nsize;rooms;garden;built;town\n100,25;4;1;;Ur\n",
    ):
        (line,) = read(ask(client, text)[2], ";")
        assert line["size"] == "100,25"
        assert float(line["prediction"].replace(",", ".")) == pytest.approx(200.5 + 40 + 5 - 50)


def test_answers_are_written_as_the_body_is(tmp_path: Path) -> None:
    """Byte order mark, line ends, and the decimal comma that a column has. A column that lacks is no empty one."""
    columns = bundles.PRICES.model_dump()["columns"]
    columns[0] |= {"notation": {"decimal": ",", "unit": "m²"}}
    client = served(tmp_path / "home", Schema.model_validate(bundles.PRICES.model_dump() | {"columns": columns}))
    text = "\ufeffsize;rooms;garden;built;town\r\n100,25 m²;4;1;;Ur\r\n".encode()
    answer = ask(client, text)[2]
    assert answer.startswith("\ufeffsize;")
    assert answer.count("\r\n") == answer.count("\n") == 2
    assert ";100,25 m²;" in f";{answer.splitlines()[1]}"
    assert re.search(r";[0-9]+,[0-9]+;1\r\n$", answer)
    status, _, refusal = ask(client, text.replace(b";built", b"").replace(b"1;;Ur", b"1;Ur"))
    assert (status, "The column 'built' is missing" in refusal) == (422, True)


def test_remarks_of_bad_rows_are_left_out(flowers: Client) -> None:
    """A corrected file of bad rows can be sent as it is."""
    text = f"_line,_column,_reason,{HEADER}\n3,x,why,a,5.1,3.5,1.4,0.2\n"
    status, _, answer = ask(flowers, text)
    assert (status, answer.partition(",")[0]) == (200, "id")


def test_predictions_are_logged_before_the_answer(flowers: Client) -> None:
    before = logged(flowers)
    assert ask(flowers, TEXT)[0] == 200
    assert logged(flowers) > before


# Refusals


@pytest.mark.parametrize(
    ("text", "status", "detail"),
    [
        ("", 422, "The body is empty"),
        (f"{HEADER}\n", 422, "There are no rows."),
        ("id,sepal_length\n1,2\n", 422, "The columns 'sepal_width', 'petal_length', 'petal_width' are missing"),
        (f"{HEADER}\na,5,3,1,0\nb,wide,3,1,0\n", 422, "Line 3: 'sepal_length' is a number, not the text 'wide'."),
        (f'{HEADER}\n"a\nb",5,3,1,0\n\nc,5,3,1\n', 422, "Line 5: This row has 4 cells; the header has 5."),
        (f"{HEADER}\na,5,,1,0\n", 422, "Line 2: 'sepal_width' must not be null."),
        (f"{HEADER}\na,5,1e999,1,0\n", 422, "Line 2: 'sepal_width' must be a number between"),
        (f"id,{HEADER}\n", 422, "The header names 'id' twice."),
        (f"prediction_id,{HEADER}\n1,a,5,3,1,0\n", 422, "Line 1: there is a column 'prediction_id'"),
        (f'{HEADER}\n"a,5,3,1,0\n', 400, "a quote is never closed"),
        (f"{HEADER}\n\0,5,3,1,0\n", 400, "NUL byte"),
        (TEXT.encode("utf-16"), 400, "not UTF-8"),
    ],
)
def test_whole_request_is_refused(flowers: Client, text: str | bytes, status: int, detail: str) -> None:
    """With the line of what is wrong; nothing is predicted, nothing logged."""
    before = logged(flowers)
    code, problem = refused(flowers, text)
    assert code == status, problem
    assert detail in problem["detail"]
    assert logged(flowers) == before


def test_first_bad_rows_are_listed(flowers: Client) -> None:
    lines = [f"{number},{'x' if number % 2 else 5},3,1,0" for number in range(40)]
    _, problem = refused(flowers, "\n".join([HEADER, *lines]))
    assert [error["detail"].partition(":")[0] for error in problem["errors"]] == [f"Line {n}" for n in range(3, 23, 2)]
    assert {error["field"] for error in problem["errors"]} == {"sepal_length"}


def test_other_types_and_choices_are_refused(flowers: Client) -> None:
    assert refused(flowers, TEXT, kind="text/plain")[0] == 415
    assert refused(flowers, TEXT, kind="text/csv; charset=latin-1")[0] == 415
    assert refused(flowers, TEXT, query="proba=maybe") == (422, refused(flowers, TEXT, query="proba=maybe")[1])
    assert refused(flowers, TEXT, query="version=9")[0] == 503
    body = json.dumps({"instances": ROWS}).encode()
    assert refused(flowers, body, kind="application/json", query="proba=maybe")[0] == 422


# Reading as drops are read

COLUMNS = [
    Column(name="n", kind="number", missing=True),
    Column(name="i", kind="integer"),
    Column(name="b", kind="boolean", missing=True),
    Column(name="m", kind="number", notation=Notation(decimal=",", thousands=".", unit="€")),
    Column(name="c", kind="category", categories=["x", "NA"]),
]
CELLS = st.sampled_from(
    [
        "",
        "1",
        "-2.5",
        "2,5",
        "1e3",
        "1E+2",
        "nan",
        "inf",
        "1_0",
        "0x1",
        " 3 ",
        ".5",
        "5.",
        "+7",
        "--1",
        "1.000,5 €",
        "€3",
        "true",
        "FALSE",
        "0",
        "NA",
        "?",
        "x",
        "9007199254740993",
        "1e101",
        "2.0",
        "1.000",
        "1e",
        "٣",
        "1,000",
    ]
) | st.text(alphabet="0123456789.,eE+-€ _", max_size=6)


@settings(deadline=None, max_examples=some(300))
@given(st.sampled_from([".", ","]), st.lists(st.lists(CELLS, min_size=5, max_size=5), min_size=1, max_size=4))
def test_cells_mean_what_they_mean_in_drops(mark: str, cells: list[list[str]]) -> None:
    """The same rows are good, and become the same numbers."""
    fields = {"task": "regression", "target": "y", "missing_values": ["NA", "?"], "decimal": mark, "columns": COLUMNS}
    schema = Schema.model_validate(fields)
    body = io.StringIO()
    writer = csv.writer(body, delimiter=";", lineterminator="\n")
    writer.writerow(column.name for column in COLUMNS)
    writer.writerows(cells)
    data = body.getvalue().encode()
    try:
        sent = csv_rows.inputs_of(schema, csv_rows.read(schema, data))
    except (Problem, InvalidFeatures):
        sent = None
    try:
        content = Content.of(data)
        tables = [chunk.table for chunk in csv_table.chunks(content, csv_table.examine(content, schema.known))]
        checked = unlabelled_rows.check(tables[0], schema)
    except InvalidDrop:
        checked = None
    if checked is None or checked.bad:
        assert sent is None
    else:
        assert sent is not None
        np.testing.assert_array_equal(sent.matrix, rows.matrix(checked.table, schema))


# A real worker


def test_many_rows_are_answered_in_a_lane(site: Site) -> None:
    """A body that is too large to be read where requests arrive."""
    lines = [f"{number},5.1,3.5,1.4,0.2" for number in range(20_000)]
    status, headers, body = site.ask(
        "POST", "/predict", "\n".join([HEADER, *lines]).encode(), {"Content-Type": "text/csv"}
    )
    assert (status, headers["content-type"]) == (200, "text/csv; charset=utf-8")
    answers = read(body.decode())
    assert [answer["id"] for answer in answers] == [str(number) for number in range(20_000)]
    assert len({answer["prediction_id"] for answer in answers}) == 20_000
