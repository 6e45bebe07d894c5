"""Helpers for the tests of backups; a test module makes fixtures of `parts` and `settle_soon`."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ingesting import Parts, grow, numbered
from service import wait_until

from retraind.daemon.backup import backup
from retraind.daemon.core.home import Home


def parts(mlflow_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """An ingestion with three batches, a token and a drop that waits."""
    grow(mlflow_home, numbered(3), tmp_path_factory)
    parts = Parts(mlflow_home)
    mlflow_home.token.write_text("secret\n")
    mlflow_home.token.chmod(0o600)
    yield parts
    parts.close()


def settle_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup made in this process takes files that have not changed for a tenth of a second."""
    monkeypatch.setattr(backup, "SETTLED_SECONDS", 0.1)


def wait_quiet(path: Path) -> None:
    """Until a file has not been changed for as long as a backup demands."""
    wait_until(lambda: time.time() - path.stat().st_ctime > backup.SETTLED_SECONDS)
