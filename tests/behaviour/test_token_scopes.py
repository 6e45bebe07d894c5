"""Tokens: what their scopes allow, when they are valid, and what is no token."""

import itertools
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import bundles
import pytest
from callers import STRANGER, VERSIONS, bearer, may, sent, with_token
from service import wait_until
from sites import PREDICTION, Client, Site

from retraind.daemon.access import tokens
from retraind.daemon.core.home import Home
from retraind.daemon.core.scopes import ALL, Scope
from retraind.daemon.core.settings import Server, Settings
from retraind.daemon.storage.prediction_history import HistoryCopier
from retraind.web.auth.access import Access


def test_a_token_may_what_its_scopes_say_and_is_known_and_gone_at_once(own: Site) -> None:
    for chosen in ([Scope.PREDICT], [Scope.READ], [Scope.WRITE], [Scope.PREDICT, Scope.WRITE], [Scope.ADMIN]):
        secret = tokens.create(own.home, "one", chosen)
        assert may(own, secret) == (ALL if chosen == [Scope.ADMIN] else set(chosen))
        tokens.revoke(own.home, "one")
        wait_until(lambda secret=secret: own.ask("GET", "/livez", headers=bearer(secret))[0] == 401, 5)  # type: ignore[misc]
    status, _, text = own.ask("POST", "/promote", {}, bearer(tokens.create(own.home, "reader", [Scope.READ])))
    assert (status, json.loads(text)["detail"]) == (403, "The token 'reader' does not have the scope 'admin'.")


def test_the_old_token_is_an_admins_and_a_new_one_in_its_place_holds_at_once(own: Site) -> None:
    own.home.token.write_text("s3cret\n")
    assert may(own, "s3cret") == ALL
    own.home.token.write_text("other\n")
    assert wait_until(lambda: may(own, "other") == ALL)
    assert own.ask("GET", "/versions", headers=bearer("s3cret"))[0] == 401
    own.home.token.unlink()
    wait_until(lambda: own.ask("GET", "/versions", headers=bearer("other"))[0] == 401)
    assert own.ask("GET", "/versions", headers=bearer(""))[0] == 401


SOURCES = itertools.count(2)
"""Addresses of this machine are 127.0.0.N."""


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A worker with an admin's token, which strangers need."""
    site = Site(tmp_path_factory.mktemp("locked"))
    site.home.token.write_text("s3cret\n")
    yield site
    site.close()


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Bearer",
        "Bearer wrong",
        "Basic s3cret",
        "s3cret",
        "Bearer s3cret s3cret",
        f"Bearer {'x' * 9000}",
    ],
)
def test_what_is_no_token_opens_nothing(locked: Site, given: str) -> None:
    source = f"127.0.0.{next(SOURCES)}"  # who guesses too often is slowed down
    proxied = f"{VERSIONS}Via: x\r\n"
    head = f"{proxied}Authorization: {given}\r\n"
    assert sent(locked.port, head, source) == 401
    assert sent(locked.port, with_token(head, "s3cret"), source) == 401
    assert sent(locked.port, with_token(proxied, "s3cret")) == 200


def test_a_wrong_token_on_an_open_path_is_a_failure_too(site: Site) -> None:
    """Or whether details are told would tell who guesses."""
    before = site.get("/metrics")[1]["auth_failures"]
    assert site.ask("GET", "/readyz", headers=bearer("wrong"))[0] == 401
    assert site.get("/metrics")[1]["auth_failures"] == before + 1


def test_an_expired_token_is_none(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    access = Access(Server(), home)
    lasting, over = (
        tokens.create(home, name, [Scope.READ], lasts) for name, lasts in (("a", timedelta(1)), ("b", timedelta(0)))
    )
    assert access.keyring.find(lasting) is not None
    assert access.keyring.find(over) is None


@pytest.mark.parametrize("size", [2, 60_000, 8_000_000])
def test_a_refused_body_is_answered_after_it_was_sent(site: Site, size: int) -> None:
    """A proxy that is still sending would not hear it; what is sent is thrown away."""
    status, headers, _ = site.ask("POST", "/add_training_data", b"x" * size, STRANGER)
    assert (status, headers["connection"]) == (401, "close")


def test_predictions_know_who_asked(tmp_path: Path) -> None:
    """So that the history can tell whose rows give way."""
    home = Home(tmp_path)
    home.make()
    home.schema.write_bytes(bundles.SCHEMA.dump())
    bundles.point(home, bundles.make(home, 1))
    client = Client(home, Settings(server=Server(anonymous=[Scope.PREDICT])))
    secret, body = tokens.create(home, "shop", [Scope.PREDICT]), json.dumps(PREDICTION).encode()
    remote = {"REMOTE_ADDR": "192.168.1.5"}
    assert client.ask("POST", "/predict", body)[0] == 200
    assert client.ask("POST", "/predict", body, **remote)[0] == 200
    assert client.ask("POST", "/predict", body, HTTP_AUTHORIZATION=f"Bearer {secret}", **remote)[0] == 200
    history_copier = HistoryCopier(home, Settings())
    history_copier.copy()
    history_copier.close()
    assert [row["caller"] for row in client.worker.records.predictions.newest(10)] == ["shop", "anonymous", ""]
