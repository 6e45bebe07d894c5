"""A whole service whose disk is lost: killed at random moments, data and bundles removed, started again. Real processes, a real S3 server."""

import json
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stores
from running import retraind
from service import Service, flowers, parsed, wait_until
from stores import Bucket

from daemon.core.errors import Exit

server = pytest.fixture(scope="module")(stores.server)
bucket = pytest.fixture(stores.bucket)


Loss = Callable[[Service], None]


def disk(service: Service) -> None:
    """The daemon is killed; rows, history, known rows, bundles and pointer are gone. Its workers answer on from memory."""
    service.kill()
    for folder in (service.home.data, service.home.bundles, service.home.known):
        shutil.rmtree(folder, ignore_errors=True)
    service.home.pointer.unlink(missing_ok=True)


def machine(service: Service) -> None:
    """All processes are killed, and everything is gone but the journal, which lay elsewhere, and the folder that others drop into."""
    service.kill()
    service.end()
    for path in (*service.home.root.iterdir(), *service.home.registry.iterdir()):
        if path.name.startswith("journal.db") or path in (service.home.inbox, service.home.registry):
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()


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


def lose(tmp_path: Path, served: Path, bucket: Bucket, loss: Loss, moments: int, seed: int) -> None:
    """Drops come in; there is a loss at `moments` random moments, and another daemon goes on."""
    chance = random.Random(seed)
    service = Service(tmp_path / "home", **bucket.environment).copied(served).start()
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
        assert {reproduced(service, number, bucket) for number in {1, version}} == {"bit for bit"}
        assert service.rows() == rows
    finally:
        service.end()


@pytest.mark.timeout(120)
def test_service_goes_on_on_another_machine(tmp_path: Path, served: Path, bucket: Bucket) -> None:
    """With the journal alone: MLflow's database, tokens, logs and bundles are new or come from the store."""
    lose(tmp_path, served, bucket, machine, moments=1, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("loss", [disk, machine])
@pytest.mark.parametrize("seed", range(2, 7))
def test_service_goes_on_after_a_loss_at_any_moment(
    tmp_path: Path, served: Path, bucket: Bucket, loss: Loss, seed: int
) -> None:
    """Fifty random moments of each kind."""
    lose(tmp_path, served, bucket, loss, moments=10, seed=seed)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_predictions_go_on_while_the_store_is_down(tmp_path: Path, served: Path, bucket: Bucket) -> None:
    """Cut off, then stopped: each request is answered, the drop waits, the health says why; afterwards it is taken once."""
    service = Service(tmp_path / "home", **bucket.environment).copied(served).start()
    try:
        service.wait_served(1)
        wait_until(lambda: stored(service), 60)
        rows = service.rows()
        for number, outage in enumerate((bucket.cut, bucket.server.stopped)):
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
