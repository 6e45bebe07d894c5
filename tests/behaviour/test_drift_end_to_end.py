"""Drift from a request to the next version: a real service predicts inputs unlike its training data, reports drift and trains again."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from service import Service, flowers, wait_until

SETTINGS = {
    "RETRAIND_DRIFT__CHECK_SECONDS": "1",
    "RETRAIND_DRIFT__WINDOW_ROWS": "100",
    "RETRAIND_RETRAIN__THRESHOLD_ROWS": "500",
    "RETRAIND_RETRAIN__GROWTH": "0",
    "RETRAIND_RETRAIN__SCHEDULE": "",
}


@pytest.fixture
def service(tmp_path: Path, served: Path) -> Iterator[Service]:
    service = Service(tmp_path / "home", **SETTINGS).copied(served).start()
    yield service
    service.end()


def training_rows(service: Service) -> list[list[float]]:
    """The rows that the home began with."""
    return [list(row[:4]) for row in service.rows().elements()]


def ask(service: Service, rows: list[list[float]], shift: float) -> None:
    """100 predictions for flowers of the training data, with petals longer by `shift` cm."""
    for row in random.Random(int(shift)).choices(rows, k=100):
        assert service.ask("/predict", {"features": [*row[:2], row[2] + shift, row[3]]})[0] == 200


def drift(service: Service, state: str) -> dict[str, Any]:
    """The answer of /drift once it is in this state and compares a whole window."""

    def found() -> dict[str, Any] | None:
        answer = service.ask("/drift")[1]
        return dict(answer) if (answer["state"], answer["n"]) == (state, 100) else None

    return wait_until(found, what=f"drift to be {state}: {service.ask('/drift')}")


def alarm(service: Service) -> str:
    lines: list[str] = service.ask("/prometheus_metrics")[1].splitlines()
    return next(line for line in lines if line.startswith("retraind_drift_alarm"))


def test_inputs_unlike_the_training_data_raise_an_alarm_and_are_trained_on(service: Service) -> None:
    service.wait_served()
    rows = training_rows(service)
    ask(service, rows, 0.0)
    assert drift(service, "ok")["drifted"] == 0
    assert alarm(service) == "retraind_drift_alarm 0.0"
    ask(service, rows, 3.0)
    report = drift(service, "drift")
    assert [one["name"] for one in report["features"] if one["drifted"]] == ["petal_length"]
    assert alarm(service) == "retraind_drift_alarm 1.0"
    assert service.ask("/health")[0] == 200
    service.drop("few.csv", flowers(1))

    def runs() -> list[str]:
        events = service.ask("/events?limit=1000")[1]["events"]
        return [event["message"] for event in events if event["kind"] == "training"]

    wait_until(lambda: len(runs()) == 2, what=f"a training: {service.log()[-1500:]}")
    assert "drift" in runs()[1]
    assert "petal_length" in runs()[1]
