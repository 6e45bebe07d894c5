"""Ingestion in a home, for tests: its parts, and homes that hold batches already."""

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing

import postgres
import pytest
from conftest import names

from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Inbox as Limits
from retraind.daemon.core.settings import Settings
from retraind.daemon.dataset import segments
from retraind.daemon.dataset.dataset import Dataset
from retraind.daemon.inbox.inbox import Inbox
from retraind.daemon.ingest.ingestion import Ingestion
from retraind.daemon.ingest.reading.late_labels import Labels
from retraind.daemon.objects.store import ObjectStore
from retraind.daemon.records.query import ask
from retraind.daemon.service import bootstrap
from retraind.daemon.storage.journal import Journal
from retraind.daemon.stored.segments import StoredSegments

SETTINGS = Settings(inbox=Limits(settle_seconds=0.0))
HEADER = "sepal_length,sepal_width,petal_length,petal_width,species\n"


class Parts:
    """What ingestion works with; `reopen` is what a restart does after a kill."""

    def __init__(self, home: Home, settings: Settings = SETTINGS, store: ObjectStore | None = None) -> None:
        self.home, self.settings, self.store, self.now = home, settings, store, 0.0
        self.open()

    def open(self) -> None:
        self.journal = Journal.open(self.home.journal)
        self.dataset = Dataset(self.home, stored=StoredSegments(self.home, self.store, self.journal))
        self.dataset.open(
            {one["name"]: one["md5"] for one in self.journal.segments.current()}, self.journal.segments.replaced
        )
        self.inbox = self.open_inbox()
        labels = Labels(self.home, self.journal)
        self.ingestion = Ingestion(self.home, self.settings, self.inbox, self.dataset, self.journal, labels)

    def open_inbox(self) -> Inbox:
        return Inbox(self.home, self.settings.inbox, lambda: None)

    def close(self) -> None:
        hash_writer = self.ingestion.intake.known_rows._hash_writer
        if hash_writer is not None:
            hash_writer._file.close()  # as the kernel does at a kill; what is in the folder stays
        self.dataset.close()
        self.journal.close()

    def reopen(self) -> None:
        self.close()
        self.open()

    def run(self) -> None:
        """Step until nothing is left to do."""
        self.now += 5  # as the loop, which waits so long after a failure
        for _ in range(2000):
            if not self.ingestion.step(self.now):
                return
        raise AssertionError("ingestion never comes to rest")

    def drop(self, name: str, text: str | bytes) -> None:
        durable.write(self.home.inbox / name, text if isinstance(text, bytes) else text.encode())

    @property
    def lengths(self) -> list[float]:
        """The first column of every row of the dataset, as a trainer would read it."""
        known = {one["name"]: one["sha256"] for one in self.journal.segments.current()}
        tables = [table for _, table in segments.read(self.home.segments, known)]
        return sorted(length for table in tables for length in table["sepal_length"].to_pylist())

    @property
    def waiting(self) -> list[str]:
        return sorted(set(names(self.home.inbox)) - {"rejected"})

    def drops(self) -> list[tuple[str, str]]:
        """Name and state of every drop that was decided."""
        return [
            (row["name"], row["state"]) for row in ask(self.home.journal, "SELECT name, state FROM drops ORDER BY id")
        ]


def row(length: float) -> str:
    return f"{length},3.5,1.4,0.2,setosa\n"


class Killed(BaseException):
    """The process ends here: nothing catches it."""


def numbered(count: int) -> list[tuple[str, str]]:
    """Drops of one row each, with the lengths 1, 2, 3 and so on."""
    return [(f"{number}.csv", HEADER + row(number)) for number in range(1, count + 1)]


Drops = tuple[tuple[str, str], ...]
"""Names and texts of drops that are taken one after the other, each as a batch."""

_grown: dict[Drops, Home] = {}


def grow(home: Home, drops: Sequence[tuple[str, str]], factory: pytest.TempPathFactory) -> None:
    """Make `home` one of Iris that has taken `drops` (name, text), each as a batch; what they let merge is not merged yet.

    It is copied: a batch costs git and DVC a fifth of a second, a copy of sixteen a hundredth.
    """
    shutil.copytree(_grown_home(tuple(drops), factory).root, home.root, symlinks=True, dirs_exist_ok=True)
    postgres.follow(home)


def _grown_home(drops: Drops, factory: pytest.TempPathFactory) -> Home:
    """The home to copy, made once per process from the longest beginning that there is."""
    if drops not in _grown:
        home = Home(factory.mktemp("grown") / "home")
        taken = max((known for known in _grown if known == drops[: len(known)]), key=len, default=())
        if taken:
            shutil.copytree(_grown[taken].root, home.root, symlinks=True)
        else:
            _begin(home)
        _take(home, drops[len(taken) :])
        _grown[drops] = home
    return _grown[drops]


_prepared: dict[Callable[[Parts], object], Home] = {}


def prepare(home: Home, work: Callable[[Parts], object], factory: pytest.TempPathFactory) -> None:
    """Make `home` one of Iris in which `work` has been done, by copying one in which it was done once."""
    if work not in _prepared:
        before = Home(factory.mktemp("prepared") / "home")
        _begin(before)
        with closing(Parts(before)) as parts:
            work(parts)
        _prepared[work] = before
    shutil.copytree(_prepared[work].root, home.root, symlinks=True, dirs_exist_ok=True)
    postgres.follow(home)


def _begin(home: Home) -> None:
    """Make an empty home with the schema of Iris."""
    home.root.mkdir()
    home.make()
    bootstrap.iris(home)
    (home.inbox / bootstrap.NAME).unlink()


def _take(home: Home, drops: Drops) -> None:
    parts = Parts(home)
    for name, text in drops:
        parts.drop(name, text)
        parts.now += 5
        while parts.ingestion.step(parts.now, merging=False):
            pass
    parts.close()
