"""A leader that is deposed removes nothing from the store, and what it can't be kept from removing is not needed."""

from contextlib import closing

import pyarrow as pa
import pytest
import stores
from stores import Bucket

from retraind.daemon.core.errors import JournalTaken
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.leader.identity import Leader
from retraind.daemon.dataset.segment_folder import SegmentFolder
from retraind.daemon.leadership.fenced_store import FencedStore
from retraind.daemon.objects.store import by_sha256
from retraind.daemon.storage.journal import Journal

server = pytest.fixture(scope="module")(stores.server)
bucket = pytest.fixture(stores.bucket)

NAMES = [by_sha256(f"{number:064x}") for number in (1, 2)]
A, B = (Leader(name, home=name, boot="boot", beats=True) for name in ("box-a", "box-b"))


@pytest.fixture
def url(placed: Home) -> str:
    server = journal_server.named(placed.journal)
    assert server is not None
    return server.url


@pytest.fixture
def filled(bucket: Bucket) -> Bucket:
    """A bucket with two objects."""
    for name in NAMES:
        bucket.store.put(name, b"x")
    return bucket


def test_leader_removes_and_a_deposed_one_does_not(placed: Home, url: str, filled: Bucket) -> None:
    with closing(Journal.open(placed.journal, A)) as journal:
        assert journal.term is not None
        store = FencedStore(filled.store, url, journal.term.epoch)
        assert store.delete(NAMES[:1]) == 1
    with closing(Journal.open(placed.journal, B)), pytest.raises(JournalTaken):
        store.delete(NAMES[1:])
    assert filled.names() == {NAMES[1]}


def test_leader_that_is_deposed_between_two_removals_stops(placed: Home, url: str, filled: Bucket) -> None:
    """It was stopped after the first one."""

    class Stopped:
        """The store, and what happens while the process does not run."""

        def delete(self, names: list[str]) -> int:
            count = filled.store.delete(names)
            Journal.open(placed.journal, B).close()
            return count

    with closing(Journal.open(placed.journal, A)) as journal:
        assert journal.term is not None
        epoch = journal.term.epoch
    with pytest.raises(JournalTaken):
        FencedStore(Stopped(), url, epoch).delete(NAMES)  # type: ignore[arg-type]
    assert filled.names() == {NAMES[1]}


def test_segments_of_two_leaders_never_have_equal_bytes(home: Home) -> None:
    """So a late removal of the one can't concern the other, even if both took the same drop."""
    home.segments.mkdir(parents=True)
    table = pa.table({"sepal_length": [5.1], "species": ["setosa"]})
    sealed = [SegmentFolder(home, epoch).write([table]) for epoch in (None, None, 1, 2, 2)]
    plain, again, first, second, third = (one.segment.md5 for one in sealed)
    for one in sealed:
        one.discard()
    assert plain == again
    assert second == third
    assert len({plain, first, second}) == 3
