"""retraind.web.api.explain: `POST /explain` on a real worker and over WSGI."""

import json
from typing import Any

import bundles
import pytest
from sites import Client, Site

from retraind.daemon.core.home import Home


def ask(client: Client, body: Any, query: str = "") -> tuple[int, dict[str, str], Any]:
    status, headers, answer = client.ask("POST", "/explain", json.dumps(body).encode(), QUERY_STRING=query)
    return status, headers, json.loads(answer)


@pytest.fixture
def explaining(home: Home) -> Client:
    bundles.point(home, bundles.with_sample(home, bundles.make(home, 1)))
    return Client(home)


def test_contributions_lead_from_the_mean_to_the_answer(explaining: Client) -> None:
    """The answer is that of /predict, and nothing is logged."""
    status, headers, explained = ask(explaining, {"features": bundles.SETOSA})
    assert (status, headers["x-model-version"], explained["method"]) == (200, "1", "exact Shapley values")
    total = sum(entry["contribution"] for entry in explained["features"])
    assert total == pytest.approx(explained["answer"] - explained["base"], abs=1e-9)
    assert not list(explaining.worker.home.logs.glob("*.jsonl"))
    _, _, text = explaining.ask("POST", "/predict", json.dumps({"features": bundles.SETOSA}).encode())
    predicted = json.loads(text)
    assert (explained["prediction"], explained["answer"]) == (predicted["prediction_name"], predicted["confidence"])


def test_refusals_say_why(explaining: Client, flowers: Client) -> None:
    assert ask(explaining, {"features": [1]})[0] == 422
    assert ask(explaining, {"instances": [bundles.SETOSA]})[0] == 422
    status, _, problem = ask(flowers, {"features": bundles.SETOSA})
    assert (status, problem["detail"]) == (404, "Version 1 has no sample of its training rows.")


def test_worker_explains_in_a_lane(own: Site) -> None:
    bundles.point(own.home, bundles.with_sample(own.home, bundles.make(own.home, 2)))
    own.wait(2)
    status, explained = own.post("/explain", {"features": dict(zip(bundles.NAMES, bundles.SETOSA, strict=True))})
    assert (status, explained["version"], len(explained["features"])) == (200, 2, 4)
