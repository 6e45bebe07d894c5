"""retraind.web.serving.canary: the held challenger answers a share of the keys, always the same ones, and no request fails for it."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import bundles
import pytest
from sites import Client

from retraind.daemon.artifacts import bundle
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Promote, Settings
from retraind.daemon.schema.schema import Schema
from retraind.daemon.storage.journal import Journal
from retraind.web.serving import canary
from retraind.web.serving.predictor import Follower

KEYS = [f"customer-{number}" for number in range(10_000)]
BODY = json.dumps({"features": bundles.SETOSA}).encode()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.make()
    home.schema.write_bytes(bundles.SCHEMA.dump())
    bundles.point(home, bundles.make(home, 1))
    swapped(home, 1, None)
    bundles.record(home, bundles.make(home, 2, favourite=1), "held")
    return home


def swapped(home: Home, version: int, previous: int | None) -> None:
    with closing(Journal.open(home.journal)) as journal:
        journal.swaps.record(version, previous, "For a test.")


def tried(home: Home, share: float, **settings: Any) -> Client:
    client = Client(home, Settings(promote=Promote(**{"mode": "manual", "canary_share": share, **settings})))
    client.worker.challenger.look()
    return client


def asked(client: Client, **environ: str) -> int:
    """The version that answers, by body and header."""
    status, headers, body = client.ask("POST", "/predict", BODY, **environ)
    assert status == 200, body
    answer = json.loads(body)
    assert headers["x-model-version"] == str(answer["model_version"])
    assert answer["prediction_name"] == bundles.CLASSES[answer["model_version"] - 1]
    return int(answer["model_version"])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_the_share_of_the_keys_is_kept(share: float) -> None:
    share_of_keys = sum(canary.in_share(2, key, share) for key in KEYS)
    # Five standard deviations of a binomial: the hash is fixed, so this holds always or never.
    assert abs(share_of_keys - share * len(KEYS)) <= 5 * (len(KEYS) * share * (1 - share)) ** 0.5


def test_a_key_stays_with_its_version_and_a_larger_share_keeps_it() -> None:
    few, more = ({key for key in KEYS if canary.in_share(2, key, share)} for share in (0.1, 0.3))
    assert few < more
    assert few == {key for key in KEYS if canary.in_share(2, key, 0.1)}


def test_the_next_challenger_meets_other_keys() -> None:
    two, three = ({key for key in KEYS if canary.in_share(version, key, 0.1)} for version in (2, 3))
    assert len(two & three) < 200


def test_requests_follow_their_key(home: Home) -> None:
    client = tried(home, 0.5)
    for key in KEYS[:40]:
        expected = 2 if canary.in_share(2, key, 0.5) else 1
        assert [asked(client, HTTP_X_ROUTING_KEY=key) for _ in range(2)] == [expected, expected]
    assert asked(client) == 1
    figures = client.worker.counters.predictions
    assert figures["1"] + figures["2"] == 81


def test_the_header_is_chosen_by_a_setting(home: Home) -> None:
    client = tried(home, 1.0, canary_header="x-session-ID")
    assert asked(client, HTTP_X_ROUTING_KEY="a") == 1
    assert asked(client, HTTP_X_SESSION_ID="a") == 2


def test_who_names_a_version_gets_it(home: Home) -> None:
    client = tried(home, 1.0)
    assert asked(client, HTTP_X_ROUTING_KEY="a", HTTP_X_MODEL_VERSION="champion") == 1
    assert asked(client, HTTP_X_ROUTING_KEY="a", QUERY_STRING="version=1") == 1


def test_nothing_is_tried_in_auto_mode(home: Home) -> None:
    client = tried(home, 1.0, mode="auto")
    assert asked(client, HTTP_X_ROUTING_KEY="a") == 1


@pytest.mark.parametrize("end", ["promoted", "refused", "another"])
def test_it_ends_with_the_verdict(home: Home, end: str) -> None:
    client = tried(home, 1.0)
    assert asked(client, HTTP_X_ROUTING_KEY="a") == 2
    follower = Follower(home, client.worker.slot)
    if end == "promoted":
        pointer = bundle.Pointer(version=2, manifest=recorded(home, 2), since="2026-01-01T00:00:00.000Z")
        bundles.point(home, pointer)
        swapped(home, 2, 1)
    elif end == "refused":
        with closing(Journal.open(home.journal)) as journal:
            journal.versions.mark_unservable(2, "For a test.")
    else:
        bundles.record(home, bundles.make(home, 3, favourite=2), "held")
    follower.look()
    expected = {"promoted": 2, "refused": 1, "another": 1}[end]
    assert asked(client, HTTP_X_ROUTING_KEY="a") == expected
    client.worker.challenger.look()
    assert asked(client, HTTP_X_ROUTING_KEY="a") == {"another": 3, "promoted": 2, "refused": 1}[end]


def test_a_challenger_that_does_not_load_leaves_all_to_the_champion(home: Home) -> None:
    (home.bundle(2) / bundle.ONNX).unlink()
    assert asked(tried(home, 1.0), HTTP_X_ROUTING_KEY="a") == 1


def test_the_champion_steps_in_where_the_challenger_fails(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    client = tried(home, 1.0)
    assert asked(client, HTTP_X_ROUTING_KEY="a") == 2

    def broken(*_: object) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(client.worker.challenger.predictor._model, "_run", broken)  # type: ignore[union-attr]
    assert asked(client, HTTP_X_ROUTING_KEY="a") == 1
    assert "out of order" in (client.worker.challenger.problem or "")
    monkeypatch.undo()
    assert asked(client, HTTP_X_ROUTING_KEY="a") == 1, "it is not asked again"


def test_a_challenger_that_takes_other_columns_gets_no_request(home: Home) -> None:
    first, *others = bundles.SCHEMA.columns
    assert canary.accepts_rows_of(bundles.SCHEMA, bundles.SCHEMA)
    more = bundles.SCHEMA.model_copy(update={"columns": [first.model_copy(update={"missing": True}), *others]})
    assert canary.accepts_rows_of(more, bundles.SCHEMA)
    assert not canary.accepts_rows_of(bundles.SCHEMA, more)
    fewer = Schema(target="species", classes=bundles.CLASSES, columns=others)
    assert not canary.accepts_rows_of(fewer, bundles.SCHEMA)
    assert not canary.accepts_rows_of(bundles.PRICES, bundles.SCHEMA)


def recorded(home: Home, version: int) -> str:
    with Journal.reading(home.journal) as journal:
        version_row = journal.versions.get(version)
    assert version_row is not None
    return str(version_row["bundle"])
