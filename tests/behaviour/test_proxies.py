"""nginx and Caddy as examples/ configures them, in front of a worker at a Unix socket: strangers stay out, browsers work."""

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bundles
import pytest
from service import wait_until

from retraind.daemon.access import tokens
from retraind.daemon.core.home import Home
from retraind.daemon.core.scopes import Scope
from retraind.daemon.core.settings import Server, Settings
from retraind.daemon.processes.workers import Workers
from retraind.web.auth.failed_tokens import MOST
from retraind.web.auth.sessions import SECURE

EXAMPLES = Path(__file__).parents[2] / "examples"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
CADDY = shutil.which("caddy")
OPENSSL = shutil.which("openssl")
NAME = "models.example.org"
JSON = {"Content-Type": "application/json"}
PREDICTION = {"features": bundles.SETOSA}
SPOOFED = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP")


@dataclass
class Proxy:
    """What strangers reach: TLS at a port of 127.0.0.1."""

    port: int
    home: Home
    trust: ssl.SSLContext

    def connect(self) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(NAME, self.port, timeout=20, context=self.trust)
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.sock = self.trust.wrap_socket(plain, server_hostname=NAME)
        return connection

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = self.connect()
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            sent = {"Host": NAME, **(JSON if method == "POST" else {}), **(headers or {})}
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of our own for NAME, and its key."""
    assert OPENSSL
    cert, key = folder / "fullchain.pem", folder / "privkey.pem"
    command = [OPENSSL, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    subprocess.run([*command, *names, "-out", str(cert), "-keyout", str(key)], check=True, capture_output=True)
    return cert, key


def nginx(folder: Path, path: Path, port: int, cert: Path, key: Path) -> list[str]:
    """The command that runs the example with our paths and ports, in the foreground."""
    text = (EXAMPLES / "nginx.conf").read_text()
    for old, new in (
        ("/var/lib/retraind/retraind.sock", str(path)),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("listen 80", f"listen 127.0.0.1:{free_port()}"),
        ("/etc/ssl/retraind/fullchain.pem", str(cert)),
        ("/etc/ssl/retraind/privkey.pem", str(key)),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "retraind.conf").write_text(text)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.getuid() == 0 else ""
    common = f"{user}daemon off;\nerror_log stderr;\npid {folder}/nginx.pid;\nevents {{}}\n"
    (folder / "nginx.conf").write_text(
        f"{common}http {{\naccess_log off;\n{temporary}include {folder}/retraind.conf;\n}}\n"
    )
    assert NGINX
    return [NGINX, "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, path: Path, port: int, cert: Path, key: Path) -> list[str]:
    """The command that runs the example with our path, port and certificate, which Caddy could not get here."""
    text = (EXAMPLES / "Caddyfile").read_text()
    for old, new in (
        ("/var/lib/retraind/retraind.sock", str(path)),
        (f"{NAME} {{", f"https://{NAME}:{port} {{\n\tbind 127.0.0.1\n\ttls {cert} {key}"),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{text}")
    assert CADDY
    return [CADDY, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


PROXIES = {"nginx": (NGINX, nginx), "caddy": (CADDY, caddy)}


@pytest.fixture(scope="module", params=sorted(PROXIES))
def proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    program, configured = PROXIES[request.param]
    if program is None or OPENSSL is None:
        pytest.skip(f"{request.param} or openssl is not installed")
    home = Home(tmp_path_factory.mktemp("home"))
    home.make()
    home.schema.write_bytes(bundles.SCHEMA.dump())
    bundles.point(home, bundles.make(home, 1))
    with tempfile.TemporaryDirectory() as folder:  # of pytest, paths are too long for a socket
        path, port = Path(folder) / "retraind.sock", free_port()
        server = Server(host="", unix_socket=str(path), public_url=f"https://{NAME}", trusted_proxies=["unix"])
        workers = Workers(home, Settings(server=server), 1)
        workers.supervise(0.0)
        wait_until(lambda: list(home.workers.glob("0-*.json")))
        cert, key = certificate(Path(folder))
        command = configured(Path(folder), path, port, cert, key)
        environment = {**os.environ, "XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder, "HOME": folder}
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(command, stderr=log, stdout=log, env=environment)
        proxy = Proxy(port, home, ssl.create_default_context(cafile=str(cert)))
        try:
            wait_until(lambda: answers(proxy, process, Path(folder) / "log"), 30)
            yield proxy
        finally:
            process.terminate()
            process.wait(20)
            workers.close()


def answers(proxy: Proxy, process: "subprocess.Popen[bytes]", log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        return proxy.ask("GET", "/livez")[0] == 200
    except OSError:
        return False


def bearer(proxy: Proxy, *scopes: Scope) -> dict[str, str]:
    name = f"token-{len(tokens.known(proxy.home))}"
    return {"Authorization": f"Bearer {tokens.create(proxy.home, name, scopes)}"}


@pytest.mark.parametrize("claimed", ["", "127.0.0.1", "::1", "127.0.0.1, 127.0.0.1", "unix"])
def test_strangers_may_nothing_whatever_they_say_of_themselves(proxy: Proxy, claimed: str) -> None:
    said = dict.fromkeys(SPOOFED, claimed) if claimed else {}
    said |= {"X-Forwarded-Host": "localhost", "X-Forwarded-Proto": "http"} if claimed else {}
    for path in ("/versions", "/predictions/history", "/drops", "/events", "/dashboard", "/openapi.json", "/metrics"):
        assert proxy.ask("GET", path, headers=said)[0] == 401, path
    posts: dict[str, Any] = {"/predict": PREDICTION, "/add_training_data": {**PREDICTION, "target": 0}}
    for path in ("/predict", "/add_training_data", "/trigger_retrain", "/promote", "/rollback"):
        assert proxy.ask("POST", path, posts.get(path, {}), said)[0] == 401, path
    assert proxy.ask("GET", "/livez", headers=said)[0] == 200
    assert list(proxy.home.requests.iterdir()) == []
    assert [path for path in proxy.home.inbox.iterdir() if path.is_file()] == []


def test_who_has_a_token_may_what_it_says(proxy: Proxy) -> None:
    status, _, text = proxy.ask("POST", "/predict", PREDICTION, bearer(proxy, Scope.PREDICT))
    assert (status, json.loads(text)["prediction_name"]) == (200, "setosa")
    assert proxy.ask("GET", "/versions", headers=bearer(proxy, Scope.PREDICT))[0] == 403
    assert proxy.ask("GET", "/versions", headers=bearer(proxy, Scope.READ))[0] == 200
    large = {"instances": [bundles.SETOSA] * 60_000}
    assert proxy.ask("POST", "/predict", large, bearer(proxy, Scope.PREDICT))[0] == 200


def test_a_browser_signs_in_and_writes_and_other_sites_do_not(proxy: Proxy) -> None:
    page = {"Origin": f"https://{NAME}", "Sec-Fetch-Site": "same-origin"}
    status, headers, _ = proxy.ask("GET", "/dashboard", headers={"Accept": "text/html"})
    assert (status, headers["location"]) == (303, "sign-in?next=/dashboard")
    secret = bearer(proxy, Scope.ADMIN)["Authorization"].removeprefix("Bearer ")
    form = {**page, "Content-Type": "application/x-www-form-urlencoded"}
    status, headers, _ = proxy.ask("POST", "/sign-in", urllib.parse.urlencode({"token": secret}).encode(), form)
    assert status == 303
    assert headers["set-cookie"].startswith(f"{SECURE}=")
    cookie = {"Cookie": headers["set-cookie"].partition(";")[0]}
    assert proxy.ask("GET", "/dashboard", headers={**cookie, "Accept": "text/html"})[0] == 200
    assert proxy.ask("POST", "/predict", PREDICTION, {**cookie, **page})[0] == 200
    assert proxy.ask("POST", "/rollback", {}, {**cookie, **page})[0] == 202
    for foreign in ({"Origin": "https://evil.example"}, {"Origin": f"http://{NAME}"}, {"Sec-Fetch-Site": "cross-site"}):
        assert proxy.ask("POST", "/rollback", {}, {**cookie, **foreign})[0] == 403, foreign
    assert proxy.ask("POST", "/sign-out", b"", {**form, **cookie})[0] == 303
    assert proxy.ask("GET", "/versions", headers=cookie)[0] == 401
    for path in proxy.home.requests.iterdir():
        path.unlink()


def test_events_pass_as_they_happen(proxy: Proxy) -> None:
    connection = proxy.connect()
    connection.request(
        "GET", "/events", headers={"Host": NAME, "Accept": "text/event-stream", **bearer(proxy, Scope.READ)}
    )
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.readline() == b"event: status\n"
    connection.close()


def test_a_name_that_is_not_ours_is_no_way_in(proxy: Proxy) -> None:
    status, _, _ = proxy.ask("GET", "/versions", headers={"Host": "evil.example", **bearer(proxy, Scope.READ)})
    assert status != 401
    assert not 200 <= status < 300 or proxy.ask("GET", "/versions", headers={"Host": "evil.example"})[2] == b""


def test_who_guesses_is_slowed_under_every_name(proxy: Proxy) -> None:
    """The last test here: from then on no new token of this address is looked at."""
    guesses = [
        proxy.ask("GET", "/versions", headers={"Authorization": f"Bearer {n}", "X-Forwarded-For": f"198.51.100.{n}"})[0]
        for n in range(MOST + 2)
    ]
    assert guesses == [401] * MOST + [429] * 2
