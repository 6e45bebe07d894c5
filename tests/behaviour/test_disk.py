"""A disk that is full, or out of inodes, or that fails to write: nothing acknowledged is lost, and work resumes by itself."""

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import names
from service import Service, flowers, parsed, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Small:
    """A service whose home is a small file system of its own."""

    def __init__(self, folder: Path, options: str) -> None:
        self.folder = folder
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
        if os.getuid() != 0 or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting a small file system needs root and the right to mount")
        # The rows of a test would train again each time, and a training takes room of its own.
        self.service = Service(folder / "home", RETRAIND_RETRAIN__THRESHOLD_ROWS="100000")

    def fill(self) -> None:
        """Take every byte that is left, except the first few, from which a file can always grow a little."""
        with (self.folder / "ballast").open("ab", buffering=0) as ballast, contextlib.suppress(OSError):
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while ballast.write(b"x" * size):
                        pass

    def take_inodes(self) -> None:
        """Take every inode that is left."""
        (self.folder / "inodes").mkdir(exist_ok=True)
        for number in range(1_000_000):
            try:
                (self.folder / "inodes" / str(number)).touch()
            except OSError as error:
                assert error.errno == errno.ENOSPC
                return

    def make_room(self) -> None:
        (self.folder / "ballast").unlink(missing_ok=True)
        shutil.rmtree(self.folder / "inodes", ignore_errors=True)

    def unhealthy(self) -> str:
        """The reasons that /health gives, empty while there are none."""
        status, answer = self.service.ask("/health")
        return "; ".join(answer["reasons"]) if status == 503 else ""

    def close(self) -> None:
        self.service.end()
        subprocess.run(["umount", "--lazy", str(self.folder)], check=False)


@pytest.fixture
def small(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Small]:
    """A running service on a small disk, which serves Iris; the parameter is the mount's options."""
    small = Small(tmp_path_factory.mktemp("disk"), request.param)
    try:
        small.service.start()
        small.service.wait_served(1)
        small.service.wait_ingested()
        wait_until(lambda: '"detail":"Ready."' in small.service.home.status.read_text())
        yield small
    finally:
        small.close()


def put(service: Service, name: str, rows: list[str]) -> None:
    """Bring a file into the inbox from another disk, which needs no room there that is not already taken."""
    waiting = service.home.root.parent / name
    text = "sepal_length,sepal_width,petal_length,petal_width,species\n" + "\n".join(rows) + "\n"
    waiting.write_text(text)
    waiting.rename(service.home.inbox / name)


@pytest.mark.parametrize("small", ["size=600m", "size=600m,nr_inodes=4000"], indirect=True, ids=["bytes", "inodes"])
def test_full_disk_stops_ingestion_and_nothing_else(small: Small, request: pytest.FixtureRequest) -> None:
    """Predictions are answered, the drop stays in the inbox, /health says why; with room again all is done, unasked."""
    service, expected = small.service, small.service.rows()
    rows = flowers(1)
    put(service, ".held", rows)
    inodes = "inodes" in request.node.name
    small.take_inodes() if inodes else small.fill()
    (service.home.inbox / ".held").rename(service.home.inbox / "held.csv")
    wait_until(lambda: "disk" in small.unhealthy(), what="/health to name the disk")
    for _ in range(20):
        assert service.predict() is not None, "predictions go on"
    assert service.ask("/metrics")[1]["prediction_count"] >= 20
    status, answer = service.ask(
        "/add_training_data",
        {"features": [5.1, 3.5, 1.4, 0.2], "target": "setosa"},
        Authorization=f"Bearer {service.home.token.read_text().strip()}",
    )
    acknowledged = status in (200, 201, 202)
    assert acknowledged or status == 507, (status, answer)
    assert "held.csv" in service.drops() or service.rows() == expected + parsed(rows)
    small.make_room()
    service.wait_ingested()
    # The prediction log finds out that it can be written again when there is something to write.
    wait_until(lambda: service.predict() and not small.unhealthy(), what="/health to be well, without a restart")
    expected += parsed(rows) + parsed(["5.1,3.5,1.4,0.2,setosa"] * acknowledged)
    assert service.rows() == expected
    assert names(service.home.rejected) == []
    put(service, "later.csv", flowers(2))
    wait_until(lambda: service.rows() == expected + parsed(flowers(2)), what="the next drop")
