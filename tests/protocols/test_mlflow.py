"""retraind.web.protocols.mlflow: MLflow's scoring protocol."""

import csv
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import bundles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sites import Client

from retraind.daemon.core.home import Home
from retraind.web.protocols import dataframes

ROW = bundles.SETOSA
VALUES = st.recursive(
    st.none() | st.floats() | st.text(alphabet='NaN"\\x', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='NaN"\\', max_size=4), inner, max_size=4)
    ),
)
NAMED = dict(zip(bundles.NAMES, ROW, strict=True))
SPLIT = {"columns": bundles.NAMES, "index": [0], "data": [ROW]}


def invoke(client: Client, body: Any, kind: str = "application/json") -> tuple[int, dict[str, Any]]:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, headers, answer = client.ask("POST", "/invocations", text, CONTENT_TYPE=kind)
    assert headers["content-type"] == "application/json"
    return status, json.loads(answer)


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": SPLIT},
        {"dataframe_split": {"data": [ROW]}},
        {"dataframe_split": {"columns": ["more", *bundles.NAMES[::-1]], "data": [["x", *ROW[::-1]]]}},
        {"dataframe_records": [NAMED]},
        {"dataframe_records": [{**NAMED, "species": "setosa"}]},
        {"instances": [ROW]},
        {"instances": [NAMED]},
        {"inputs": [ROW]},
        {"inputs": {name: [value] for name, value in NAMED.items()}},
        {"inputs": NAMED},
        {"inputs": [ROW], "params": {}},
        {"inputs": [ROW], "params": None},
        {"inputs": [ROW], "params": {"temperature": 1}},
        {"instances": [{**NAMED, "species": "setosa"}]},
        {"inputs": [{**NAMED, "species": "setosa"}]},
        {"inputs": {**{name: [value] for name, value in NAMED.items()}, "species": ["setosa", "more"]}},
        {"inputs": {**{name: [value] for name, value in NAMED.items()}, "species": "setosa"}},
        {"inputs": {**NAMED, "species": ["setosa"]}},
        {"dataframe_split": SPLIT, "client_request_id": "a", "signature_name": "serving_default", "input": 1},
    ],
)
def test_every_form_means_the_same_row(flowers: Client, body: dict[str, Any]) -> None:
    status, answer = invoke(flowers, body)
    assert (status, answer["predictions"], answer["model_version"]) == (200, ["setosa"], 1)
    assert len(answer["prediction_ids"]) == 1


def test_only_columns_of_the_model_are_logged(flowers: Client) -> None:
    assert invoke(flowers, {"instances": [{"species": "setosa", **NAMED}]})[0] == 200
    logged = b"".join(path.read_bytes() for path in flowers.worker.home.logs.glob("*.jsonl")).splitlines()
    assert json.loads(logged[-1])["features"] == ROW


@pytest.mark.parametrize(
    ("accept", "is_csv"),
    [
        ("text/csv", True),
        ("text/csv, */*;q=0.1", True),
        ("TEXT/CSV;q=1, application/json; q=0.9", True),
        ("text/*", True),
        ("application/json, text/csv", False),
        ("text/csv;q=0", False),
        ("text/csv;q=0.5, application/*", False),
        ("text/csv;q=nan, */*", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_answer_is_csv_for_clients_that_prefer_it(flowers: Client, accept: str, *, is_csv: bool) -> None:
    body = json.dumps({"inputs": [ROW, ROW]}).encode()
    status, headers, text = flowers.ask("POST", "/invocations", body, HTTP_ACCEPT=accept)
    assert (status, headers["x-model-version"]) == (200, "1")
    assert headers["content-type"] == ("text/csv; charset=utf-8" if is_csv else "application/json")
    if is_csv:
        header, *rows = text.decode().splitlines()
        assert header == "prediction_id,prediction"
        assert [row.partition(",")[2] for row in rows] == ["setosa"] * 2


def test_probabilities_as_csv_have_a_column_for_each_class(flowers: Client) -> None:
    body = {"inputs": [ROW], "params": {"predict_method": "predict_proba"}}
    _, _, text = flowers.ask("POST", "/invocations", json.dumps(body).encode(), HTTP_ACCEPT="text/csv")
    [row] = csv.DictReader(text.decode().splitlines())
    assert list(row) == ["prediction_id", *bundles.CLASSES]
    assert sum(float(row[name]) for name in bundles.CLASSES) == pytest.approx(1)
    wrong = flowers.ask("POST", "/invocations", b"{}", HTTP_ACCEPT="text/csv")
    assert (wrong[0], wrong[1]["content-type"]) == (400, "application/json"), "errors keep MLflow's format"


def test_params_choose_probabilities(flowers: Client) -> None:
    status, answer = invoke(flowers, {"inputs": [ROW, ROW], "params": {"predict_method": "predict_proba"}})
    assert status == 200
    assert answer["classes"] == bundles.CLASSES
    assert [sum(row) for row in answer["predictions"]] == pytest.approx([1, 1])


CSV = b",sepal_length,sepal_width,species,petal_length,petal_width\n0,5.1,3.5,setosa,1.4,0.2\n1,6.9,3.1,,5.4,2.1\n"


@pytest.mark.parametrize("kind", ["text/csv", "text/csv; charset=utf-8", 'Text/CSV;charset="UTF-8"'])
def test_csv_as_pandas_writes_it(flowers: Client, kind: str) -> None:
    status, answer = invoke(flowers, CSV, kind)
    assert (status, answer["predictions"]) == (200, ["setosa", "setosa"])


def test_cells_are_read_by_the_kind_of_their_column(prices: Client) -> None:
    cells = "size,rooms,garden,built,town\n100.0,4,True,2026-01-31,Zürich\n100,4.0,1,,NA\n"
    parsed = dataframes.comma_separated(bundles.PRICES, cells)
    assert parsed.values == [bundles.HOUSE, [100.0, 4, True, None, "NA"]]
    status, answer = invoke(prices, cells.rsplit("\n", 2)[0].encode(), "text/csv")
    assert (status, answer["predictions"]) == (200, [pytest.approx(bundles.HOUSE_PRICE)])
    assert invoke(prices, cells.replace("True", "maybe").encode(), "text/csv")[1]["message"].startswith(
        "Row 1: 'garden'"
    )


def test_nan_is_a_missing_value(prices: Client) -> None:
    body = b'{"inputs":{"size":[100.0],"rooms":[4],"garden":[true],"built":[NaN],"town":["NaN \\"NaN"]}}'
    answer = dataframes.columns(bundles.PRICES, json.loads(dataframes.without_nan(body))["inputs"])
    assert answer.values == [[100.0, 4, True, None, 'NaN "NaN']]
    assert invoke(prices, body)[0] == 200
    assert invoke(prices, body.replace(b"100.0", b"NaN"))[1]["message"] == "'size' must not be null."


@given(VALUES)
def test_only_tokens_are_replaced(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    expected = json.loads(text, parse_constant=lambda name: None if name == "NaN" else float(name))
    answer = json.loads(dataframes.without_nan(text))
    assert json.dumps(answer) == json.dumps(expected)


@given(st.text(alphabet='"\\NaN{', max_size=30))
def test_texts_that_are_no_json_keep_all_but_nan(text: str) -> None:
    parsed = dataframes.without_nan(text.encode()).decode()
    assert parsed.replace("null", "NaN") == text


def test_a_text_without_end_is_left_to_the_parser(flowers: Client) -> None:
    """And takes no longer than any other, however many quotation marks there are."""
    assert invoke(flowers, b'NaN"' + b'\\"' * 400_000)[0] == 400


@pytest.mark.parametrize(
    ("body", "kind", "status", "complaint"),
    [
        (b"", "application/json", 400, "not valid JSON"),
        (b"[[5.1,3.5,1.4,0.2]]", "application/json", 400, "object with one of"),
        (b"{}", "application/json", 400, "object with one of"),
        ({"inputs": [ROW], "instances": [ROW]}, "application/json", 400, "object with one of"),
        ({"signature_name": "x", "params": {}}, "application/json", 400, "object with one of"),
        ({"inputs": [ROW], "params": [1]}, "application/json", 400, "'params'"),
        ({"inputs": [ROW], "params": {"predict_method": "score"}}, "application/json", 400, "no method 'score'"),
        ({"inputs": [ROW], "params": {"predict_method": ["x"]}}, "application/json", 400, "no method"),
        ({"inputs": [1, 2, 3, 4]}, "application/json", 400, "Row 1"),
        ({"inputs": "5.1"}, "application/json", 400, "must be a list, not a text"),
        ({"inputs": {}}, "application/json", 400, "none of them was sent"),
        ({"inputs": {"species": ["setosa"]}}, "application/json", 400, "none of them was sent"),
        ({"instances": [{"species": "setosa"}]}, "application/json", 400, "'sepal_length' is missing"),
        ({"instances": [NAMED, {**NAMED, "petal_width": "wide"}]}, "application/json", 400, "Row 2: 'petal_width'"),
        ({"inputs": {**NAMED, "petal_width": [1]}}, "application/json", 400, "Give every column a list"),
        ({"inputs": [ROW[:3]]}, "application/json", 400, "3 values; the model takes 4"),
        ({"instances": []}, "application/json", 400, "no rows"),
        ({"dataframe_records": NAMED}, "application/json", 400, "list of objects"),
        ({"dataframe_records": [ROW]}, "application/json", 400, "list of objects"),
        ({"dataframe_split": {**SPLIT, "dtypes": []}}, "application/json", 400, "'dataframe_split' must be"),
        ({"dataframe_split": [ROW]}, "application/json", 400, "'dataframe_split' must be"),
        ({"dataframe_split": {**SPLIT, "index": [0, 1]}}, "application/json", 400, "'index'"),
        ({"dataframe_split": {**SPLIT, "columns": ["a", "a"]}}, "application/json", 400, "twice"),
        ({"dataframe_split": {**SPLIT, "columns": [1, 2, 3, 4]}}, "application/json", 400, "list of names"),
        ({"dataframe_split": {**SPLIT, "columns": ["a", "b", "c", "d"]}}, "application/json", 400, "none of them"),
        ({"dataframe_split": {**SPLIT, "columns": bundles.NAMES[:3]}}, "application/json", 400, "as many values"),
        ({"dataframe_split": {"data": ROW}}, "application/json", 400, "'data'"),
        (CSV, "text/csv; charset=latin-1", 415, "UTF-8"),
        (CSV, "text/csv; header=yes", 415, "not supported"),
        (CSV, "application/vnd.apache.orc", 415, "In binary: application/vnd.apache.arrow.stream"),
        (CSV, "application/x-www-form-urlencoded", 415, "application/json or text/csv"),
        (b"", "text/csv", 400, "no header"),
        (b"a,b\n1,2,3\n", "text/csv", 400, "as many cells"),
        (b'a,"b\n1,2\n', "text/csv", 400, "not CSV"),
        (b"sepal_length\n\xff\n", "text/csv", 400, "not UTF-8"),
        (CSV.replace(b"3.5", b"wide"), "text/csv", 400, "'sepal_width' is a number"),
        (CSV.replace(b"3.5", b"1e999"), "text/csv", 400, "'sepal_width'"),
        (CSV.splitlines()[0], "text/csv", 400, "no rows"),
    ],
)
def test_errors_have_the_form_of_mlflow(flowers: Client, body: Any, kind: str, status: int, complaint: str) -> None:
    answered, answer = invoke(flowers, body, kind)
    assert (answered, answer["error_code"]) == (status, "BAD_REQUEST")
    assert complaint in answer["message"]
    assert set(answer) == {"error_code", "message"}


def test_a_regression_has_numbers_and_no_probabilities(prices: Client) -> None:
    status, answer = invoke(prices, {"inputs": [bundles.HOUSE]})
    assert (status, answer["predictions"]) == (200, [pytest.approx(bundles.HOUSE_PRICE)])
    status, answer = invoke(prices, {"inputs": [bundles.HOUSE], "params": {"predict_method": "predict_proba"}})
    assert (status, "regression" in answer["message"]) == (400, True)


def test_ping_and_version(flowers: Client, tmp_path: Path) -> None:
    assert flowers.ask("GET", "/ping")[::2] == (200, b"\n")
    assert flowers.ask("GET", "/version")[::2] == (200, version("mlflow").encode())
    home = Home(tmp_path)
    home.make()
    empty = Client(home)
    assert empty.ask("GET", "/ping")[0] == 404
    status, answer = invoke(empty, {"inputs": [ROW]})
    assert (status, answer["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
