"""The Unix socket: who may connect, whose path it is, and that curl gets answers through it."""

import json
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import bundles
import pytest
from load import BODY
from service import wait_until

from retraind.daemon.core.errors import BadSettings, PortTaken
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Server, Settings, load
from retraind.daemon.processes.unix_socket import UnixListener
from retraind.daemon.processes.workers import Workers

CURL = shutil.which("curl")
TOKEN = "a-token-for-this-test"


@pytest.fixture
def path() -> Iterator[Path]:
    """Where a socket may lie: the paths of pytest are too long for the kernel."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "retraind.sock"


def closed(path: Path) -> bool:
    """Whether no process listens at a path."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) != 0


def test_only_owner_and_group_may_connect_and_the_path_goes_with_the_socket(path: Path) -> None:
    listener = UnixListener(path)
    with closing(listener.socket):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert not closed(path)
        listener.hide()
    assert list(path.parent.iterdir()) == []


def test_what_a_killed_service_left_is_replaced(path: Path) -> None:
    UnixListener(path).socket.close()
    assert path.exists()
    assert closed(path)
    with closing(UnixListener(path).socket):
        assert not closed(path)


@pytest.mark.parametrize("what", ["file", "folder", "link", "listener", "busy", "datagrams"])
def test_nothing_of_others_is_taken_away(path: Path, what: str) -> None:
    """Also a listener that accepts no connection at the moment, or a socket of another type."""
    other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if what == "datagrams" else socket.SOCK_STREAM)
    client = socket.socket(socket.AF_UNIX)
    if what == "file":
        path.write_text("mine")
    elif what == "folder":
        path.mkdir()
    elif what == "link":
        path.symlink_to("/tmp/elsewhere")
    else:
        other.bind(str(path))
    if what in ("listener", "busy"):
        other.listen(0)
    if what == "busy":
        client.connect(str(path))
    before = path.lstat()
    with pytest.raises(PortTaken, match="Can't listen at"):
        UnixListener(path)
    assert path.lstat() == before
    client.close()
    other.close()


@pytest.mark.parametrize("name", ["a" * 120, "missing/retraind.sock", "file/retraind.sock"])
def test_a_path_that_can_not_be_is_refused(path: Path, name: str) -> None:
    (path.parent / "file").touch()
    with pytest.raises(PortTaken, match="unix_socket"):
        UnixListener(path.parent / name)


def test_beside_old_workers_the_path_changes_hands_when_it_is_shown(path: Path) -> None:
    """Who has connected to the old socket is served there; hiding that one later leaves the new one alone."""
    old = UnixListener(path)
    new = UnixListener(path, ours=[os.getpid()])
    with closing(old.socket), closing(new.socket), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        new.show()
        old.socket.accept()[0].close()
        old.hide()
        with socket.socket(socket.AF_UNIX) as later:
            later.connect(str(path))
            new.socket.accept()[0].close()
        new.hide()


def test_old_workers_of_another_path_take_none_away(path: Path) -> None:
    """Whoever listens there answers no worse for it."""
    old = UnixListener(path.with_name("other.sock"))
    with closing(old.socket), socket.socket(socket.AF_UNIX) as others:
        others.bind(str(path))
        others.listen()
        with pytest.raises(PortTaken, match="another program answers there"):
            UnixListener(path, ours=[os.getpid()])


def test_without_host_and_socket_there_is_nothing_to_listen_on(tmp_path: Path) -> None:
    (tmp_path / "retraind.toml").write_text('[server]\nhost = ""\n')
    with pytest.raises(BadSettings, match="unix_socket"):
        load(tmp_path / "retraind.toml")


@pytest.fixture
def workers(home: Home, path: Path, request: pytest.FixtureRequest) -> Iterator[Workers]:
    """A worker that listens at `path`; the parameter is the host."""
    home.schema.write_bytes(bundles.SCHEMA.dump())
    home.token.write_text(TOKEN)
    bundles.point(home, bundles.make(home, 1))
    running = Workers(home, Settings(server=Server(host=request.param, port=0, unix_socket=str(path))), 1)
    running.supervise(0.0)
    wait_until(lambda: list(home.workers.glob("0-*.json")))
    yield running
    running.close()
    assert not path.exists()


def curl(path: Path, url: str, *arguments: str) -> tuple[int, Any]:
    """Status and body of what curl gets through the socket."""
    command = ["curl", "-sS", "--unix-socket", str(path), "-w", "\n%{http_code}", *arguments, url]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


JSON = ("-H", "Content-Type: application/json")
BEARER = ("-H", f"Authorization: Bearer {TOKEN}")


@pytest.mark.skipif(CURL is None, reason="curl is not installed")
@pytest.mark.parametrize("workers", ["", "127.0.0.1"], indirect=True)
def test_curl_is_answered(workers: Workers, path: Path) -> None:
    assert curl(path, "http://localhost/predict", *JSON, "-d", BODY.decode())[0] == 401, "a proxy may be in between"
    status, answer = curl(path, "http://localhost/predict", *BEARER, *JSON, "-d", BODY.decode())
    assert (status, answer["prediction_name"]) == (200, "setosa")
    status, problem = curl(path, "http://elsewhere.example/health")
    assert (status, problem["title"]) == (421, "Misdirected Request")
    assert "elsewhere.example" in problem["detail"]
    sample = json.dumps({"features": [5.1, 3.5, 1.4, 0.2], "target": "setosa"})
    assert curl(path, "http://localhost/add_training_data", *BEARER, *JSON, "-d", sample)[0] == 202
    if workers.address:
        with socket.create_connection(workers.address, timeout=5) as client:
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("workers", [""], indirect=True)
def test_no_request_is_lost_when_the_worker_is_replaced(workers: Workers, home: Home, path: Path) -> None:
    request = (
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a-token-for-this-test\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    answers: list[bytes] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(0.002):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(request % len(BODY) + BODY)
                answers.append(client.recv(65_536)[:15])

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    workers.renew()
    message = wait_until(lambda: workers.supervise(0.0))
    wait_until(lambda: len(list(home.workers.glob("0-*.lock"))) == 1)
    ended.set()
    for thread in threads:
        thread.join()
    assert message == ["HTTP worker 0 was replaced."]
    assert set(answers) == {b"HTTP/1.1 200 OK"}
