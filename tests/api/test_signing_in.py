"""Signing in with a browser: by a plain form, with a cookie that no page and no other site can use, and out again."""

import os
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, Browser
from service import wait_until
from sites import PREDICTION, Client, Site

from retraind.daemon.access import tokens
from retraind.daemon.access.tokens import Token
from retraind.daemon.core.home import Home
from retraind.daemon.core.scopes import Scope
from retraind.daemon.core.settings import Server, Settings
from retraind.web.auth import sessions
from retraind.web.auth.access import Access
from retraind.web.auth.sessions import PLAIN, SECURE

ALWAYS = Settings(server=Server(auth="always"))
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PUBLIC = Server(public_url="https://models.example.org", trusted_proxies=["unix"])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A worker that asks everybody for a token, shared by the tests that leave it as it was."""
    site = Site(tmp_path_factory.mktemp("shared"), ALWAYS)
    yield site
    site.close()


@pytest.fixture
def closed(shared: Site) -> Iterator[Site]:
    """A worker that asks everybody for a token, and for which there is none yet."""
    yield shared
    for folder in (shared.home.tokens, shared.home.sessions, shared.home.requests):
        for path in folder.iterdir():
            path.unlink()


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[Site]:
    """A worker that asks everybody for a token, for one test."""
    site = Site(tmp_path / "home", ALWAYS)
    yield site
    site.close()


def sign_in(site: Site, secret: str, **more: str) -> tuple[int, dict[str, str], bytes]:
    body = urllib.parse.urlencode({"token": secret, "next": more.pop("goal", "/dashboard")}).encode()
    return site.ask("POST", "/sign-in", body, {**FORM, **more})


def cookie_of(headers: dict[str, str]) -> str:
    return headers["set-cookie"].partition(";")[0]


def test_a_browser_is_led_to_the_form_and_back(closed: Site) -> None:
    secret = tokens.create(closed.home, "ada", [Scope.READ])
    for page in ("/dashboard", "/docs"):
        status, headers, _ = closed.ask("GET", page, headers={"Accept": "text/html,*/*"})
        assert (status, headers["location"]) == (303, f"sign-in?next={page}")
        status, headers, form = closed.ask("GET", "/" + headers["location"])
        assert (status, headers["content-type"], headers["cache-control"]) == (
            200,
            "text/html; charset=utf-8",
            "no-store",
        )
        assert f'name="next" value="{page}"'.encode() in form
        status, headers, _ = sign_in(closed, secret, goal=page)
        assert (status, headers["location"]) == (303, page.removeprefix("/"))
        attributes = set(headers["set-cookie"].split("; ")[1:])
        assert {"Path=/", "HttpOnly", "SameSite=Strict", "Max-Age=604800"} == attributes
        assert closed.ask("GET", page, headers={"Cookie": cookie_of(headers)})[0] == 200
    assert b"<strong>ada</strong>" in closed.ask("GET", "/dashboard", headers={"Cookie": cookie_of(headers)})[2]


@pytest.mark.parametrize(
    "goal", ["https://evil.example", "//evil.example", "/dashboard/../x", "javascript:x", "/static/x"]
)
def test_sign_in_redirects_to_our_own_pages_only(closed: Site, goal: str) -> None:
    secret = tokens.create(closed.home, "ada", [Scope.READ])
    assert sign_in(closed, secret, goal=goal)[1]["location"] == "dashboard"


def test_a_wrong_token_gives_the_form_again(lone: Site) -> None:
    status, headers, page = sign_in(lone, "<script>")
    assert status == 401
    assert "set-cookie" not in headers
    assert b'role="alert"' in page
    assert b"<script>" not in page
    status, _, page = sign_in(lone, tokens.create(lone.home, "writer", [Scope.WRITE]))
    assert (status, b"lacks the scope" in page) == (403, True)
    assert sign_in(lone, "")[0] == 401
    assert lone.ask("POST", "/sign-in", b"token=" + b"x" * 5000, FORM)[0] == 413
    assert lone.ask("POST", "/sign-in", {"token": "x"})[0] == 415
    statuses = [sign_in(lone, "guess")[0] for _ in range(12)]
    assert statuses[-1] == 429


def test_a_cookie_may_what_its_token_may(closed: Site) -> None:
    def asked(*scopes: Scope) -> list[int]:
        cookie = {"Cookie": cookie_of(sign_in(closed, tokens.create(closed.home, "-".join(("x", *scopes)), scopes))[1])}
        posts: tuple[tuple[str, dict[str, Any]], ...] = (
            ("/predict", PREDICTION),
            ("/trigger_retrain", {"force_retrain": True}),
            ("/rollback", {}),
        )
        page = closed.ask("GET", "/dashboard", headers=cookie)[2]
        assert (b'data-action="retrain"' in page) == bool({Scope.WRITE, Scope.ADMIN} & set(scopes))
        return [
            closed.ask("GET", "/drops", headers=cookie)[0],
            *(closed.ask("POST", path, body, cookie)[0] for path, body in posts),
        ]

    assert asked(Scope.READ) == [200, 403, 403, 403]
    assert asked(Scope.READ, Scope.WRITE) == [200, 403, 202, 403]
    assert asked(Scope.ADMIN) == [200, 200, 202, 202]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:1"},
    ],
)
def test_other_sites_can_not_use_the_cookie(closed: Site, headers: dict[str, str]) -> None:
    """Even if a browser sent it to them: no writing way in, no door, no sign-in under another's name, no sign-out."""
    secret = tokens.create(closed.home, "admin", [Scope.ADMIN])
    cookie_headers = {"Cookie": cookie_of(sign_in(closed, secret)[1]), **headers}
    bodies = {"/predict": PREDICTION, "/invocations": {"inputs": [PREDICTION["features"]]}, "/v2/repository/index": {}}
    bodies |= {"/v1/models/retraind:predict": {"instances": [PREDICTION["features"]]}}
    for path in (
        "/trigger_retrain",
        "/promote",
        "/rollback",
        "/refuse",
        "/accept",
        "/reject",
        "/add_training_data",
        *bodies,
    ):
        assert closed.ask("POST", path, bodies.get(path, {}), cookie_headers)[0] == 403, path
    assert sign_in(closed, secret, **headers)[0] == 403
    assert closed.ask("POST", "/sign-out", b"", {**FORM, **cookie_headers})[0] == 403
    assert closed.ask("GET", "/drops", headers={"Cookie": cookie_headers["Cookie"]})[0] == 200


def test_signing_out_ends_the_session_here_and_in_the_browser(closed: Site) -> None:
    first, second = (
        {"Cookie": cookie_of(sign_in(closed, tokens.create(closed.home, name, [Scope.READ]))[1])} for name in "ab"
    )
    status, headers, _ = closed.ask("POST", "/sign-out", b"", {**FORM, **first})
    assert (status, headers["location"]) == (303, "sign-in")
    assert "Max-Age=0" in headers["set-cookie"]
    assert closed.ask("GET", "/drops", headers=first)[0] == 401, "who has copied the cookie is out, too"
    assert closed.ask("GET", "/drops", headers=second)[0] == 200


def test_a_request_without_any_body_signs_out_too(closed: Site) -> None:
    """Some clients say no length where there is nothing."""
    cookie = cookie_of(sign_in(closed, tokens.create(closed.home, "a", [Scope.READ]))[1])
    connection = closed.connect()
    connection.putrequest("POST", "/sign-out")
    connection.putheader("Cookie", cookie)
    connection.endheaders()
    assert connection.getresponse().status == 303
    connection.close()


def test_a_session_outlives_the_worker_and_ends_with_its_token(lone: Site) -> None:
    cookie = {"Cookie": cookie_of(sign_in(lone, tokens.create(lone.home, "ada", [Scope.READ]))[1])}
    lone.stop()
    lone.start()
    wait_until(lambda: lone.ask("GET", "/livez")[0] == 200)
    assert lone.ask("GET", "/drops", headers=cookie)[0] == 200
    tokens.revoke(lone.home, "ada")
    wait_until(lambda: lone.ask("GET", "/drops", headers=cookie)[0] == 401, 5)
    tokens.create(lone.home, "ada", [Scope.READ])
    assert lone.ask("GET", "/drops", headers=cookie)[0] == 401, "another token of that name is another token"
    assert lone.get("/livez")[0] == 200, "a cookie that has ended is no wrong token"


def test_nothing_on_the_disk_opens_a_session(closed: Site) -> None:
    secret = tokens.create(closed.home, "ada", [Scope.READ])
    cookie = cookie_of(sign_in(closed, secret)[1]).partition("=")[2]
    (file,) = closed.home.sessions.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    kept = "".join(
        path.read_text() + path.name
        for folder in (closed.home.sessions, closed.home.tokens)
        for path in folder.iterdir()
    )
    assert secret not in kept
    assert cookie not in kept
    for guess in (file.stem, "", "../tokens/ada", f"{cookie}x", f'"{cookie}"'):
        assert closed.ask("GET", "/drops", headers={"Cookie": f"{PLAIN}={guess}"})[0] == 401
    assert closed.ask("GET", "/drops", headers={"Cookie": f"{PLAIN}={cookie}; {PLAIN}=planted"})[0] == 401
    assert closed.ask("GET", "/drops", headers={"Cookie": f"a=b; {PLAIN}={cookie}; c"})[0] == 200


def test_behind_tls_the_cookie_is_for_https_and_this_host_alone(tmp_path: Path) -> None:
    """So no sibling domain, and no page by http, can plant one."""
    home = Home(tmp_path)
    home.make()
    client, secret = Client(home, Settings(server=PUBLIC)), tokens.create(home, "ada", [Scope.READ])
    proxied = {"REMOTE_ADDR": "", "HTTP_HOST": "models.example.org", "HTTP_X_FORWARDED_PROTO": "https"}
    form = {**proxied, "CONTENT_TYPE": FORM["Content-Type"], "HTTP_ORIGIN": "https://models.example.org"}
    status, headers, _ = client.ask("POST", "/sign-in", f"token={secret}".encode(), **form)
    assert status == 303
    assert headers["set-cookie"].startswith(f"{SECURE}=")
    assert "; Secure" in headers["set-cookie"]
    value = cookie_of(headers).partition("=")[2]
    assert client.ask("GET", "/drops", b"", **proxied, HTTP_COOKIE=f"{SECURE}={value}")[0] == 200
    assert client.ask("GET", "/drops", b"", **proxied, HTTP_COOKIE=f"{PLAIN}={value}")[0] == 401


def test_sessions_are_bounded_and_the_ended_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST", 3)
    home = Home(tmp_path)
    home.make()
    access = Client(home, ALWAYS).worker.access
    token = access.keyring.find(tokens.create(home, "ada", [Scope.READ]))
    assert token is not None
    secrets = [access.sessions.begin(token) for _ in range(5)]
    good = [access.sessions.find({"HTTP_COOKIE": f"{PLAIN}={secret}"}, secure=False) is not None for secret in secrets]
    assert good == [False, False, True, True, True]


def begun(access: Access, token: Token, number: int) -> list[str]:
    return [access.sessions.begin(token) for _ in range(number)]


def good(access: Access, secrets: list[str]) -> int:
    return sum(access.sessions.find({"HTTP_COOKIE": f"{PLAIN}={one}"}, secure=False) is not None for one in secrets)


def test_a_token_ends_only_its_own_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it signs in: its own oldest sessions end, and where all are too many, those of who has most."""
    monkeypatch.setattr(sessions, "EACH", 3)
    monkeypatch.setattr(sessions, "MOST", 6)
    home = Home(tmp_path)
    home.make()
    access = Client(home, ALWAYS).worker.access
    ada, eve, mallory = (access.keyring.find(tokens.create(home, name, [Scope.READ])) for name in ("ada", "eve", "mal"))
    assert ada
    assert eve
    assert mallory
    of_ada, of_eve = begun(access, ada, 1), begun(access, eve, 8)
    assert (good(access, of_ada), good(access, of_eve)) == (1, 3)
    of_mallory = begun(access, mallory, 5)
    assert (good(access, of_ada), good(access, of_eve), good(access, of_mallory)) == (1, 2, 3)
    assert good(access, of_eve[-2:]) == 2


def test_who_needs_no_token_is_led_on(site: Site) -> None:
    status, headers, _ = site.ask("GET", "/sign-in?next=/docs")
    assert (status, headers["location"]) == (303, "docs")
    assert b'action="/sign-out"' not in site.ask("GET", "/dashboard")[2]


@pytest.mark.skipif(CHROMIUM is None and "CI" not in os.environ, reason="there is no chromium on this machine")
def test_a_person_signs_in_asks_for_a_training_and_signs_out(closed: Site, tmp_path: Path) -> None:
    secret = tokens.create(closed.home, "ada", [Scope.READ, Scope.WRITE])
    browser = Browser(tmp_path / "browser")
    try:
        browser.open(f"http://127.0.0.1:{closed.port}/dashboard")
        browser.wait("location.pathname === '/sign-in' && document.readyState === 'complete'")
        browser.wait("document.querySelector('#token').value = 'wrong'")
        browser.click("button")
        browser.wait("document.querySelector('[role=alert]')?.innerText.includes('wrong')")
        browser.wait(f"document.querySelector('#token').value = '{secret}'")
        browser.click("button")
        browser.wait("location.pathname === '/dashboard' && document.querySelector('.who')?.innerText.includes('ada')")
        browser.wait("document.querySelector('#feed').dataset.state === 'live'")
        browser.click("[data-action=retrain]")
        browser.wait("document.querySelector('#toast').innerText.includes('Training requested')")
        assert browser.wait("String(document.cookie === '')") == "true", "no script sees the cookie"
        assert browser.wait("String(sessionStorage.length)") == "0"
        browser.click(".who button")
        browser.wait("location.pathname === '/sign-in'")
        browser.open(f"http://127.0.0.1:{closed.port}/docs")
        browser.wait("location.search === '?next=/docs'")
        expected = re.compile("401|403")
        assert [text for text in browser.complaints if not expected.search(text)] == []
    finally:
        browser.close()
