"""The locks: what they leave out is not needed, neither by retraind nor for the commands that the pages show."""

import json
import re
import socket
import subprocess
import sys
import tomllib
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pytest
from service import wait_until

from retraind.daemon.core.home import Home
from retraind.daemon.dataset import segment_writer
from retraind.daemon.dataset.dataset import Dataset
from retraind.daemon.schema.schema import Schema
from retraind.daemon.storage.journal import Journal

ROOT = Path(__file__).resolve().parents[2]
UV = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]
LEFT_OUT = [*UV["exclude-dependencies"], *UV["pip"]["no-emit-package"]]
BIN = Path(sys.executable).parent


def versions(lock: str) -> dict[str, set[str]]:
    """Name and versions of each package in a lock file."""
    named: dict[str, set[str]] = {}
    for name, version in re.findall(r"(?m)^([a-z0-9._-]+)==(\S+)", (ROOT / lock).read_text()):
        named.setdefault(name, set()).add(version)
    return named


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_what_is_left_out_is_in_no_lock(lock: str) -> None:
    assert sorted(set(LEFT_OUT) & versions(lock).keys()) == []


def test_what_is_left_out_has_a_reason_and_a_size() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    missing = [name for name in LEFT_OUT if not re.search(rf"(?m)^\| [^|]*`{name}`[^|]* \| [^|]+ \| +[\d.]+ \|$", page)]
    assert missing == []


def test_both_locks_and_the_installer_agree() -> None:
    served, developed = versions("requirements.lock"), versions("requirements-dev.lock")
    assert {name: which for name, which in served.items() if which != developed[name]} == {}
    for extra in ("postgres", "s3"):
        added = versions(f"requirements-{extra}.lock")
        assert {name: which for name, which in added.items() if which != developed[name]} == {}
    assert versions("installer/requirements.lock")["uv"] == developed["uv"]


@pytest.mark.slow
def test_mlflow_shows_its_page_without_them(tmp_path: Path) -> None:
    """`mlflow ui`, as README shows it: page, REST and GraphQL."""
    assert [name for name in ("docker", "gunicorn", "prettytable") if find_spec(name)] == []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command: list[str | Path] = [
        BIN / "mlflow",
        "ui",
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/mlflow.db",
        "--port",
        str(port),
    ]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log) as ui:
        try:
            wait_until(lambda: ui.poll() is not None or _answers(port), what=(tmp_path / "log").read_text())
            body = json.dumps(
                {"operationName": "q", "query": "query q { mlflowSearchRuns(input: {}) { runs { info { runId } } } }"}
            )
            address = f"http://127.0.0.1:{port}"
            asked = urllib.request.Request(f"{address}/graphql", body.encode(), {"Content-Type": "application/json"})
            assert urllib.request.urlopen(asked, timeout=30).status == 200
            experiments = f"{address}/api/2.0/mlflow/experiments/search?max_results=5"
            assert "Default" in urllib.request.urlopen(experiments, timeout=30).read().decode()
        finally:
            ui.terminate()
    assert "ModuleNotFoundError" not in (tmp_path / "log").read_text()


def _answers(port: int) -> bool:
    try:
        return b"<html" in urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read()
    except OSError:
        return False


@pytest.mark.slow
def test_dvc_works_on_the_data_without_them(home: Home, schema: Schema, tmp_path: Path) -> None:
    """The commands that docs/operations.md shows, and those that look: DVC without its queues, hydra and gto."""
    assert [name for name in ("celery", "hydra", "gto", "asyncssh") if find_spec(name)] == []
    assert schema
    Journal.open(home.journal).close()
    dataset = Dataset(home)
    dataset.open({}, lambda _: set())
    segment = segment_writer.write(home.segments, [pa.table({"x": [1.0, 2.0]})]).place()
    dataset.commit(1, {segment.name: segment.md5}, "Batch")
    dataset.close()
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", home.data, clone], check=True)
    for words in (
        f"config --local cache.dir {home.data}/.dvc/cache", "checkout", "status", "diff HEAD", "data status", "list .", "list . --rev HEAD",
        f"get {home.data} dataset -o copy", "gc --workspace --force --dry", "doctor", "remote list", "dag",
    ):  # fmt: skip
        done = subprocess.run([BIN / "dvc", *words.split()], cwd=clone, capture_output=True, text=True)
        assert done.returncode == 0, f"dvc {words}: {done.stderr}"
