"""An object store behind TLS whose certificate a private authority has signed."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import ports
import pytest
import stores
from certificates import Authority
from service import wait_until

from retraind.daemon.core.settings import Storage
from retraind.daemon.objects.bucket_objects import BucketObjects
from retraind.daemon.objects.opening import open_store
from retraind.daemon.objects.store import ObjectStore, StoreUnavailable, by_sha256


class Secured(NamedTuple):
    """A store whose server has a certificate for `localhost`, and a bucket `models`."""

    port: int
    authority: Path

    def store(self, host: str = "localhost") -> ObjectStore:
        settings = Storage(url="s3://models/churn", endpoint=f"https://{host}:{self.port}", timeout_seconds=2)
        store = open_store(settings)
        assert store is not None
        return store


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    """moto's server with TLS."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        authority = Authority(Path(folder), "private authority")
        signed, port = authority.sign("localhost"), ports.free_port()
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(
            [*command, "-s", "-c", signed.certificate, "-k", signed.key],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for name, value in {**stores.KEYS, "AWS_CA_BUNDLE": str(authority.certificate)}.items():
            patch.setenv(name, value)
        place = Secured(port, authority.certificate)
        try:
            wait_until(lambda: ports.listens(port), 60, "moto with TLS")
            place.store()._client.create_bucket(Bucket="models")  # type: ignore[attr-defined]
            yield place
        finally:
            process.kill()
            process.wait()


def test_private_authority_is_trusted_by_name(secured: Secured, tmp_path: Path) -> None:
    store = secured.store()
    store.put(name := by_sha256("a" * 64), b"rows")
    assert store.has(name)
    store.close()


@pytest.mark.parametrize("bundle", ["another", "none"])
def test_unknown_authority_is_refused_by_name(
    secured: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: str
) -> None:
    """Whoever is between store and machine gets neither rows nor keys, and the sentence names the setting."""
    if bundle == "another":
        monkeypatch.setenv("AWS_CA_BUNDLE", str(Authority(tmp_path, "another authority").certificate))
    else:
        monkeypatch.delenv("AWS_CA_BUNDLE")
    with pytest.raises(StoreUnavailable, match="certificate") as refusal:
        secured.store().put("a", b"rows")
    assert "AWS_CA_BUNDLE" in str(refusal.value.hint)
    assert stores.SECRET not in str(refusal.value)


def test_certificate_of_another_host_is_refused(secured: Secured) -> None:
    with pytest.raises(StoreUnavailable, match=r"certificate.*127\.0\.0\.1"):
        secured.store("127.0.0.1").put("a", b"rows")


def test_missing_bundle_is_named(secured: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "none.pem"))
    with pytest.raises(StoreUnavailable, match=r"none\.pem"):
        secured.store().put("a", b"rows")


def test_inbox_reads_only_from_a_server_that_it_trusts(
    secured: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its quick way of reading has the same authorities, and compares the host as well."""
    secured.store().put("a.csv", b"rows")
    endpoint = f"https://localhost:{secured.port}"
    with closing(BucketObjects("s3://models/churn", endpoint, 2.0)) as objects:
        assert objects._gets is not None
        with objects._gets.get("a.csv") as answer:
            assert answer is not None
            assert answer.read() == b"rows"
    strange = BucketObjects("s3://models/churn", endpoint.replace("localhost", "127.0.0.1"), 2.0)
    with closing(strange), pytest.raises(StoreUnavailable, match="certificate"):
        strange.fetch("a.csv", BytesIO())
    monkeypatch.setenv("AWS_CA_BUNDLE", str(Authority(tmp_path, "another authority").certificate))
    forged = BucketObjects("s3://models/churn", endpoint, 2.0)
    with closing(forged), pytest.raises(StoreUnavailable, match="certificate"):
        forged.fetch("a.csv", BytesIO())
