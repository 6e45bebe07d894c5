"""examples/one-machine: Compose takes the file, and real nginx and Prometheus run their very configurations before a real service."""

import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import unchanged
from service import Service, wait_until
from test_proxies import NAME, NGINX, OPENSSL, certificate, free_port

from retraind.daemon.access import tokens
from retraind.daemon.core import settings
from retraind.daemon.core.scopes import Scope

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "one-machine"
COMPOSE = ROOT / ".venv-manifests" / "bin" / "docker-compose"
PROMETHEUS = shutil.which("prometheus")
MB = 1024 * 1024


@dataclass
class Machine:
    """A service behind nginx with TLS, as in the example."""

    service: Service
    port: int
    plain: int
    trust: ssl.SSLContext
    token: str

    def connect(self) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(NAME, self.port, timeout=120, context=self.trust)
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=120)
        connection.sock = self.trust.wrap_socket(plain, server_hostname=NAME)
        return connection

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = self.connect()
        try:
            sent = {"Host": NAME, **{name.replace("_", "-"): value for name, value in headers.items()}}
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()


def rendered() -> dict[str, Any]:
    """What Compose makes of the file."""
    if not COMPOSE.exists():
        pytest.skip(f"{COMPOSE} is not there; ./ci.sh makes it if there is a network")
    environment = {"PATH": "/usr/bin:/bin", "NAME": NAME, "GRAFANA_PASSWORD": "secret"}
    command = [str(COMPOSE), "--file", str(EXAMPLE / "compose.yaml"), "config", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    return services


def test_every_container_is_bounded_and_confined() -> None:
    """Memory, log, rights and root file system of each; what it mounts is there."""
    services = rendered()
    assert services.keys() == {"retraind", "prometheus", "grafana", "nginx"}
    for name, service in services.items():
        assert int(service["mem_limit"]) <= 3 * 1024 * MB, name
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not str(service.get("user", "10001")).startswith("0"), "root"
        for volume in service["volumes"]:
            made_by_the_person = volume["source"].endswith("/tls")
            assert volume["type"] == "volume" or made_by_the_person or Path(volume["source"]).is_file(), volume
    assert "ports" not in services["retraind"] | services["prometheus"] | services["grafana"]


def test_settings_of_the_container_are_those_of_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in rendered()["retraind"]["environment"].items():
        monkeypatch.setenv(name, value)
    server = settings.load(tmp_path / "retraind.toml").server
    assert (server.public_url, server.root_path) == (f"https://{NAME}", "/retraind")
    assert server.max_body_bytes == 100 * MB
    assert f"client_max_body_size {server.max_body_bytes // MB}m;" in (EXAMPLE / "nginx.conf").read_text()


def variables() -> dict[str, str]:
    """The settings of the example's container as it writes them, for a service that nginx reaches on loopback."""
    text = (EXAMPLE / "compose.yaml").read_text()
    pairs = re.findall(r"^ +(RETRAIND_SERVER__\w+): *(.+?)(?: +#.*)?$", text, re.MULTILINE)
    values = {name: value.strip("'\"") for name, value in pairs}
    assert {"RETRAIND_SERVER__ROOT_PATH", "RETRAIND_SERVER__TRUSTED_PROXIES"} < values.keys()
    values["RETRAIND_SERVER__PUBLIC_URL"] = f"https://{NAME}"
    values["RETRAIND_SERVER__TRUSTED_PROXIES"] = '["127.0.0.1"]'
    return {**values, "RETRAIND_SERVER__AUTH": "always"}  # as in the image


def nginx(folder: Path, service: int, ports: tuple[int, int], files: tuple[Path, Path]) -> list[str]:
    """The command that runs the example with our addresses, in the foreground."""
    text = (EXAMPLE / "nginx.conf").read_text()
    for old, new in (
        ("server retraind:5000", f"server 127.0.0.1:{service}"),
        ("server grafana:3000", f"server 127.0.0.1:{service}"),  # there is no Grafana here
        ("listen 8443 ssl", f"listen 127.0.0.1:{ports[0]} ssl"),
        ("listen 8080", f"listen 127.0.0.1:{ports[1]}"),
        ("/etc/ssl/retraind/fullchain.pem", str(files[0])),
        ("/etc/ssl/retraind/privkey.pem", str(files[1])),
        ("/tmp/bodies", f"{folder}/bodies"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    (folder / "default.conf").write_text(text)
    kinds = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;\n" if os.getuid() == 0 else ""
    main = f"{user}daemon off;\nerror_log stderr;\npid {folder}/nginx.pid;\nevents {{}}\n"
    (folder / "nginx.conf").write_text(f"{main}http {{\naccess_log off;\n{kinds}include {folder}/default.conf;\n}}\n")
    assert NGINX
    return [NGINX, "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, served: Path) -> Iterator[Machine]:
    if NGINX is None or OPENSSL is None:
        pytest.skip("nginx or openssl is not installed")
    folder = tmp_path_factory.mktemp("machine")
    with unchanged():
        service = Service(folder / "home", **variables()).copied(served).start()
    files = certificate(folder)
    ports = free_port(), free_port()
    with (folder / "nginx.log").open("wb") as log:
        process = subprocess.Popen(nginx(folder, service.port, ports, files), stderr=log, stdout=log)
    token = tokens.create(service.home, "prometheus", [Scope.READ, Scope.PREDICT])
    machine = Machine(service, *ports, ssl.create_default_context(cafile=str(files[0])), token)
    try:
        wait_until(lambda: answers(machine), 60, f"nginx: {(folder / 'nginx.log').read_text()}")
        yield machine
    finally:
        process.terminate()
        process.wait(20)
        service.end()


def answers(machine: Machine) -> bool:
    try:
        return machine.ask("GET", "/retraind/readyz")[0] == 200
    except OSError:
        return False


def test_dashboard_lies_behind_tls_under_its_path(machine: Machine) -> None:
    """Plain HTTP and the root lead there; a browser without a session is sent to sign in, and its assets load."""
    connection = http.client.HTTPConnection("127.0.0.1", machine.plain, timeout=20)
    connection.request("GET", "/retraind/dashboard", headers={"Host": NAME})
    moved = connection.getresponse()
    assert (moved.status, moved.getheader("Location")) == (301, f"https://{NAME}/retraind/dashboard")
    connection.close()
    status, headers, _ = machine.ask("GET", "/")
    assert (status, headers["location"]) == (302, "/retraind/dashboard")
    status, headers, _ = machine.ask("GET", "/retraind/dashboard", Accept="text/html")
    assert (status, headers["location"]) == (303, "sign-in?next=/dashboard")
    assert "max-age" in headers["strict-transport-security"]
    bearer = f"Bearer {machine.token}"
    status, _, page = machine.ask("GET", "/retraind/dashboard", Accept="text/html", Authorization=bearer)
    assert status == 200
    [style] = re.findall(rb'href="([^"]+dashboard[^"]*\.css)"', page)[:1]
    path = urllib.parse.urljoin("/retraind/dashboard", style.decode())
    assert path.startswith("/retraind/")
    assert machine.ask("GET", path)[0] == 200


def test_strangers_get_nothing(machine: Machine) -> None:
    """Whatever they say of themselves."""
    for path in ("versions", "dashboard/data", "prometheus_metrics", "events"):
        answer = machine.ask("GET", f"/retraind/{path}", X_Forwarded_For="127.0.0.1", X_Forwarded_Host="localhost")
        assert answer[0] == 401


def test_events_pass_as_they_happen(machine: Machine) -> None:
    connection = machine.connect()
    headers = {"Host": NAME, "Accept": "text/event-stream", "Authorization": f"Bearer {machine.token}"}
    connection.request("GET", "/retraind/events", headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.readline() == b"event: status\n"
    connection.close()


def test_file_of_100_megabytes_is_predicted_and_a_larger_one_refused(machine: Machine) -> None:
    """Column `note` fills the file; the answer has it again, so as much comes back."""
    note = "x" * 1170
    line = f"5.1,3.5,1.4,0.2,{note}\n".encode()
    body = b"sepal_length,sepal_width,petal_length,petal_width,note\n" + line * 87_000
    assert 98 * MB < len(body) < 100 * MB
    headers = {"Content_Type": "text/csv", "Authorization": f"Bearer {machine.token}"}
    status, _, answer = machine.ask("POST", "/retraind/predict", body, **headers)
    assert status == 200, answer[:500]
    assert answer.count(b"setosa") == 87_000
    status, _, _ = machine.ask("POST", "/retraind/predict", body + line * 2000, **headers)
    assert status == 413


@pytest.mark.skipif(not PROMETHEUS and "CI" not in os.environ, reason="Prometheus is not installed")
def test_prometheus_scrapes_with_the_token_and_loads_the_rules(machine: Machine, tmp_path: Path) -> None:
    """The very configuration, except for the address and the file of the token; without the token the target is down."""
    text = (EXAMPLE / "prometheus.yml").read_text()
    for old, new in (
        ("retraind:5000", f"127.0.0.1:{machine.service.port}"),
        ("/run/secrets/scrape-token", str(tmp_path / "scrape-token")),
        ("15s", "1s"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    (tmp_path / "prometheus.yml").write_text(text)
    (tmp_path / "scrape-token").write_text(machine.token + "\n")
    for name in ("alerts.yml", "prometheus-rules.yml"):
        shutil.copy(EXAMPLE.parent / name, tmp_path)
    port = free_port()
    assert PROMETHEUS
    command = [PROMETHEUS, f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        wait_until(lambda: value(port, "up") == 1, 60, "the first scrape")
        wait_until(lambda: value(port, 'retraind_model_info{job="retraind"}') is not None, 30)
        groups = ask(port, "rules")["groups"]
        alerts = {rule["name"]: rule["state"] for group in groups for rule in group["rules"] if "state" in rule}
        assert len(alerts) >= 10
        assert alerts["RetraindDown"] == alerts["RetraindNoModel"] == "inactive"
        assert all(rule["health"] in ("ok", "unknown") for group in groups for rule in group["rules"])
        (tmp_path / "scrape-token").write_text("wrong\n")
        wait_until(lambda: value(port, "up") == 0, 60, "the target to be down")
        assert "401" in ask(port, "targets")["activeTargets"][0]["lastError"]
    finally:
        process.terminate()
        process.wait(20)


def ask(port: int, path: str, **query: str) -> Any:
    url = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=20) as answer:
        return json.load(answer)["data"]


def value(port: int, expression: str) -> float | None:
    """The only value of an instant query; None without one, or while Prometheus starts."""
    try:
        results = ask(port, "query", query=expression)["result"]
    except OSError:
        return None
    return float(results[0]["value"][1]) if results else None
