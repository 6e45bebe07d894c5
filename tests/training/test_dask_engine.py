"""train.engine = "dask": a scheduler and workers as processes, with certificates; what is lost of them costs time, and nothing else."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import scipy
from certificates import Authority
from conftest import home_below
from dask_cluster import DaskCluster
from service import wait_until
from workshop import LEAVES, Workshop, leaves

from retraind.daemon.training.engines.dask import dispatcher

pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "cluster")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[DaskCluster]:
    """Two workers, which the tests share, and one that has another scipy."""
    cluster, other = DaskCluster(tmp_path_factory.mktemp("dask"), authority), tmp_path_factory.mktemp("other")
    record = other / "scipy-0.0.1.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: scipy\nVersion: 0.0.1\n")
    for path in ("", "", str(other)):
        cluster.start_worker(path=path)
    cluster.await_scheduler()
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Workshop:
    """Leaves that are not easily told apart."""
    works = Workshop(home_below(tmp_path_factory.mktemp("works"), migrated), LEAVES)
    works.add(leaves("ash elm", 150))
    return works


def facts(manifest: Any) -> dict[str, Any]:
    """What must be equal of two trainings on the same rows: scores without times, and files of the models."""
    scores = {
        name: value
        for name, value in manifest.scores.items()
        if name not in ("fit_seconds", "champion", "champion_version", "paired", "marks", "fair")
    }
    scores["candidates"] = [
        {key: value for key, value in one.items() if key != "fit_seconds"} for one in scores["candidates"]
    ]
    models = {name: sha256 for name, sha256 in manifest.files.items() if name.endswith((".onnx", ".tl"))}
    return {"candidate": manifest.candidate, "scores": scores, "models": models}


def said(works: Workshop) -> list[dict[str, Any]]:
    """What the newest training has said of its engine."""
    return [message for message in works.said if "engine" in message]


CANDIDATES = "crashing:Held", "logistic", "boosting"
SMALL = {"boosting": {"max_iter": [10]}}


@pytest.fixture(scope="module")
def local(works: Workshop) -> Any:
    """The facts of a training by the local engine."""
    return facts(works.train(*CANDIDATES, grids=SMALL))


@contextmanager
def meanwhile(cluster: DaskCluster, action: Callable[[int], object]) -> Iterator[None]:
    """Do something to a worker that is in the middle of a fit, by its process id."""

    def act() -> None:
        with cluster.held() as waiting:
            wait_until(waiting, 30, "a fit")
            action(waiting()[0])

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(act)
        yield
        done.result()


def test_equals_local(works: Workshop, cluster: DaskCluster, local: Any) -> None:
    """Scores and files of the models, to the bit; the settings of other machines are not recorded with the version."""
    works.said.clear()
    there = works.train(*CANDIDATES, grids=SMALL, **cluster.settings())
    assert facts(there) == local
    assert f"of {cluster.address}." in said(works)[-1]["engine"]
    assert "engine" not in there.settings


def test_other_packages_are_refused(works: Workshop, cluster: DaskCluster) -> None:
    """A worker with another scipy gets no task; the others do the work, and the problem names both versions."""
    works.said.clear()
    wait_until(lambda: len(cluster.worker_pids) == 3, 20, "three workers")
    works.train("tree", **cluster.settings())
    problem = said(works)[-1]["problem"]
    assert problem.startswith("1 worker is not used. tls://127.0.0.1:")
    assert f"scipy 0.0.1 there, {scipy.__version__} here. Install the same there as here." in problem


def test_killed_worker_changes_nothing(works: Workshop, cluster: DaskCluster, local: Any) -> None:
    """Its task runs again."""
    with meanwhile(cluster, lambda pid: os.kill(pid, signal.SIGKILL)):
        there = works.train(*CANDIDATES, grids=SMALL, **cluster.settings())
    assert facts(there) == local


def test_end_of_the_budget_ends_the_fits(works: Workshop, cluster: DaskCluster) -> None:
    """A fit that never ends is left out, as by the local engine; its worker ends, and another one takes the next training's tasks."""
    before = cluster.worker_pids
    manifest = works.train("crashing:Slow", "tree", budget_seconds=0.5, **cluster.settings())
    assert manifest.candidate == "tree"
    assert "budget_seconds" in manifest.scores["left_out"]["crashing:Slow"]
    wait_until(lambda: len(before & cluster.worker_pids) < 2, 20, "the end of the fits")


def test_certificate_of_somebody_else_is_refused(
    works: Workshop, cluster: DaskCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither side trusts it, so the training goes on here."""
    monkeypatch.setattr(dispatcher, "CONNECT_SECONDS", 0.5)
    works.said.clear()
    manifest = works.train("tree", **cluster.settings(Authority(tmp_path, "another")))
    assert manifest.candidate == "tree"
    assert [message["engine"] for message in said(works)] == ["Candidates are compared on this machine."]
    assert "does not answer" in said(works)[0]["problem"]


def test_killed_scheduler_changes_nothing(
    works: Workshop, cluster: DaskCluster, local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training goes on here, with the results so far, and says why. (The last test of the cluster.)"""
    monkeypatch.setattr(dispatcher, "CONNECT_SECONDS", 0.5)
    works.said.clear()
    with meanwhile(cluster, lambda _pid: cluster.scheduler.kill()):
        there = works.train(*CANDIDATES, grids=SMALL, **cluster.settings())
    assert facts(there) == local
    assert "does not answer" in said(works)[-1]["problem"]
