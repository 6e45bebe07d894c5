"""train.engine = "dask": a scheduler and workers as processes, with certificates; what is lost of them costs time, and nothing else."""

import json
import math
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import forks
import pytest
import scipy
from certificates import Authority
from conftest import home_below
from dask_cluster import HeldCluster
from service import wait_until
from workshop import LEAVES, Workshop, leaves

from retraind.daemon.core.errors import RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Train
from retraind.daemon.processes.training_job import Job
from retraind.daemon.schema.arrival_times import Window
from retraind.daemon.training.data.source import Source
from retraind.daemon.training.engines import choice
from retraind.daemon.training.engines.dask import dispatcher, engine, examination, report
from retraind.daemon.training.engines.dask.messages import Workers
from retraind.daemon.training.selection import candidates
from retraind.daemon.training.selection.cross_validation import Trial
from retraind.daemon.training.selection.tasks import Task

pytest.importorskip("distributed")


LONG = 240.0
"""Seconds for what must happen, however busy the machine is: another seven processes import the same, say."""


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler or worker that answers late is not lost, unless a test loses it: a busy machine must not change the engine."""
    for module, name in (
        (dispatcher, "CONNECT_SECONDS"),
        (dispatcher, "WORKER_SECONDS"),
        (engine, "READY_SECONDS"),
        (engine, "SILENT_SECONDS"),
        (examination, "SECONDS"),
    ):
        monkeypatch.setattr(module, name, LONG)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "cluster")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[HeldCluster]:
    """Two workers, which the tests share, and one that has another scipy."""
    cluster, other = HeldCluster(tmp_path_factory.mktemp("dask"), authority), tmp_path_factory.mktemp("other")
    record = other / "scipy-0.0.1.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: scipy\nVersion: 0.0.1\n")
    for path in ("", "", str(other)):
        cluster.start_worker(path=path)
    cluster.await_workers()
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
def meanwhile(cluster: HeldCluster, action: Callable[[int], object]) -> Iterator[None]:
    """Do something to a worker that is in the middle of a fit, by its process id."""

    def act() -> None:
        with cluster.held() as waiting:
            wait_until(waiting, LONG, "a fit")
            action(waiting()[0])

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(act)
        yield
        done.result()


def test_equals_local_though_a_worker_is_killed(works: Workshop, cluster: HeldCluster, local: Any) -> None:
    """Scores and files of the models, to the bit. The settings of other machines are not recorded with the version."""
    works.said.clear()
    with meanwhile(cluster, lambda pid: os.kill(pid, signal.SIGKILL)):
        there = works.train(*CANDIDATES, grids=SMALL, **cluster.settings())
    assert facts(there) == local
    assert f"of {cluster.address}." in said(works)[-1]["engine"]
    assert "engine" not in there.settings


def test_other_packages_are_refused(works: Workshop, cluster: HeldCluster) -> None:
    """A worker with another scipy gets no task; the others do the work, and the problem names both versions."""

    def problem_of_a_training() -> Any:
        """Empty if it has ended before the worker was greeted, which may have been started once more just now."""
        works.said.clear()
        works.train("tree", **cluster.settings())
        return said(works)[-1]["problem"]

    problem = wait_until(problem_of_a_training, LONG, "a refused worker")
    assert problem.startswith("1 worker is not used. tls://127.0.0.1:")
    assert f"scipy 0.0.1 there, {scipy.__version__} here. Install the same there as here." in problem


def test_doctor_examines_the_workers(
    works: Workshop, cluster: HeldCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It greets all, says which are refused and why, and what does not answer at all; nothing that runs is ended."""
    home = Home(tmp_path)

    def describe(reason: str) -> None:
        with pytest.raises(RetraindError, match=reason):
            report.describe(home)

    def refuses(reason: str, **chosen: str) -> None:
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in chosen.items()]
        home.settings.write_text("".join(["[train]\n", *lines]))
        # In a fork, as the command is a process of its own: Dask's threads do not end.
        assert forks.end(forks.start(partial(describe, reason))) == 0

    before = cluster.workers
    refuses(
        r"^\d of \d workers can't be used\. .*tls://\S+: other packages .* scipy 0\.0\.1 there", **cluster.settings()
    )
    assert cluster.workers == before
    monkeypatch.setattr(examination, "SECONDS", 0.5)
    refuses(
        r"^tcp://127\.0\.0\.1:9 does not answer: .*compared on this machine",
        engine="dask",
        scheduler="tcp://127.0.0.1:9",
    )
    said = report.summary("tls://a:1", Workers(8, 2, {}, frozenset()))
    assert said.startswith("tls://a:1 answers; its workers (2, threads: 8) have")


def test_end_of_the_budget_ends_the_fits(works: Workshop, cluster: HeldCluster) -> None:
    """A fit that never ends is left out, as by the local engine; its worker ends, and another one takes the next training's tasks."""
    before = cluster.workers
    works.said.clear()
    manifest = works.train("crashing:Slow", "tree", budget_seconds=0.5, **cluster.settings())
    assert manifest.candidate == "tree"
    assert "budget_seconds" in manifest.scores["left_out"]["crashing:Slow"]
    assert f"of {cluster.address}." in said(works)[-1]["engine"]
    wait_until(lambda: before - cluster.workers, LONG, "the end of the fits")


def test_certificate_of_somebody_else_is_refused(
    works: Workshop, cluster: HeldCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither side trusts it, so the training goes on here."""
    monkeypatch.setattr(dispatcher, "CONNECT_SECONDS", 0.5)
    works.said.clear()
    manifest = works.train("tree", **cluster.settings(Authority(tmp_path, "another")))
    assert manifest.candidate == "tree"
    assert [message["engine"] for message in said(works)] == ["Candidates are compared on this machine."]
    assert "does not answer" in said(works)[0]["problem"]


def test_killed_training_ends_its_fits(works: Workshop, cluster: HeldCluster) -> None:
    """Nothing else would: Dask can't end a fit."""
    chosen = Train(candidates=["crashing:Held"], **cluster.settings())
    source = Source(works.home.segments, works.segments, LEAVES, works.first_rows, chosen, Window())
    job = Job(1, "test", "a" * 40, "b" * 32, works.segments, works.first_rows, {}, None, None)

    def compare() -> None:
        trial = Trial.of_data(source.read(), chosen)
        with choice.opened(trial, source, job, works.home.root) as opened:
            opened.add([Task(candidates.plan(LEAVES, chosen)[0], 0)])
            opened.wait(math.inf)

    with cluster.held() as waiting:
        training = forks.start(compare)
        wait_until(waiting, LONG, "a fit")
        worker = waiting()[0]
        os.kill(training, signal.SIGKILL)
        forks.end(training)
        wait_until(lambda: worker not in cluster.workers, LONG, "the end of the fit")


@pytest.mark.slow
def test_scheduler_that_hangs_changes_nothing(
    works: Workshop, cluster: HeldCluster, local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It closes no connection, and answers nothing."""
    monkeypatch.setattr(engine, "SILENT_SECONDS", 6.0)
    works.said.clear()
    with meanwhile(cluster, lambda _pid: cluster.scheduler.send_signal(signal.SIGSTOP)):
        there = works.train(*CANDIDATES, grids=SMALL, **cluster.settings())
    cluster.scheduler.send_signal(signal.SIGCONT)
    assert facts(there) == local
    assert "has not answered for 6 s" in said(works)[-1]["problem"]


def test_killed_scheduler_changes_nothing(
    works: Workshop, cluster: HeldCluster, local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training goes on here, with the results so far, and says why. (The last test of the cluster.)"""
    monkeypatch.setattr(dispatcher, "RETURN_SECONDS", 0.5)
    works.said.clear()
    with meanwhile(cluster, lambda _pid: cluster.scheduler.kill()):
        there = works.train(*CANDIDATES, grids=SMALL, **cluster.settings())
    assert facts(there) == local
    assert "does not answer" in said(works)[-1]["problem"]
