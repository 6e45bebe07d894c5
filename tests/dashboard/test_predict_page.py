"""The pages of a typed row and of a logged prediction over HTTP, as they are without a script."""

import html
import json
import re
import sqlite3
import urllib.parse
from contextlib import closing
from typing import Any

import bundles
import pytest
from service import wait_until
from sites import Client
from stories import Story

from retraind.daemon.access import tokens
from retraind.daemon.core.home import Home
from retraind.daemon.core.scopes import Scope
from retraind.daemon.core.settings import Server, Settings
from retraind.daemon.core.states import VersionState
from retraind.daemon.schema.column import Column
from retraind.daemon.storage.prediction_history import HistoryCopier
from retraind.web.pages.predicting import typed_row

BROWSER = {"HTTP_ACCEPT": "text/html"}
FORM = {**BROWSER, "CONTENT_TYPE": "application/x-www-form-urlencoded"}
ROW = {f"column:{name}": str(value) for name, value in zip(bundles.NAMES, bundles.SETOSA, strict=True)}


@pytest.fixture
def explaining(home: Home) -> Client:
    """A worker of version 1, which has a sample of training rows."""
    bundles.point(home, bundles.with_sample(home, bundles.make(home, 1)))
    return Client(home)


def sent(client: Client, fields: dict[str, str]) -> tuple[int, str]:
    status, _, body = client.ask("POST", "/dashboard/predict", urllib.parse.urlencode(fields).encode(), **FORM)
    return status, html.unescape(body.decode())


def page(client: Client, path: str, query: str = "") -> tuple[int, str]:
    status, _, body = client.ask("GET", path, b"", QUERY_STRING=query, **BROWSER)
    return status, html.unescape(body.decode())


def settled(client: Client, path: str) -> tuple[int, str]:
    """A page, once the version that it needs is loaded."""
    status, text = wait_until(lambda: got if "is being loaded" not in (got := page(client, path))[1] else None)
    return status, text


def logged(client: Client) -> str:
    """The id of a prediction that the history knows."""
    _, _, text = client.ask("POST", "/predict", json.dumps({"features": bundles.SETOSA}).encode())
    copier = HistoryCopier(client.worker.home, Settings())
    copier.copy()
    copier.close()
    return str(json.loads(text)["prediction_id"])


def field(text: str, name: str) -> str:
    match = re.search(rf'name="column:{name}"[^>]* value="([^"]*)"', text)
    assert match, text
    return match[1]


def test_typed_row_is_answered_as_by_explain_and_leaves_no_trace(explaining: Client) -> None:
    """The same numbers, and neither a log nor a count of predictions."""
    _, _, body = explaining.ask("POST", "/explain", json.dumps({"features": bundles.SETOSA}).encode())
    explained: Any = json.loads(body)
    status, text = sent(explaining, {"version": "1", **ROW})
    assert status == 200
    assert f"<bdi>{explained['prediction']}</bdi>" in text
    assert f"Method: {explained['method']}." in text
    for entry in explained["features"]:
        assert f"{entry['contribution']:+.4g}" in text
    assert [field(text, name) for name in bundles.NAMES] == ["5.1", "3.5", "1.4", "0.2"], "what was typed stays"
    assert not list(explaining.worker.home.logs.glob("*.jsonl"))
    _, _, metrics = explaining.ask("GET", "/prometheus_metrics")
    counted = re.findall(r"^retraind_predictions_total.* (\S+)$", metrics.decode(), re.MULTILINE)
    assert set(map(float, counted)) <= {0.0}


def test_wrong_cell_is_named_at_its_field(explaining: Client) -> None:
    status, text = sent(explaining, {"version": "1", **ROW, "column:sepal_width": "wide"})
    assert status == 422
    assert "No answer: <bdi>'sepal_width' is a number, not the text 'wide'." in text
    assert re.search(r'name="column:sepal_width"[^>]* value="wide"[^>]*aria-invalid="true"', text)
    status, text = sent(explaining, {"version": "1", **ROW, "column:sepal_width": ""})
    assert (status, "'sepal_width' must not be null." in text) == (422, True)


def test_version_without_a_sample_answers_and_explains_nothing(flowers: Client) -> None:
    status, text = sent(flowers, {"version": "1", **ROW})
    assert (status, "It can't be said: Version 1 has no sample of its training rows." in text) == (200, True)
    assert "Probability of each class" in text


def test_form_begins_with_the_newest_prediction(explaining: Client) -> None:
    status, text = page(explaining, "/dashboard/predict")
    assert (status, "the middle of each column's range" in text) == (200, True)
    identity = logged(explaining)
    _, text = page(explaining, "/dashboard/predict")
    assert "the newest prediction" in text
    assert field(text, "petal_length") == "1.4"
    assert f'predictions/{identity}"' in text


def test_versions_can_be_chosen(explaining: Client) -> None:
    """Each with its own columns; one whose files are gone is not among them."""
    home = explaining.worker.home
    bundles.record(home, bundles.with_sample(home, bundles.make_prices(home, 2)))
    _, text = page(explaining, "/dashboard/predict", "version=2")
    assert re.search(r'<option value="2" selected>version 2 \(promoted, logistic\)', text)
    assert '<option value="Zürich"' in text
    assert '<option value="(another value)">' in text
    house = {"size": "100", "rooms": "4", "garden": "true", "built": "", "town": "(another value)"}
    typed = {"version": "2", **{f"column:{name}": value for name, value in house.items()}}
    status, text = wait_until(lambda: got if (got := sent(explaining, typed))[0] != 503 else None)
    assert status == 200
    assert "in units of the target" in text
    assert page(explaining, "/dashboard/predict", "version=9")[0] == 404
    (home.bundle(2) / "model.onnx").unlink()
    (home.bundle(2) / "probe.json").unlink()
    (home.bundle(2) / "reference.npz").unlink()
    status, text = page(explaining, "/dashboard/predict", "version=2")
    assert (status, "There are no more model files of version 2." in text) == (404, True)
    assert 'option value="2"' not in page(explaining, "/dashboard/predict")[1]


def test_without_a_version_it_says_so(home: Home) -> None:
    client = Client(home)
    status, text = page(client, "/dashboard/predict")
    assert (status, "No version serves yet." in text, 'id="row-form"' in text) == (200, True, False)
    assert sent(client, ROW)[0] == 503


@pytest.mark.parametrize("body", [b"\xff", b"version=x", b"version=0"])
def test_other_forms_are_refused(explaining: Client, body: bytes) -> None:
    status, _, answer = explaining.ask("POST", "/dashboard/predict", body, **FORM)
    assert status in (400, 422)
    assert b'class="panel problem-page"' in answer
    assert explaining.ask("POST", "/dashboard/predict", b"{}", CONTENT_TYPE="application/json")[0] == 415


def test_reader_may_look_and_not_ask(explaining: Client) -> None:
    """The form needs the scope `predict`; the explanation of a logged prediction only `read`."""
    identity = logged(explaining)
    closed = Client(explaining.worker.home, Settings(server=Server(auth="always")))
    secret = tokens.create(closed.worker.home, "reader", [Scope.READ])
    bearer = {"HTTP_AUTHORIZATION": f"Bearer {secret}"}
    status, _, body = closed.ask("GET", "/dashboard/predict", b"", **BROWSER, **bearer)
    assert (status, b"lacks the scope <code>predict</code>" in body, b'id="row-form"' in body) == (200, True, False)
    assert closed.ask("POST", "/dashboard/predict", b"", **FORM, **bearer)[0] == 403
    assert closed.ask("GET", f"/dashboard/predictions/{identity}", b"", **BROWSER, **bearer)[0] == 200
    assert closed.ask("GET", f"/dashboard/predictions/{identity}", b"", **BROWSER)[0] in (302, 303, 401)


def test_logged_prediction_is_explained_by_the_version_that_answered(explaining: Client) -> None:
    """Another version serves by now; its true value is shown once it has come."""
    home, identity = explaining.worker.home, logged(explaining)
    bundles.point(home, bundles.with_sample(home, bundles.make(home, 2, favourite=2)))
    client = Client(home)
    status, text = settled(client, f"/dashboard/predictions/{identity}")
    assert status == 200
    assert "not known yet" in text
    assert "probability" in text
    assert "version 1</a>" in text
    assert "<bdi>petal_length</bdi>" in text
    label(home, identity, "versicolor")
    _, text = page(client, f"/dashboard/predictions/{identity}")
    assert "<bdi>versicolor</bdi>" in text
    assert "<dt>Right</dt><dd>no</dd>" in text


def test_answer_of_a_version_trained_on_rows_that_were_forgotten_says_so(explaining: Client) -> None:
    identity, story = logged(explaining), Story(explaining.worker.home.root)
    story.accept("good.csv")
    batch = story.accept("poisoned.csv")
    row: Any = {"version": 1, "mlflow_run": "f" * 32, "candidate": "forest", "backend": "onnx", "scores": "{}"}
    row |= {"revision": f"{batch:040x}", "dvc_md5": "d" * 32, "rows": 100, "trained_rows": 80, "bundle": "e" * 64}
    row |= {"trigger": "first model"}
    story.journal.versions.judge(row, VersionState.PROMOTED, "It is the first.")
    path, forgotten = f"/dashboard/predictions/{identity}", "rows that have been forgotten since: poisoned.csv."
    assert forgotten not in settled(explaining, path)[1]
    drop = story.journal.drops.taken(story.drop("poisoned.csv")["sha256"])
    assert drop
    story.journal.erasures.forget(drop, f"{batch - 1}.parquet", 50, None, "cli")
    assert f"Version 1 was trained on {forgotten}" in settled(explaining, path)[1]
    status, _, body = explaining.ask("GET", f"/predictions/{identity}")
    answer = json.loads(body)
    assert (status, answer["prediction_name"], answer["label"], answer["features"]) == (
        200,
        "setosa",
        None,
        bundles.SETOSA,
    )
    assert answer["doubt"] == f"Version 1 was trained on {forgotten}"
    assert explaining.ask("GET", "/predictions/none-1")[0] == 404
    story.journal.close()


def label(home: Home, identity: str, truth: str) -> None:
    with closing(sqlite3.connect(home.journal)) as connection, connection:
        connection.execute(
            'INSERT INTO labels (prediction_id, version, prediction, truth, "drop", batch, at) '
            "VALUES (?, 1, 'setosa', ?, 'd', 1, '2026-01-01T00:00:00.000Z')",
            (identity, truth),
        )


def test_version_without_files_is_said(explaining: Client) -> None:
    """The row keeps its columns, because a cleared bundle keeps its manifest."""
    home, identity = explaining.worker.home, logged(explaining)
    bundles.point(home, bundles.make(home, 2))
    for name in ("model.onnx", "probe.json", "reference.npz"):
        (home.bundle(1) / name).unlink()
    status, text = settled(Client(home), f"/dashboard/predictions/{identity}")
    assert status == 200
    assert "It can't be explained: <bdi>The model files of version 1 were removed (promote.keep_versions)." in text
    assert "<bdi>petal_length</bdi>" in text


def test_node_leads_to_its_leader(explaining: Client) -> None:
    serving = Client(explaining.worker.home, Settings(role="node"))
    assert sent(serving, ROW)[0] == 421
    status, text = page(serving, "/dashboard/predictions/x-1")
    assert (status, "belongs to the leader" in text) == (421, True)


def test_unknown_prediction_is_a_page(explaining: Client) -> None:
    status, text = page(explaining, "/dashboard/predictions/none-1")
    assert (status, "There is no prediction 'none-1'." in text) == (404, True)


COLUMNS = [
    (Column(name="n", kind="number", missing=True), "", None),
    (Column(name="n", kind="number"), "1e3", 1000.0),
    (Column(name="n", kind="integer"), "12", 12),
    (Column(name="n", kind="integer"), "0012345678901234567890", float("12345678901234567890")),
    (Column(name="n", kind="number"), "nan", "nan"),
    (Column(name="b", kind="boolean"), "true", True),
    (Column(name="b", kind="boolean"), "maybe", "maybe"),
    (Column(name="d", kind="date"), " 2026-01-31 ", "2026-01-31"),
    (Column(name="t", kind="text", missing=True), "  ", None),
    (Column(name="t", kind="text"), " two words ", " two words "),
    (Column(name="c", kind="category", categories=["a"]), "a", "a"),
]


@pytest.mark.parametrize(("column", "text", "value"), COLUMNS)
def test_texts_are_values(column: Column, text: str, value: Any) -> None:
    read = typed_row._value(column, text)
    assert (read, type(read)) == (value, type(value))
