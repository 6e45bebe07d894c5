"""The journal's server behind TLS, with a private authority and certificates of clients instead of passwords."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import postgres as servers
import psycopg
import pytest
from certificates import Authority, Signed
from journal_entries import accept, batches
from ports import free_port

from benchmarks.postgres import Postgres
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_address, journal_server
from retraind.daemon.core.node.messages import NodeReport, NodeState
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.server.node_session import NodeSession

ACCESS = "hostssl all all 127.0.0.1/32 cert\nhost all all 127.0.0.1/32 reject\n"
"""By TCP only with TLS, and with a certificate that names the user."""


class Secured(NamedTuple):
    """A server with a certificate for `localhost`."""

    port: int
    authority: Authority
    client: Signed
    """Of the user `retraind`."""

    def url(self, host: str = "localhost", **changes: str) -> str:
        """The address of its database, as in `journal.url`."""
        options = {
            "sslmode": "verify-full",
            "sslrootcert": self.authority.certificate,
            "sslcert": self.client.certificate,
            "sslkey": self.client.key,
        }
        query = urlencode({name: value for name, value in {**options, **changes}.items() if value})
        return f"{journal_address.SCHEME}://retraind@{host}:{self.port}/retraind?{query}"


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    """A server of its own: certificates are settings of a whole server."""
    servers.required()
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder), "private authority")
        signed, port = authority.sign("localhost"), free_port()
        if os.geteuid() == 0:  # the server runs as another user, and takes the key from its owner only
            Path(folder).chmod(0o755)
            shutil.chown(signed.key, "postgres")
        own = {"listen_addresses": "127.0.0.1", "port": str(port), "ssl": "on"}
        files = {
            "ssl_cert_file": signed.certificate,
            "ssl_key_file": signed.key,
            "ssl_ca_file": authority.certificate,
        }
        server = Postgres.make({**servers.OPTIONS, **own, **{name: str(path) for name, path in files.items()}}, ACCESS)
        try:
            with psycopg.connect(f"host={server.folder} port={port} user=postgres", autocommit=True) as connection:
                connection.execute("CREATE ROLE retraind LOGIN")
                connection.execute("CREATE DATABASE retraind OWNER retraind TEMPLATE template0 ENCODING 'UTF8'")
            yield Secured(port, authority, authority.sign("retraind"))
        finally:
            server.remove()


@pytest.fixture
def plain(tmp_path: Path) -> Home:
    """A home whose journal has no place yet."""
    home = Home(tmp_path / "home")
    home.root.mkdir()
    home.make()
    return home


def test_both_sides_show_certificates(secured: Secured, plain: Home) -> None:
    """No password anywhere: the daemon writes, a reader reads, a node reports."""
    journal_server.settle(plain, secured.url())
    with closing(Journal.open(plain.journal)) as journal:
        accept(journal, 1)
        with journal.database.writing() as connection:
            used = connection.exec_driver_sql("SELECT ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            assert used.one() == (True, "/CN=retraind")
    assert batches(plain) == [1]
    session = NodeSession(secured.url(), "retraind node one")
    session.report(NodeReport(name="one", generation=0, state=NodeState.WAITING, version=None, problem=""), news=False)
    session.close()


def test_server_of_another_authority_is_refused(secured: Secured, plain: Home, tmp_path: Path) -> None:
    """Whoever is between gets no entry, and the sentence names the parameter."""
    another = Authority(tmp_path / "another", "another authority")
    url = secured.url(sslrootcert=str(another.certificate))
    journal_server.settle(plain, url)
    with pytest.raises(Unavailable, match="certificate verify failed") as refusal:
        Journal.open(plain.journal)
    assert "sslrootcert" in str(refusal.value.hint)
    with pytest.raises(Unavailable, match="certificate verify failed"):
        NodeSession(url, "retraind node one")


def test_server_of_another_name_is_refused(secured: Secured, plain: Home) -> None:
    journal_server.settle(plain, secured.url("127.0.0.1"))
    with pytest.raises(Unavailable, match="does not match host name"):
        Journal.open(plain.journal)


@pytest.mark.parametrize("changes", [{"sslcert": "", "sslkey": ""}, {"sslmode": "disable"}])
def test_server_refuses_a_client_without_a_certificate(secured: Secured, plain: Home, changes: dict[str, str]) -> None:
    journal_server.settle(plain, secured.url(**changes))
    with pytest.raises(Unavailable, match=r"certificate|rejects"):
        Journal.open(plain.journal)
