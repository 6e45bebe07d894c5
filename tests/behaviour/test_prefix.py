"""Page and docs behind a path that a proxy puts before them: real nginx, which takes it away or passes it on."""

import http.client
import os
import re
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import bundles
import orjson
import pytest
from service import wait_until
from sites import PREDICTION, Client, Site
from test_proxies import NGINX, free_port

from retraind.daemon.access import tokens
from retraind.daemon.core.errors import BadSettings
from retraind.daemon.core.home import Home
from retraind.daemon.core.scopes import Scope
from retraind.daemon.core.settings import Server, Settings, load

ROOT = "/models/iris"
LINKS = re.compile(r'(?:href|src|action)="([^"]*)"')
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Prefixed:
    """nginx before one worker: at `taken` it takes the path away, at `passed` it passes it on."""

    def __init__(self, folder: Path, site: Site) -> None:
        self.taken, self.passed = free_port(), free_port()
        servers = "".join(
            f"server {{ listen 127.0.0.1:{port}; location {ROOT}/ {{ proxy_pass http://127.0.0.1:{site.port}{rest}; "
            "proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr; } }\n"
            for port, rest in ((self.taken, "/"), (self.passed, ""))
        )
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
        user = "user root;\n" if os.getuid() == 0 else ""
        common = f"{user}daemon off;\nerror_log stderr;\npid {folder}/nginx.pid;\nevents {{}}\n"
        (folder / "nginx.conf").write_text(f"{common}http {{\naccess_log off;\n{temporary}{servers}}}\n")
        self.log = folder / "nginx.log"
        command = [str(NGINX), "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=log)

    def ask(
        self, port: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request(method, path, body or None, headers or {})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return all(self.ask(port, "GET", f"{ROOT}/livez")[0] == 200 for port in (self.taken, self.passed))
        except OSError:
            return False


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("home"), Settings(server=Server(root_path=f"{ROOT}/", auth="always")))
    yield site
    site.close()


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Iterator[Prefixed]:
    if NGINX is None:
        pytest.skip("nginx is not installed")
    prefixed = Prefixed(tmp_path_factory.mktemp("nginx"), site)
    try:
        wait_until(prefixed.answers, 30)
        yield prefixed
    finally:
        prefixed.process.terminate()
        prefixed.process.wait(20)


@pytest.mark.parametrize("at", ["taken", "passed"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_pages_live_behind_a_path(nginx: Prefixed, site: Site, at: str, slash: str) -> None:
    """From the page that asks for a token to each link of the pages, by the way that a browser goes."""
    port: int = getattr(nginx, at)
    start = f"{ROOT}/dashboard{slash}"
    status, headers, _ = nginx.ask(port, "GET", start, headers={"Accept": "text/html"})
    assert status == 303
    place = urllib.parse.urljoin(start, headers["location"])
    status, _, form = nginx.ask(port, "GET", place)
    assert (status, place) == (200, f"{ROOT}/sign-in?next=/dashboard")
    action = urllib.parse.urljoin(place, re.findall(r'action="([^"]*)"', form.decode())[0])
    secret = tokens.create(site.home, f"{at}-{len(tokens.known(site.home))}", [Scope.READ])
    body = urllib.parse.urlencode({"token": secret, "next": "/dashboard"}).encode()
    status, headers, _ = nginx.ask(port, "POST", action, body, FORM)
    assert (status, urllib.parse.urljoin(action, headers["location"])) == (303, f"{ROOT}/dashboard")
    cookie = {"Cookie": headers["set-cookie"].partition(";")[0]}
    for page in (start, f"{ROOT}/docs{slash}"):
        status, _, text = nginx.ask(port, "GET", page, headers=cookie)
        assert status == 200
        links = {urllib.parse.urljoin(page, link) for link in LINKS.findall(text.decode())} - {f"{page}#main"}
        assert len(links) >= 6
        for link in links - {f"{ROOT}/sign-out"}:
            assert link.startswith(f"{ROOT}/")
            status, _, answer = nginx.ask(port, "GET", link, headers=cookie)
            # No daemon runs here, which is what health has to say.
            assert status == (503 if link.endswith("/health") else 200), (link, answer)


def test_the_description_names_the_path(nginx: Prefixed, site: Site) -> None:
    secret = tokens.create(site.home, "reader", [Scope.READ, Scope.PREDICT])
    bearer = {"Authorization": f"Bearer {secret}"}
    text = nginx.ask(nginx.taken, "GET", f"{ROOT}/openapi.json", headers=bearer)[2]
    (server,) = orjson.loads(text)["servers"]
    assert server == {"url": ROOT}
    status = nginx.ask(
        nginx.passed,
        "POST",
        f"{server['url']}/predict",
        orjson.dumps(PREDICTION),
        {"Content-Type": "application/json", **bearer},
    )[0]
    assert status == 200


def test_who_asks_the_service_itself_needs_no_path(site: Site) -> None:
    for path in ("/livez", f"{ROOT}/livez", f"{ROOT}", f"{ROOT}/"):
        assert site.ask("GET", path, headers={"Accept": "application/json"})[0] == 200
    assert site.ask("GET", f"{ROOT}x/livez")[0] == 404


def test_two_services_at_one_host_have_cookies_of_their_own(tmp_path: Path) -> None:
    names = []
    for root in ("/a", "/b", ""):
        home = Home(tmp_path / f"home{root.strip('/')}")
        home.root.mkdir()
        home.make()
        home.schema.write_bytes(bundles.SCHEMA.dump())
        client = Client(home, Settings(server=Server(root_path=root, auth="always")))
        secret = tokens.create(home, "ada", [Scope.READ])
        body = urllib.parse.urlencode({"token": secret}).encode()
        _, headers, _ = client.ask("POST", "/sign-in", body, CONTENT_TYPE=FORM["Content-Type"])
        names.append(headers["set-cookie"].partition("=")[0])
    assert len(set(names)) == 3


@pytest.mark.parametrize("wrong", ["models", "//models", "/a//b", "/a/../b", "/a b", "/a?b", "/ü", "https://x/y"])
def test_what_is_no_path_is_refused(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "retraind.toml").write_text(f'[server]\nroot_path = "{wrong}"\n')
    with pytest.raises(BadSettings, match="root_path"):
        load(tmp_path / "retraind.toml")
