"""A whole service whose disk is lost: killed at random moments, data and bundles removed, started again. Real processes, a real S3 server."""

import contextlib
import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stores
from postgres import Place
from running import retraind
from service import Service, flowers, parsed, wait_until
from stores import Bucket

from benchmarks.postgres import Postgres
from retraind.daemon.core.errors import Exit
from retraind.daemon.core.home import Home

server = pytest.fixture(scope="module", params=stores.KINDS)(stores.server)
bucket = pytest.fixture(stores.bucket)


Loss = Callable[[Service], None]


def disk(service: Service) -> None:
    """The daemon is killed; rows, history, known rows, bundles and pointer are gone. Its workers answer on from memory."""
    service.kill()
    for folder in (service.home.data, service.home.bundles, service.home.known):
        shutil.rmtree(folder, ignore_errors=True)
    service.home.pointer.unlink(missing_ok=True)


def machine(service: Service) -> None:
    """All processes are killed and the home is gone; in another one there is the journal, or what names its server, and what others drop."""
    service.kill()
    lost = service.home
    wait_until(lambda: not _end(lost), 20, "no process of the lost machine")
    service.home = Home(lost.root.with_name(f"{lost.root.name}+"))
    service.home.registry.mkdir(parents=True)
    for path in lost.registry.glob("journal*"):
        path.rename(service.home.registry / path.name)
    lost.inbox.rename(service.home.inbox)
    shutil.rmtree(lost.root)
    done = retraind("claim", home=service.home, env={**os.environ, **service._settings})
    assert done.returncode == Exit.OK, done.stderr


def reproduced(service: Service, version: int, bucket: Bucket) -> str:
    """How equal a version is that is trained again."""
    done = retraind("reproduce", version, "--json", home=service.home, env=_environment(bucket))
    assert done.returncode == Exit.OK, done.stdout + done.stderr
    return str(json.loads(done.stdout)["equal"])


def _environment(bucket: Bucket) -> dict[str, str]:
    return {**os.environ, **bucket.environment}


def stored(service: Service) -> bool:
    """Whether home and store have all that the journal names."""
    check = service.ask("/health")[1]["checks"].get("storage")  # which a start lacks until the parts are open
    return bool(check) and check["ok"] and "while" not in check["detail"]


def _end(home: Home) -> list[int]:
    """Kill the processes of a home, also a worker that has just been started; those that there were."""
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*") if _serves(path, home)]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return pids


def _serves(process: Path, home: Home) -> bool:
    with contextlib.suppress(OSError):
        return str(home.root).encode() in (process / "cmdline").read_bytes().split(b"\0")
    return False


def lose(
    service: Service, served: Path, bucket: Bucket, loss: Loss, moments: int, seed: int, reproducing: int = 2
) -> None:
    """Drops come in; there is a loss at `moments` random moments, and another daemon goes on. So many versions are trained again."""
    chance = random.Random(seed)
    service.copied(served).start()
    try:
        service.wait_served(1)
        wait_until(lambda: stored(service), 60, f"what there was to be put: {service.ask('/health')}")
        rows: Counter[tuple[Any, ...]] = service.rows()
        for moment in range(moments):
            count = chance.randint(1, 4)
            for number in range(count):
                batch = flowers(1000 * seed + 10 * moment + number + 1)
                service.drop(f"{moment}-{number}.csv", batch)
                rows += parsed(batch)
            time.sleep(chance.uniform(0, 1.5))
            loss(service)
            service.start()
        service.wait_served(1)
        service.rest()
        assert service.rows() == rows
        version = service.ask("/versions")[1]["versions"][0]["version"]
        wait_until(lambda: stored(service), 60, f"all to be put: {service.ask('/health')}")
        loss(service)
        service.start()
        service.wait_served(1)
        newest_and_first = [version, 1][:reproducing]
        assert {reproduced(service, number, bucket) for number in newest_and_first} == {"bit for bit"}
        assert service.rows() == rows
    finally:
        service.end()


@pytest.fixture
def service(tmp_path: Path, bucket: Bucket) -> Iterator[Service]:
    service = Service(tmp_path / "home", **bucket.environment)
    service.home.registry.mkdir(parents=True)
    yield service
    service.end()


@pytest.mark.timeout(180)
def test_service_goes_on_on_another_machine(service: Service, served: Path, bucket: Bucket, postgres: Postgres) -> None:
    """With its journal on a server: MLflow's database, tokens and logs are new, rows and bundles come from the store."""
    postgres.place(service.home)
    lose(service, served, bucket, machine, moments=1, seed=1, reproducing=1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.engines
@pytest.mark.parametrize("loss", [disk, machine])
@pytest.mark.parametrize("seed", range(2, 7))
def test_service_goes_on_after_a_loss_at_any_moment(
    service: Service, served: Path, bucket: Bucket, engine: Place, loss: Loss, seed: int
) -> None:
    """Fifty random moments of each kind, with the journal in its file and on a server."""
    engine(service.home)
    lose(service, served, bucket, loss, moments=10, seed=seed)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_predictions_go_on_while_the_store_is_down(service: Service, served: Path, bucket: Bucket) -> None:
    """Cut off, then stopped: each request is answered, the drop waits, the health says why; afterwards it is taken once."""
    service.copied(served).start()
    try:
        service.wait_served(1)
        wait_until(lambda: stored(service), 60)
        rows = service.rows()
        for number, outage in enumerate((bucket.cut, bucket.hanging)):
            batch = flowers(500 + number)
            with outage():
                service.drop(f"{number}.csv", batch)
                reason = wait_until(lambda: _reason(service), 30, "the health to say so")
                assert "predictions continue" in reason
                assert all(service.predict() is not None for _ in range(50))
                assert service.drops() == [f"{number}.csv"]
            service.wait_ingested()
            rows += parsed(batch)
            assert service.rows() == rows
        assert stores.SECRET not in service.log()
    finally:
        service.end()


def _reason(service: Service) -> str:
    check = service.ask("/health")[1]["checks"].get("storage", {"ok": True})
    return "" if check["ok"] else str(check["detail"])
