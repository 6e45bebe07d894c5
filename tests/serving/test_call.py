"""retraind.web.serving.call: what must not be answered at once goes on elsewhere, and is routed and checked once."""

import json
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest
from sites import Client

from retraind.web.serving import call
from retraind.web.serving.call import CURRENT, Call


def asked(flowers: Client, carried: Call, body: bytes, **environ: str) -> bytes:
    """What the application answers while the call is carried."""
    token = CURRENT.set(carried)
    try:
        return flowers.ask("POST", "/predict", body, **environ)[2]
    finally:
        CURRENT.reset(token)


def gone_on(flowers: Client, carried: Call) -> tuple[int, list[tuple[str, str]], bytes]:
    """What it answers when the rest is done elsewhere."""
    assert isinstance(carried.rest, partial)
    carried.inline = False
    token = CURRENT.set(carried)
    try:
        return flowers.app.resume(carried.rest.args[1], carried)
    finally:
        CURRENT.reset(token)


def test_many_rows_are_put_off_and_answered_without_another_look_at_the_route(
    flowers: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = json.dumps({"instances": [flowers_row(flowers)] * 101}).encode()
    carried = Call(inline=True)
    assert (asked(flowers, carried, row), carried.logged) == (b"", False)
    monkeypatch.setattr(type(flowers.app), "match", None)
    status, headers, body = gone_on(flowers, carried)
    assert (status, len(json.loads(body)["predictions"]), carried.logged) == (200, 101, True)
    assert ("Cache-Control", "no-store") in headers


def test_errors_are_the_same_after_a_wait(flowers: Client) -> None:
    body = json.dumps({"instances": [["nonsense"]] * 101}).encode()
    carried = Call(inline=True)
    assert asked(flowers, carried, body) == b""
    status, headers, problem = gone_on(flowers, carried)
    assert (status, json.loads(problem)["status"]) == (422, 422)
    assert ("Content-Type", "application/problem+json") in headers


@pytest.mark.parametrize("patient", [True, False])
def test_a_version_that_is_being_loaded_is_waited_for_by_who_can(
    flowers: Client, patient: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading: call.Loading = Future()
    monkeypatch.setattr(flowers.worker.version_cache, "find", lambda version, asked: loading)
    carried = Call(patient=patient)
    row = json.dumps({"features": flowers_row(flowers)}).encode()
    answer = asked(flowers, carried, row, QUERY_STRING="version=77")
    assert (carried.loading is loading, carried.rest is not None) == (patient, patient)
    assert answer == b"" if patient else json.loads(answer)["detail"] == "Version 77 is being loaded."


def test_without_a_server_a_request_does_not_wait() -> None:
    assert (call.current().inline, call.current().patient) == (False, False)


def flowers_row(flowers: Client) -> list[Any]:
    model = flowers.worker.slot.current
    assert model is not None
    return [column.categories[0] if column.categories else 1.0 for column in model.schema.columns]
