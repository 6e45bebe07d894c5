"""The policies of examples/ for the keys of a leader and of a node: each may do its work, and a node no more.

moto compares a request's action with the policy, not the name of the object.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import botocore.session
import ports
import pytest
from service import wait_until

from retraind.daemon.core.settings import Storage
from retraind.daemon.objects import probe
from retraind.daemon.objects.opening import open_store
from retraind.daemon.objects.s3 import S3Store
from retraind.daemon.objects.store import StoreUnavailable, by_sha256

EXAMPLES = Path(__file__).parents[2] / "examples"
ROLES = ("leader", "node")
PREPARATIONS = 1 + 3 * len(ROLES)
"""Requests before moto begins to ask for rights: a bucket, and for each role a user, its policy, its keys."""


class Guarded(NamedTuple):
    """A server that refuses what a policy does not allow."""

    endpoint: str
    keys: dict[str, dict[str, str]]
    """The variables of each role."""

    def store(self, role: str, patch: pytest.MonkeyPatch) -> S3Store:
        """The store, with the keys of a role."""
        for name, value in self.keys[role].items():
            patch.setenv(name, value)
        store = open_store(Storage(url="s3://models/churn", endpoint=self.endpoint, timeout_seconds=5))
        assert isinstance(store, S3Store)
        return store


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    """A server with a bucket and two users."""
    port = ports.free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": str(PREPARATIONS)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: ports.listens(port), 60, "moto")
        endpoint = f"http://127.0.0.1:{port}"
        _client("s3", endpoint).create_bucket(Bucket="models")
        yield Guarded(endpoint, {role: _user(_client("iam", endpoint), role) for role in ROLES})
    finally:
        process.kill()
        process.wait()


def _client(service: str, endpoint: str) -> Any:
    session = botocore.session.get_session()
    session.set_credentials("nobody", "nothing")
    return session.create_client(service, "us-east-1", endpoint_url=endpoint)


def _user(iam: Any, role: str) -> dict[str, str]:
    """Make a user with the policy of a role; its keys as variables."""
    policy = (EXAMPLES / f"s3-{role}-policy.json").read_text()
    iam.create_user(UserName=role)
    iam.put_user_policy(UserName=role, PolicyName=role, PolicyDocument=policy)
    key = iam.create_access_key(UserName=role)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def test_leader_does_its_work(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that `doctor` tries."""
    store = guarded.store("leader", monkeypatch)
    assert all(ability.ok for ability in probe.probe(store) if ability.needed)
    store.close()


def test_node_gets_and_puts_and_does_nothing_else(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    store = guarded.store("node", monkeypatch)
    name = by_sha256("a" * 64)
    store.put(name, b"predictions")
    assert store.has(name)
    for forbidden in (lambda: list(store.listing()), lambda: store.delete([name]), store.versioned):
        with pytest.raises(StoreUnavailable, match="AccessDenied"):
            forbidden()
    store.close()


@pytest.mark.parametrize("role", ROLES)
def test_policy_is_about_one_prefix_of_one_bucket(role: str) -> None:
    for statement in json.loads((EXAMPLES / f"s3-{role}-policy.json").read_text())["Statement"]:
        whole = statement["Resource"] == "arn:aws:s3:::models"
        assert whole or statement["Resource"].startswith("arn:aws:s3:::models/churn/")
        assert not any("*" in action for action in statement["Action"])
