"""What a standby says of engines that a take-over would need, with a real PostgreSQL and S3 server."""

from collections.abc import Iterator

import pytest
import stores
from ports import free_port
from stores import Bucket

from retraind.daemon.core.databases import mlflow_server
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.leadership.engines import Engines
from retraind.daemon.leadership.follower import Follower
from retraind.daemon.objects import ownership
from retraind.daemon.objects.ownership import NotOwner
from retraind.daemon.storage.server.node_session import NodeSession

server = pytest.fixture(scope="module")(stores.server)
bucket = pytest.fixture(stores.bucket)


@pytest.fixture
def session(placed: Home) -> Iterator[NodeSession]:
    named = journal_server.named(placed.journal)
    assert named is not None
    session = NodeSession(named.url, "retraind standby")
    yield session
    session.close()


def ask(home: Home, bucket: Bucket, session: NodeSession) -> None:
    engines = Engines(home, bucket.store)
    engines.follow(session, Follower("", "engines", "", engines.follow))


def test_store_of_another_home_is_said(placed: Home, bucket: Bucket, session: NodeSession) -> None:
    ask(placed, bucket, session)
    ownership.write(bucket.store, "another", placed)
    with pytest.raises(NotOwner):
        ask(placed, bucket, session)


def test_database_of_mlflow_that_is_away_is_said(placed: Home, bucket: Bucket, session: NodeSession) -> None:
    mlflow_server.settle(placed, f"postgresql+psycopg://postgres@127.0.0.1:{free_port()}/mlflow", "")
    with pytest.raises(Unavailable, match="MLflow's database can't be used"):
        ask(placed, bucket, session)
