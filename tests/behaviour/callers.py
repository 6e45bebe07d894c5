"""Requests as strangers, holders of a token and local programs, for the tests of access."""

import socket
from typing import Any

from sites import PREDICTION, Site

from retraind.daemon.core.scopes import Scope

STRANGER = {"X-Forwarded-For": "203.0.113.9"}
ROW = {**PREDICTION, "target": "virginica"}
VERSIONS = "GET /versions HTTP/1.1\r\nHost: localhost\r\n"
"""The head of a request that needs a token or a local program, without its last empty line."""


def bearer(secret: str) -> dict[str, str]:
    return {**STRANGER, "Authorization": f"Bearer {secret}"}


def with_token(head: str, secret: str) -> str:
    """A request head and one more header, the token."""
    return f"{head}Authorization: Bearer {secret}\r\n"


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


def sent(port: int, head: str, source: str = "127.0.0.1") -> int:
    """The status that a request head gets, sent as it stands here from an address of this machine."""
    with socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0)) as client:
        client.sendall(f"{head}Connection: close\r\n\r\n".encode())
        return int(client.recv(100).split()[1])
