"""Drops sent over HTTP: real workers, sockets and files; a broken upload continues, the same bytes count once."""

import gzip
import hashlib
import json
import os
import stat
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import bundles
import pytest
from sites import Client

from retraind.daemon.access import tokens
from retraind.daemon.core import shared_folder
from retraind.daemon.core.home import Home
from retraind.daemon.core.scopes import Scope
from retraind.daemon.core.settings import Inbox, Settings
from retraind.daemon.core.states import DropState
from retraind.daemon.storage.journal import Journal
from retraind.web.uploads import partial_file, receiving

LINES = b"sepal_length,sepal_width,petal_length,petal_width,species\n" + b"5.1,3.5,1.4,0.2,setosa\n" * 40
SHA256 = hashlib.sha256(LINES).hexdigest()


@pytest.fixture
def client(home: Home) -> Client:
    """The application of a home with a schema."""
    home.schema.write_bytes(bundles.SCHEMA.dump())
    return Client(home)


def send(client: Client, body: bytes, environ: Mapping[str, str] | None = None, **query: object) -> tuple[int, Any]:
    sent = {"CONTENT_TYPE": "text/csv", "CONTENT_LENGTH": str(len(body)), "QUERY_STRING": urlencode(query)}
    status, _, answer = client.ask("POST", "/drops", body, **{**sent, **(environ or {})})
    return status, json.loads(answer)


def inbox(home: Home) -> dict[str, bytes]:
    """Files in the inbox, hidden ones too."""
    return {path.name: path.read_bytes() for path in home.inbox.iterdir() if path.is_file()}


def test_a_file_has_its_name_and_its_bytes(client: Client, home: Home) -> None:
    status, taken = send(client, LINES, name="september.csv")
    assert (status, taken) == (202, {"status": "accepted", "drop": SHA256, "name": "september.csv"})
    assert inbox(home) == {"september.csv": LINES}
    assert stat.S_IMODE((home.inbox / "september.csv").stat().st_mode) == 0o600


def test_the_same_bytes_lie_there_once(client: Client, home: Home) -> None:
    assert send(client, LINES, name="a.csv")[0] == 202
    assert send(client, LINES, name="a.csv")[0] == 202
    assert send(client, LINES, name="a.csv", sha256=SHA256)[0] == 202
    assert inbox(home) == {"a.csv": LINES}
    other = LINES + b"1,1,1,1,setosa\n"
    status, taken = send(client, other, name="a.csv")
    assert status == 202
    assert taken["name"] == f"a-{hashlib.sha256(other).hexdigest()[:12]}.csv"
    assert inbox(home) == {"a.csv": LINES, taken["name"]: other}


def test_a_file_without_a_name_is_named_after_its_bytes(client: Client, home: Home) -> None:
    assert send(client, LINES)[1]["name"] == f"upload-{SHA256[:12]}.csv"
    packed = gzip.compress(LINES)
    assert send(client, packed, {"CONTENT_TYPE": "application/gzip"}, name="b.csv.gz")[0] == 202
    assert inbox(home)["b.csv.gz"] == packed


def test_pieces_make_the_file(client: Client, home: Home) -> None:
    size = len(LINES)
    for begin in range(0, size, 300):
        piece = LINES[begin : begin + 300]
        status, answer = send(client, piece, name="p.csv", sha256=SHA256, offset=begin, size=size)
        if begin + 300 < size:
            assert (status, answer["status"], answer["received"]) == (200, "partial", begin + 300)
            progress = json.loads(client.ask("GET", f"/uploads/{SHA256}")[2])
            assert progress == {"status": "partial", "drop": SHA256, "received": begin + 300}
            assert [name for name in inbox(home) if not name.startswith(".")] == []
    assert status == 202
    assert inbox(home) == {"p.csv": LINES}


def test_a_wrong_offset_is_answered_with_the_right_one(client: Client, home: Home) -> None:
    send(client, LINES[:100], sha256=SHA256, size=len(LINES))
    status, problem = send(client, LINES[50:], sha256=SHA256, offset=50, size=len(LINES))
    assert status == 409
    assert "offset=100" in problem["hint"]
    assert send(client, LINES, name="again.csv", sha256=SHA256)[0] == 202, "without offset it begins again"
    assert inbox(home) == {"again.csv": LINES}


def test_bytes_of_another_sha256_are_not_kept(client: Client, home: Home) -> None:
    status, problem = send(client, LINES[:-1], sha256=SHA256)
    assert status == 422
    assert hashlib.sha256(LINES[:-1]).hexdigest() in problem["detail"]
    assert send(client, b"")[0] == 422
    assert inbox(home) == {}


@pytest.mark.parametrize("state", [DropState.REJECTED, DropState.DUPLICATE, DropState.ACCEPTED, DropState.FORGOTTEN])
def test_again_reads_once_more_what_does_not_count(
    client: Client, home: Home, journal: Journal, state: DropState
) -> None:
    """Bytes whose rows are taken, or were forgotten, would only be a duplicate: the answer says that they are known."""
    drop: Any = {"sha256": SHA256, "name": "a.csv", "source": "file", "bytes": len(LINES), "rows_read": 40}
    drop |= {"seen_at": "2026-01-01T00:00:00.000Z", "settled_at": "2026-01-01T00:00:01.000Z"}
    journal.drops.refuse(drop, state, "a.csv: recorded.")
    counts = state in (DropState.ACCEPTED, DropState.FORGOTTEN)
    for query in ({}, {"sha256": SHA256}):
        assert send(client, LINES, None, name="a.csv", **query)[0] == 200
        status, answer = send(client, LINES, None, name="a.csv", again="true", **query)
        assert (status, answer.get("state")) == ((200, state) if counts else (202, None))
    assert list(inbox(home)) == ([] if counts else ["a.csv"])


@pytest.mark.parametrize(
    "name",
    ["../a.csv", "/etc/a.csv", ".hidden.csv", "a.csv.part", "a\n.csv", "a.exe", "csv", "x" * 250 + ".csv", "README.md"],
)
def test_names_that_are_no_names_of_drops(client: Client, home: Home, name: str) -> None:
    status, problem = send(client, LINES, name=name)
    assert (status, "can't be the name" in problem["detail"]) == (400, True)
    assert inbox(home) == {}


@pytest.mark.parametrize(
    ("query", "environ", "status"),
    [
        ({"sha256": "ABC"}, {}, 400),
        ({"offset": 5}, {}, 400),
        ({"size": 5}, {}, 400),
        ({"colour": "red"}, {}, 400),
        ({}, {"CONTENT_TYPE": "application/x-www-form-urlencoded"}, 415),
        ({}, {"HTTP_CONTENT_ENCODING": "gzip"}, 415),
        ({}, {"HTTP_ORIGIN": "https://evil.example"}, 403),
        ({}, {"CONTENT_LENGTH": str(len(LINES) + 1)}, 400),
    ],
)
def test_wrong_requests_leave_nothing(
    client: Client, home: Home, query: dict[str, object], environ: dict[str, str], status: int
) -> None:
    assert send(client, LINES, environ, **query)[0] == status
    assert inbox(home) == {}


def test_a_file_beyond_the_limit_is_refused(home: Home) -> None:
    small = Client(home, Settings(inbox=Inbox(max_bytes=100)))
    assert send(small, LINES)[0] == 413
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    assert send(small, LINES, chunked)[0] == 413
    assert send(small, LINES[:50], sha256=SHA256, size=200)[0] == 413
    assert inbox(home) == {}


def test_a_scope_to_read_sends_nothing(client: Client, home: Home) -> None:
    for scope, status in ((Scope.READ, 403), (Scope.WRITE, 202)):
        secret = tokens.create(home, scope.value, [scope])
        stranger = {"HTTP_X_FORWARDED_FOR": "203.0.113.9", "HTTP_AUTHORIZATION": f"Bearer {secret}"}
        assert send(client, LINES, stranger)[0] == status
        assert client.ask("GET", f"/uploads/{'0' * 64}", b"", **stranger)[0] == (403 if status == 403 else 404)


def test_what_nothing_continues_is_removed_after_a_day(client: Client, home: Home) -> None:
    send(client, LINES[:100], sha256=SHA256, size=len(LINES))
    (part,) = home.inbox.glob(".upload-*")
    folder = shared_folder.inbox(home)
    partial_file.sweep(folder)
    assert part.exists()
    os.utime(part, (0, time.time() - partial_file.KEPT_SECONDS - 60))
    partial_file.sweep(folder)
    assert not part.exists()


def test_partial_files_are_looked_for_once_an_hour_whichever_thread_comes() -> None:
    sweeping = receiving.Interval(3600)
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(sweeping.is_due, [7.0] * 8)) == 1
    assert [sweeping.is_due(now) for now in (3606.0, 3607.0, 3608.0)] == [False, True, False]


def test_a_link_in_the_place_of_a_partial_file_is_not_followed(client: Client, home: Home, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"")
    (home.inbox / f".upload-{SHA256}.part").symlink_to(secret)
    assert send(client, LINES, sha256=SHA256)[0] in (409, 503)
    assert secret.read_bytes() == b""
