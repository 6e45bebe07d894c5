"""Drops that are taken and forgotten; a test module makes fixtures of `parts` and `merged`."""

import io
from collections.abc import Iterator

import pyarrow.parquet as pq
import pytest
from ingesting import HEADER, Parts, grow, row

from retraind.daemon.core import durable, requests
from retraind.daemon.core.home import Home
from retraind.daemon.core.requests import Request
from retraind.daemon.dataset import segment_tiers
from retraind.daemon.dataset.checkout import check_out
from retraind.daemon.dataset.git_repository import Revision
from retraind.daemon.objects.store import ObjectStore
from retraind.daemon.records.query import ask
from retraind.daemon.schema.schema import Schema


def parts(home: Home, schema: Schema) -> Iterator[Parts]:
    """An ingestion in a new home."""
    assert schema
    parts = Parts(home)
    yield parts
    parts.close()


MANY = range(segment_tiers.FAN)
"""As many drops as a merge needs."""


def merged(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """An ingestion that has taken a drop of one row for each of MANY, and has merged them."""
    grow(home, [(f"f{number}.csv", text(number)) for number in MANY], tmp_path_factory)
    parts = Parts(home)
    parts.run()
    yield parts
    parts.close()


def text(*lengths: float) -> str:
    """An Iris file with one row for each sepal length."""
    return HEADER + "".join(row(float(length)) for length in lengths)


def forget(parts: Parts, *lengths: float, purge: bool = False) -> Request:
    """Ask for the file of these rows to be forgotten."""
    return requests.submit(parts.home, "forget", drop=durable.sha256(text(*lengths).encode()), purge=purge)


def take(parts: Parts, **files: list[float]) -> None:
    """Drop files of these rows and have them taken as one batch."""
    for name, lengths in files.items():
        parts.drop(f"{name}.csv", text(*lengths))
    parts.run()


def answer(parts: Parts, request: Request) -> tuple[str, str]:
    """State and detail of a request that the journal knows."""
    [row] = ask(parts.home.journal, "SELECT state, detail FROM requests WHERE id = ?", request.id)
    return row["state"], row["detail"]


def in_cache(home: Home) -> set[float]:
    """The first column of every row in DVC's cache, of whatever revision."""
    lengths: set[float] = set()
    for path in (home.data / ".dvc/cache/files/md5").glob("*/*"):
        if not path.name.endswith(".dir"):
            lengths |= set(pq.read_table(io.BytesIO(path.read_bytes()))["sepal_length"].to_pylist())
    return lengths


def checked_out(home: Home, revision: Revision, store: ObjectStore | None = None) -> list[float]:
    """The first column of a revision that is fetched into a folder of its own."""
    scratch = Home(home.root / "scratch" / revision.commit)
    scratch.make()
    names = check_out(home, scratch, revision, store)
    return sorted(
        value for name in names for value in pq.read_table(scratch.segments / name)["sepal_length"].to_pylist()
    )
