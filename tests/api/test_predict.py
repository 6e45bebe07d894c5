"""The application's predictions: what `/predict` answers, for classes and for numbers, and what its history keeps."""

import json
from pathlib import Path
from typing import Any

import bundles
import logged
import pytest
from sites import PREDICTION, Client, Site

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.storage.prediction_history import HistoryCopier

# Predictions


def test_a_prediction_says_what_it_is_and_where_from(site: Site) -> None:
    status, headers, body = site.ask("POST", "/predict", PREDICTION)
    answer = json.loads(body)
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert headers["x-model-version"] == "1"
    assert (answer["prediction"], answer["prediction_name"], answer["model_version"]) == (0, "setosa", 1)
    assert answer["confidence"] == answer["probabilities"]["setosa"] > 0.9
    assert set(answer["probabilities"]) == set(bundles.CLASSES)
    assert answer["latency_ms"] > 0


def test_features_may_be_given_by_name(site: Site) -> None:
    named = dict(zip(bundles.NAMES, bundles.SETOSA, strict=True))
    status, answer = site.post("/predict", {"features": named})
    assert (status, answer["prediction_name"]) == (200, "setosa")


def test_many_rows_have_an_answer_each(site: Site) -> None:
    rows = [bundles.SETOSA, dict(zip(bundles.NAMES, [6.9, 3.1, 5.4, 2.1], strict=True))]
    status, answer = site.post("/predict", {"instances": rows})
    assert (status, answer["model_version"]) == (200, 1)
    alone = site.post("/predict", {"features": rows[1]})[1]
    assert {**answer["predictions"][1], "prediction_id": ""} == {
        **{key: alone[key] for key in answer["predictions"][1]},
        "prediction_id": "",
    }
    written = {row["prediction_id"] for row in logged.predictions(site.home)}
    assert written >= {row["prediction_id"] for row in answer["predictions"]}


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("?version=1", {}, 200),
        ("?version=champion", {}, 200),
        ("", {"X-Model-Version": "1"}, 200),
        ("?version=1", {"X-Model-Version": "7"}, 200),
        ("?version=7", {}, 404),
        ("", {"X-Model-Version": "7"}, 404),
        ("?version=newest", {}, 400),
        ("?version=0", {}, 400),
        ("?version=" + "9" * 5000, {}, 400),
        ("", {"X-Model-Version": "1, 7"}, 400),
    ],
)
def test_a_request_may_name_its_version(site: Site, query: str, headers: dict[str, str], status: int) -> None:
    assert site.ask("POST", f"/predict{query}", PREDICTION, headers)[0] == status


def test_prediction_ids_are_distinct(site: Site) -> None:
    assert len({site.post("/predict", PREDICTION)[1]["prediction_id"] for _ in range(20)}) == 20


def test_without_a_model_predict_says_so(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    status, headers, body = Client(home).ask("POST", "/predict", b'{"features":[1]}')
    assert (status, headers["retry-after"]) == (503, "1")
    assert json.loads(body)["hint"]


# Regression


def posted(client: Client, path: str, body: object) -> tuple[int, dict[str, Any]]:
    status, _, text = client.ask("POST", path, json.dumps(body).encode())
    return status, json.loads(text)


def test_a_regression_answers_with_a_number_and_without_classes(prices: Client) -> None:
    status, answer = posted(prices, "/predict", {"features": bundles.HOUSE})
    assert status == 200
    assert set(answer) == {
        "prediction", "prediction_name", "confidence", "model_version", "prediction_id", "latency_ms",
    }  # fmt: skip
    assert answer["prediction"] == pytest.approx(bundles.HOUSE_PRICE)
    assert (answer["prediction_name"], answer["confidence"], answer["model_version"]) == (None, None, 1)
    assert posted(prices, "/predict", {"features": [100.0, "four", True, None, "Aachen"]})[0] == 422


def test_numbers_are_in_the_history_without_a_confidence(prices: Client) -> None:
    _, answer = posted(prices, "/predict", {"features": bundles.HOUSE})
    history_copier = HistoryCopier(prices.worker.home, Settings())
    assert (history_copier.copy(), history_copier.skipped) == (1, 0)
    history_copier.close()
    prediction = json.loads(prices.ask("GET", "/predictions/history")[2])["history"][0]
    assert (prediction["prediction"], prediction["confidence"], prediction["prediction_name"]) == (
        answer["prediction"],
        None,
        None,
    )
    assert prediction["features"] == bundles.HOUSE
    for path in ("/dashboard", "/metrics", "/prometheus_metrics"):
        assert prices.ask("GET", path)[0] == 200


@pytest.mark.parametrize(
    ("target", "status"), [(250000, 202), (1.5, 202), (-3, 202), ("dear", 422), (None, 422), (True, 422)]
)
def test_a_numeric_target_is_a_row_of_a_regression(prices: Client, target: object, status: int) -> None:
    answered, _ = posted(prices, "/add_training_data", {"features": bundles.HOUSE, "target": target})
    assert answered == status
    assert len(list(prices.worker.home.inbox.glob("*.sample.json"))) == (status == 202)
