"""Wrong tokens: they are counted and slowed by address, within bounds, and other clients are not affected."""

from pathlib import Path

import pytest
from callers import bearer, sent
from sites import Site

from retraind.daemon.access import tokens
from retraind.daemon.core.home import Home
from retraind.daemon.core.scopes import Scope
from retraind.daemon.core.settings import Server, Settings
from retraind.web.auth.access import CALLER, Access
from retraind.web.auth.failed_tokens import KEPT, MOST, Failures
from retraind.web.http.client_address import LONGEST, Peers
from retraind.web.http.wsgi_environ import MOST_KEYS, Keys

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
