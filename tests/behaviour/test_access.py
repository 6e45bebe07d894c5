"""Who may ask, and who may look: by who comes, by token and scope, never by the address that we bind."""

import itertools
import json
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import bundles
import pytest
from service import wait_until
from sites import PREDICTION, Client, Site

from daemon.access import tokens
from daemon.core.home import Home
from daemon.core.scopes import ALL, Scope
from daemon.core.settings import Server, Settings
from daemon.storage.prediction_history import HistoryCopier
from web.auth import path_scopes
from web.auth.access import CALLER, Access
from web.auth.failed_tokens import KEPT, MOST, Failures
from web.http.client_address import FORWARDED, LONGEST, Peers
from web.http.wsgi_environ import MOST_KEYS, Keys

STRANGER = {"X-Forwarded-For": "203.0.113.9"}
ROW = {**PREDICTION, "target": "virginica"}

ASKED = [
    *(
        ("GET", path, None)
        for path in ("/predictions/history", "/drops", "/drops/x", "/events", "/versions", "/versions/1")
    ),
    *(
        ("GET", path, None)
        for path in ("/dashboard", "/dashboard/data", "/drift", "/docs", "/openapi.json", "/requests/x")
    ),
    *(("GET", path, None) for path in ("/metrics", "/prometheus_metrics", "/v2", "/v1/models", "/v2/models/retraind")),
    ("POST", "/predict", PREDICTION),
    ("POST", "/invocations", {"inputs": [bundles.SETOSA]}),
    ("POST", "/v1/models/retraind:predict", {"instances": [bundles.SETOSA]}),
    ("POST", "/add_training_data", ROW),
    ("POST", "/trigger_retrain", {"force_retrain": True}),
    *(("POST", path, {}) for path in ("/promote", "/refuse", "/rollback")),
    *(("POST", path, {"drop": "a.csv"}) for path in ("/accept", "/reject")),
]
"""What a stranger might want."""


def bearer(secret: str) -> dict[str, str]:
    return {**STRANGER, "Authorization": f"Bearer {secret}"}


def may(site: Site, secret: str) -> set[Scope]:
    """The scopes that a token turns out to have."""
    asked: dict[Scope, tuple[str, str, Any]] = {
        Scope.PREDICT: ("POST", "/predict", PREDICTION),
        Scope.READ: ("GET", "/versions", None),
        Scope.WRITE: ("POST", "/trigger_retrain", {"force_retrain": True}),
        Scope.ADMIN: ("POST", "/rollback", {}),
    }
    answers = {scope: site.ask(*what, headers=bearer(secret))[0] for scope, what in asked.items()}
    assert set(answers.values()) <= {200, 202, 401, 403}
    return {scope for scope, status in answers.items() if status < 300}


# Who comes


@pytest.mark.parametrize(("method", "path", "body"), ASKED, ids=[f"{method} {path}" for method, path, _ in ASKED])
def test_a_stranger_behind_a_proxy_may_nothing(site: Site, method: str, path: str, body: Any) -> None:
    """The proxy connects to loopback and asks for `localhost`, as many examples tell people to configure it."""
    before = sorted(path.name for path in (*site.home.inbox.iterdir(), *site.home.requests.iterdir()))
    status, headers, text = site.ask(method, path, body, {**STRANGER, "Host": "localhost"})
    assert status == 401
    assert headers["www-authenticate"].startswith("Bearer")
    assert b"token" in text
    assert sorted(path.name for path in (*site.home.inbox.iterdir(), *site.home.requests.iterdir())) == before


def test_a_program_of_this_machine_needs_no_token(site: Site) -> None:
    for method, path, body in ASKED:
        assert site.ask(method, path, body)[0] not in (401, 403), path


@pytest.mark.parametrize("header", sorted(FORWARDED))
def test_every_trace_of_a_proxy_counts_whatever_it_says(site: Site, header: str) -> None:
    """Also one that is no text, to which a proxy has added an address: it is left out of the headers that we are given."""
    head = "GET /versions HTTP/1.1\r\nHost: localhost\r\n"
    assert sent(site.port, head) == 200
    for value in ("", "127.0.0.1", "for=127.0.0.1", "localhost", "::1", "\u00e9, 203.0.113.9"):
        assert sent(site.port, f"{head}{header.title()}: {value}\r\n") == 401
    assert sent(site.port, f"{head}{header.upper()}:\r\n{header}: x\r\n") == 401


def sent(port: int, head: str, source: str = "127.0.0.1") -> int:
    """The status that a request head gets, sent as it stands here from an address of this machine."""
    with socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0)) as client:
        client.sendall(f"{head}Connection: close\r\n\r\n".encode())
        return int(client.recv(100).split()[1])


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A worker behind a proxy, for which an admin's token is needed."""
    site = Site(tmp_path_factory.mktemp("public"), Settings(server=Server(public_url="https://models.example.org")))
    site.home.token.write_text("secret\n")
    yield site
    site.close()


@pytest.mark.parametrize(
    "head",
    [
        "GET http://models.example.org/versions HTTP/1.1\r\nHost: localhost\r\n",
        "GET /versions HTTP/1.1\r\nHost: models.example.org\r\n",
        "GET /versions HTTP/1.1\r\nHost: localhost\r\n",
        "GET /versions HTTP/1.1\r\nHost: models.example.org\r\nX-Forwarded-Host: localhost\r\n",
        "GET /versions?token=secret HTTP/1.1\r\nHost: localhost\r\nVia: x\r\n",
        "GET /versions?access_token=secret HTTP/1.1\r\nHost: localhost\r\nVia: x\r\n",
    ],
)
def test_a_public_name_is_not_asked_for_by_a_program_of_this_machine(public: Site, head: str) -> None:
    """Nor any other where the settings speak of a proxy, which may pass on what the stranger says; nor do tokens in addresses."""
    assert sent(public.port, head) == 401
    assert sent(public.port, f"{head}Authorization: Bearer secret\r\n") == 200


@pytest.mark.parametrize(
    "path", ["/ver%ffsions", "//versions", "/versions/", "/%76ersions", "/./versions", "/versions%00", "/versions%3F"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "get"])
def test_no_spelling_of_a_path_or_method_gets_by(site: Site, method: str, path: str) -> None:
    assert sent(site.port, f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nVia: x\r\n") in (401, 404, 405)


@pytest.mark.parametrize(
    ("peer", "host", "local"),
    [
        ("127.0.0.1", "localhost:5000", True),
        ("[::1]", "[::1]:5000", True),
        ("[::ffff:127.0.0.1]", "127.0.0.1", True),
        ("127.8.9.10", "LOCALHOST", True),
        ("", "localhost", False),
        ("192.168.1.5", "localhost", False),
        ("[fe80::1]", "localhost", False),
        ("nonsense", "localhost", False),
        ("127.0.0.1", "box.lan", False),
        ("127.0.0.1", "localhost.evil.example", False),
        ("127.0.0.1", "localhost,box.lan", False),
        ("127.0.0.1", "", False),
    ],
)
def test_who_is_local(peer: str, host: str, local: bool) -> None:
    environ = {"REMOTE_ADDR": peer, "HTTP_HOST": host, "retraind.proxied": False}
    peers = Peers(Server(allowed_hosts=["box.lan"]))
    assert peers.is_local(environ) is local
    assert not peers.is_local({**environ, "retraind.proxied": True})
    assert not peers.is_local({"REMOTE_ADDR": peer, "HTTP_HOST": host}), "nobody has looked for traces of a proxy"


def test_settings_say_from_whom_tokens_are_asked(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    asked = {"here": {}, "by socket": {"REMOTE_ADDR": ""}, "remote": {"REMOTE_ADDR": "192.168.1.5"}}
    answered = {
        auth: [
            Client(home, Settings(server=Server(auth=auth))).ask("GET", "/versions", b"", **caller)[0]
            for caller in asked.values()
        ]
        for auth in ("always", "beyond_loopback", "token", "none")
    }
    assert answered == {
        "always": [401, 401, 401],
        "beyond_loopback": [200, 401, 401],
        "token": [200, 401, 401],  # its name until now
        "none": [200, 200, 200],
    }
    for server in (
        Server(public_url="http://x"),
        Server(trusted_proxies=["unix"]),
        Server(trusted_proxies=["10.0.0.7"]),
    ):
        assert Client(home, Settings(server=server)).ask("GET", "/versions", b"")[0] == 401


def test_what_supervisors_ask_is_open_and_says_no_more_than_needed(own: Site) -> None:
    (own.home.registry / "champion.json").write_text("{}")
    reason = wait_until(lambda: own.get("/health")[1]["checks"].get("promoted_version"))
    assert reason["detail"]
    for path in ("/livez", "/readyz", "/health", "/ping", "/v2/health/live", "/v2/health/ready"):
        status, _, text = own.ask("GET", path, headers={**STRANGER, "Host": "localhost"})
        assert status == own.ask("GET", path)[0]
        assert b"champion.json" not in text
        assert b"pid" not in text
    checks = own.get("/health", **STRANGER)[1]
    assert {check["detail"] for check in checks["checks"].values()} == {""}
    assert "promoted_version" in checks["reasons"]


def test_strangers_may_what_the_settings_allow_them(tmp_path: Path) -> None:
    site = Site(tmp_path, Settings(server=Server(auth="always", anonymous=[Scope.PREDICT])))
    assert site.post("/predict", PREDICTION)[0] == 200
    assert site.get("/versions")[0] == 401
    assert site.post("/trigger_retrain", {})[0] == 401
    site.close()


# Tokens and scopes


def test_every_route_has_a_scope_or_is_open(flowers: Client) -> None:
    """And the table names no path that there is not."""
    templates = {route.name or route.rule for route in flowers.app.routes}
    for template in templates:
        path_scopes.needed(template)
    assert set(path_scopes.TABLE) <= templates
    with pytest.raises(KeyError):
        path_scopes.needed("/new")
    open_to_all = {template for template in templates if path_scopes.needed(template) is None}
    supervised = {"/", "/livez", "/readyz", "/health", "/ping", "/v2/health/live", "/v2/health/ready"}
    assert open_to_all == supervised | {"/static/<name>", "/docs/<release>/<name>", "/sign-in", "/sign-out"}


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
    head = f"GET /versions HTTP/1.1\r\nHost: localhost\r\nVia: x\r\nAuthorization: {given}\r\n"
    assert sent(locked.port, head, source) == 401
    assert sent(locked.port, f"{head}Authorization: Bearer s3cret\r\n", source) == 401
    assert sent(locked.port, head.replace(f"Authorization: {given}\r\n", "Authorization: Bearer s3cret\r\n")) == 200


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


# Failures


def test_guessing_is_counted_and_slowed_and_blocks_no_other_client(tmp_path: Path) -> None:
    site = Site(tmp_path, Settings(server=Server(trusted_proxies=["127.0.0.1"])))
    other = {"X-Forwarded-For": "198.51.100.7", "Authorization": "Bearer s3cret"}
    site.home.token.write_text("s3cret\n")
    statuses = [site.ask("GET", "/versions", headers=bearer(f"guess {n}"))[0] for n in range(MOST + 3)]
    assert statuses == [401] * MOST + [429] * 3
    status, headers, _ = site.ask("GET", "/versions", headers=bearer("s3cret"))
    assert (status, 0 < int(headers["retry-after"]) <= 60) == (429, True), "a right guess is not told from a wrong one"
    assert site.ask("GET", "/versions", headers=other)[0] == 200
    assert site.get("/metrics", **other)[1]["auth_failures"] == MOST + 4
    assert b"retraind_auth_failures_total 14.0" in site.ask("GET", "/prometheus_metrics", headers=other)[2]
    site.close()


def test_who_was_right_before_is_not_shut_out_by_others_of_its_address(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    access, secret = Access(Server(), home), tokens.create(home, "good", [Scope.READ])
    environ = {"REMOTE_ADDR": "192.168.1.5", "HTTP_HOST": "localhost", "HTTP_AUTHORIZATION": f"Bearer {secret}"}
    assert access.recognise(environ).name == "good"
    for _ in range(MOST):
        access.failures.add("192.168.1.5")
    assert access.recognise(environ).name == "good"
    assert environ[CALLER].scopes == {Scope.READ}  # type: ignore[attr-defined]


def test_the_table_of_failures_is_bounded() -> None:
    failures = Failures()
    for number in range(KEPT + 100):
        failures.add(str(number))
        failures.mark_proven(str(number), "x")
    assert len(failures._failed) == len(failures._proven) == KEPT
    assert failures.count == KEPT + 100


# Proxies


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "127.0.0.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::/64"),
        ("10.0.0.1", "2001:db8::ffff:1", "2001:db8::/64"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, nonsense", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9,", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("192.168.1.5", "203.0.113.9", "192.168.1.5"),
        ("", "203.0.113.9", "203.0.113.9"),
    ],
)
def test_whom_limits_hold_for(peer: str, forwarded: str, address: str) -> None:
    peers = Peers(Server(trusted_proxies=["10.0.0.0/8", "unix"]))
    assert peers.address({"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}) == address


def test_long_headers_are_neither_looked_at_nor_kept(site: Site) -> None:
    """Caches are bounded in entries; of such length they would hold megabytes for whoever sends them."""
    peers = Peers(Server(trusted_proxies=["10.0.0.0/8"]))
    environ = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": " " * LONGEST + "203.0.113.9"}
    assert peers.address(environ) == "10.0.0.1"
    keys = Keys()
    assert (keys["x-short"], keys["x" * (LONGEST + 1)], list(keys)) == ("HTTP_X_SHORT", None, ["x-short"])
    assert [keys[f"x-{number}"] for number in range(MOST_KEYS)][-1] == f"HTTP_X_{MOST_KEYS - 1}"
    assert len(keys) <= MOST_KEYS
    head = "GET /versions HTTP/1.1\r\nHost: localhost:"
    assert (sent(site.port, f"{head}5000\r\n"), sent(site.port, f"{head}{'0' * LONGEST}5000\r\n")) == (200, 400)


def test_a_proxy_that_is_not_trusted_is_not_believed() -> None:
    peers = Peers(Server())
    environ = {"REMOTE_ADDR": "", "HTTP_X_FORWARDED_FOR": "203.0.113.9", "HTTP_X_FORWARDED_PROTO": "https"}
    assert (peers.address(environ), peers.scheme(environ)) == ("unix", None)


@pytest.mark.parametrize(
    ("origin", "host", "proto", "status"),
    [
        ("https://models.example.org", "models.example.org", "https", 202),
        ("https://models.example.org", "localhost", "https", 202),
        ("https://MODELS.example.org", "models.example.org", "https", 202),
        ("http://models.example.org", "models.example.org", "https", 403),
        ("https://models.example.org.evil.example", "models.example.org", "https", 403),
        ("https://evil.example", "models.example.org", "https", 403),
        ("https://models.example.org:8443", "models.example.org", "https", 403),
        ("null", "models.example.org", "https", 403),
        ("https://localhost", "localhost", "https", 202),
        ("http://localhost", "localhost", "https", 403),
        ("https://evil.example", "evil.example", "https", 421),
    ],
)
def test_whose_pages_may_write_through_a_proxy(tmp_path: Path, origin: str, host: str, proto: str, status: int) -> None:
    home = Home(tmp_path)
    home.make()
    home.token.write_text("s3cret\n")
    server = Server(host="", unix_socket="x", public_url="https://models.example.org/", trusted_proxies=["unix"])
    client = Client(home, Settings(server=server))
    environ = {"REMOTE_ADDR": "", "HTTP_X_FORWARDED_PROTO": proto, "HTTP_AUTHORIZATION": "Bearer s3cret"}
    answered = client.ask("POST", "/rollback", b"{}", HTTP_ORIGIN=origin, HTTP_HOST=host, **environ)
    assert answered[0] == status, answered[2]


def test_our_public_page_has_no_say_over_the_loopback_address(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    home.token.write_text("s3cret\n")
    client = Client(home, Settings(server=Server(public_url="https://models.example.org")))
    environ = {"HTTP_AUTHORIZATION": "Bearer s3cret"}
    assert client.ask("POST", "/rollback", b"{}", HTTP_ORIGIN="https://models.example.org", **environ)[0] == 403
    assert client.ask("POST", "/rollback", b"{}", HTTP_ORIGIN="http://localhost:5000", **environ)[0] == 202
