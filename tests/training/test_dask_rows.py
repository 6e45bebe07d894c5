"""Rows on a worker: from a folder that it shares, or from the object store, each segment verified by its hash."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stores
from conftest import home_below
from stores import Bucket
from workshop import LEAVES, Workshop, leaves

from retraind.daemon.core.settings import Storage, Train
from retraind.daemon.objects.store import by_md5
from retraind.daemon.processes.training_job import Job
from retraind.daemon.schema.arrival_times import Window
from retraind.daemon.training.data.source import Source
from retraind.daemon.training.engines.dask import recipe
from retraind.daemon.training.engines.dask.recipe import Unfit
from retraind.daemon.training.engines.dask.rows import Prepared

server = pytest.fixture(scope="module")(stores.server)
bucket = pytest.fixture(stores.bucket)

ELSEWHERE: dict[str, Any] = {"engine": "dask", "scheduler": "tcp://127.0.0.1:8786", "shared_data": "/nonexistent"}
"""Settings of a home whose folder the workers don't see."""


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Workshop:
    works = Workshop(home_below(tmp_path_factory.mktemp("rows"), migrated), LEAVES)
    works.add(leaves("ash elm", 60))
    works.add(leaves("ash elm", 30, seed=1))
    return works


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where workers keep segments."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "retraind/segments"


def sent(works: Workshop, names: list[str], store: Storage | None = None, **settings: Any) -> bytes:
    """The recipe of a training on these segments."""
    segments = {name: works.segments[name] for name in names}
    chosen = Train(**settings)
    source = Source(works.home.segments, segments, LEAVES, works.first_rows, chosen, Window())
    md5s = {name: hashlib.md5((works.home.segments / name).read_bytes()).hexdigest() for name in names}
    storage = store.model_dump() if store else {}
    job = Job(1, "test", "a" * 40, "b" * 32, segments, 1, {}, None, None, storage=storage, md5s=md5s)
    return recipe.of(chosen, source, job, works.home.root).dumps()


def put(works: Workshop, bucket: Bucket) -> list[str]:
    """Put all segments; returns their names."""
    for name in works.segments:
        path = works.home.segments / name
        bucket.store.put(by_md5(hashlib.md5(path.read_bytes()).hexdigest()), path)
    return list(works.segments)


def test_rows_of_the_store_are_those_of_the_folder(works: Workshop, bucket: Bucket, cache: Path) -> None:
    """To the bit, in the same order, with the same folds; segments that a later training does not need go."""
    chosen: dict[str, Any] = {"compare_rows": 60}
    names = put(works, bucket)
    prepared = Prepared()
    here = prepared.trial(sent(works, names, **chosen))
    there = prepared.trial(sent(works, names, bucket.settings, **chosen, **ELSEWHERE))
    assert there is not here
    assert there.rows.tobytes() == here.rows.tobytes()
    assert 60 <= len(there.rows) <= 62
    assert np.array_equal(there.folds.rows(0)[0], here.folds.rows(0)[0])
    assert prepared.trial(sent(works, names, bucket.settings, **chosen, **ELSEWHERE)) is there
    kept = {path.name: path.stat().st_mode & 0o777 for path in cache.glob("*/*")}
    assert kept == dict.fromkeys(names, 0o444)
    prepared.trial(sent(works, names[:1], bucket.settings, **ELSEWHERE))
    assert [path.name for path in cache.glob("*/*")] == names[:1]


def test_rows_that_can_not_be_had_make_a_worker_unfit(works: Workshop, bucket: Bucket, cache: Path) -> None:
    """Without a store, with an object that is not there, and with other bytes in the cache or the folder."""
    assert not cache.exists()
    names = list(works.segments)
    with pytest.raises(Unfit, match=r"has no /nonexistent with the segments.*train\.shared_data"):
        Prepared().trial(sent(works, names, **ELSEWHERE))
    with pytest.raises(Unfit, match="ObjectLost"):
        Prepared().trial(sent(works, names, bucket.settings, **ELSEWHERE))
    put(works, bucket)
    Prepared().trial(sent(works, names, bucket.settings, **ELSEWHERE))
    damaged = next(cache.glob(f"*/{names[0]}"))
    damaged.chmod(0o600)
    damaged.write_bytes(b"other bytes")
    with pytest.raises(Unfit, match="is not the one that was accepted"):
        Prepared().trial(sent(works, names, bucket.settings, **ELSEWHERE))


def test_recipe_has_neither_addresses_nor_files_of_the_trainer(works: Workshop) -> None:
    """Workers don't need them, and whoever reads along learns no path to a key."""
    files: dict[str, Any] = {"scheduler_ca": "ca.pem", "scheduler_cert": "cert.pem", "scheduler_key": "secret.key"}
    content = sent(works, list(works.segments), engine="dask", scheduler="tls://dask.example:8786", **files)
    assert b"secret.key" not in content
    assert b"dask.example" not in content
