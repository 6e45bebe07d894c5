"""Who may ask, and who may look: by who comes, by token and scope, never by the address that we bind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bundles
import pytest
from callers import ROW, STRANGER, VERSIONS, sent, with_token
from service import wait_until
from sites import PREDICTION, Client, Site

from retraind.daemon.core.home import Home
from retraind.daemon.core.scopes import Scope
from retraind.daemon.core.settings import Server, Settings
from retraind.web.auth import path_scopes
from retraind.web.http.client_address import FORWARDED, Peers

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
    assert sent(site.port, VERSIONS) == 200
    for value in ("", "127.0.0.1", "for=127.0.0.1", "localhost", "::1", "\u00e9, 203.0.113.9"):
        assert sent(site.port, f"{VERSIONS}{header.title()}: {value}\r\n") == 401
    assert sent(site.port, f"{VERSIONS}{header.upper()}:\r\n{header}: x\r\n") == 401


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
        VERSIONS,
        "GET /versions HTTP/1.1\r\nHost: models.example.org\r\nX-Forwarded-Host: localhost\r\n",
        "GET /versions?token=secret HTTP/1.1\r\nHost: localhost\r\nVia: x\r\n",
        "GET /versions?access_token=secret HTTP/1.1\r\nHost: localhost\r\nVia: x\r\n",
    ],
)
def test_a_public_name_is_not_asked_for_by_a_program_of_this_machine(public: Site, head: str) -> None:
    """Nor any other where the settings speak of a proxy, which may pass on what the stranger says; nor do tokens in addresses."""
    assert sent(public.port, head) == 401
    assert sent(public.port, with_token(head, "secret")) == 200


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
    for path in ("/livez", "/readyz", "/leadz", "/health", "/ping", "/v2/health/live", "/v2/health/ready"):
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
    supervised = {"/", "/livez", "/readyz", "/leadz", "/health", "/ping", "/v2/health/live", "/v2/health/ready"}
    assert open_to_all == supervised | {"/static/<name>", "/docs/<release>/<name>", "/sign-in", "/sign-out"}


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
