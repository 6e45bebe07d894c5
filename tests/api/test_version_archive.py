"""GET /versions/KEY/export: the ZIP file that `retraind export` would write, made by a process of its own."""

import io
import json
import shutil
import threading
import zipfile
from pathlib import Path

import pytest
from sites import Client

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Server, Settings

PATIENT = Settings(server=Server(request_seconds=200.0))
"""A machine at work takes its time to import what an export needs."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, served: Path) -> Client:
    root = tmp_path_factory.mktemp("archive") / "home"
    shutil.copytree(served, root, symlinks=True)
    return Client(Home(root), PATIENT)


def test_version_is_downloaded_as_an_archive(client: Client) -> None:
    status, headers, body = client.ask("GET", "/versions/1/export", QUERY_STRING="format=onnx")
    assert status == 200, body
    assert headers["content-type"] == "application/zip"
    assert headers["content-disposition"] == 'attachment; filename="retraind-1-onnx.zip"'
    archive = zipfile.ZipFile(io.BytesIO(body))
    assert archive.testzip() is None
    assert {"retraind-1-onnx/model.onnx", "retraind-1-onnx/MODEL_CARD.md"} <= set(archive.namelist())
    assert client.ask("GET", "/versions/1/export")[2] == body, "ONNX is the default, and the file is the same each time"


@pytest.mark.parametrize(
    ("path", "query", "status", "part"),
    [
        ("/versions/9/export", "format=onnx", 404, "There is no version 9."),
        ("/versions/none/export", "", 404, "There is no version 'none'."),
        ("/versions/1/export", "format=docx", 422, "'docx' is not a format."),
    ],
)
def test_archive_that_can_not_be_made_is_a_problem(
    client: Client, path: str, query: str, status: int, part: str
) -> None:
    answer = client.ask("GET", path, QUERY_STRING=query)
    problem = json.loads(answer[2])
    assert (answer[0], part in problem["detail"]) == (status, True), problem


def test_estimator_that_is_not_kept_is_a_problem(tmp_path: Path, served: Path) -> None:
    """The sentence names the format that works."""
    shutil.copytree(served, tmp_path / "home", symlinks=True)
    shutil.rmtree(tmp_path / "home" / "registry" / "artifacts")
    status, _, body = Client(Home(tmp_path / "home"), PATIENT).ask(
        "GET", "/versions/1/export", QUERY_STRING="format=pickle"
    )
    assert (status, "Use --format onnx." in json.loads(body)["detail"]) == (409, True)


def test_damaged_version_is_a_problem(tmp_path: Path, served: Path) -> None:
    shutil.copytree(served, tmp_path / "home", symlinks=True)
    home = Home(tmp_path / "home")
    model = home.bundle(1) / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    status, _, body = Client(home, PATIENT).ask("GET", "/versions/1/export")
    assert (status, "is not the file that was recorded" in json.loads(body)["detail"]) == (503, True)


def test_one_archive_is_made_at_a_time(client: Client) -> None:
    """Each takes a process of hundreds of megabytes; who comes meanwhile is told when to come again."""
    answers: list[int] = []
    other = Client(client.worker.home, PATIENT)  # it has not kept the file that others have asked for

    def ask() -> None:
        answers.append(other.ask("GET", "/versions/1/export")[0])

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 503, 503]
