"""retraind.daemon.service.remote_copies: git's and DVC's remotes follow behind the commits. A real bare repository, a real S3 server."""

import shutil
import subprocess
import time
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import stores
from forgetting import text
from ingesting import Parts
from service import wait_until
from stores import Bucket

from retraind.daemon.core.errors import BadSettings, DatasetDamaged, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import load
from retraind.daemon.core.settings.storage import Data
from retraind.daemon.dataset import git_command
from retraind.daemon.dataset.dvc import Dvc
from retraind.daemon.objects.store import MD5, by_md5
from retraind.daemon.service.remote_copies import BRANCH, RemoteCopies

server = pytest.fixture(scope="module", params=stores.KINDS)(stores.server)
bucket = pytest.fixture(stores.bucket)
parts = pytest.fixture(stores.parts)


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """An empty bare repository."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", tmp_path / "remote.git"], check=True)
    return tmp_path / "remote.git"


def take(parts: Parts, *numbers: int) -> None:
    for number in numbers:
        parts.drop(f"{number}.csv", text(float(number)))
        parts.run()


def tip(repository: Path) -> str:
    done = subprocess.run(["git", "-C", repository, "rev-parse", BRANCH], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def test_clone_of_the_remotes_has_the_rows(parts: Parts, bucket: Bucket, remote: Path, tmp_path: Path) -> None:
    """Whoever clones the one and pulls from the other needs nothing of this machine."""
    take(parts, 1, 2)
    projection = RemoteCopies(parts.home, bucket.store, str(remote))
    projection.follow()
    assert projection.lag == (0, 0.0)
    assert tip(remote) == parts.dataset.revision().commit  # type: ignore[union-attr]
    mirror, clone = tmp_path / "mirror", Home(tmp_path / "clone")
    for entry in bucket.store.listing(MD5):
        target = mirror / entry.name
        target.parent.mkdir(parents=True, exist_ok=True)
        answer = bucket.client.get_object(Bucket=bucket.name, Key=f"home/{entry.name}")
        target.write_bytes(answer["Body"].read())
    clone.make()
    shutil.rmtree(clone.data)
    subprocess.run(["git", "clone", "-q", remote, clone.data], check=True)
    dvc = Dvc(clone)
    dvc.isolate()
    dvc.pull(mirror)
    lengths = [value for path in clone.segments.iterdir() for value in pq.read_table(path)["sepal_length"].to_pylist()]
    assert sorted(lengths) == [1.0, 2.0]


def test_lag_counts_what_did_not_follow(parts: Parts, bucket: Bucket) -> None:
    """Committed batches and the age of the oldest; a second try brings all of them at once."""
    take(parts, 1, 2)
    projection = RemoteCopies(parts.home, bucket.store, "")
    with bucket.cut(), pytest.raises(Unavailable, match="did not answer: look at files/md5/"):
        projection.follow()
    time.sleep(0.05)
    assert projection.lag.batches == 2
    assert 0.05 <= projection.lag.seconds < 60
    projection.follow()
    newest = parts.journal.batches.committed()
    assert projection.lag == (0, 0.0)
    assert by_md5(str(newest.dvc_md5)) in bucket.names()


def test_history_that_was_rebuilt_takes_the_place_of_the_same_revisions(parts: Parts, remote: Path) -> None:
    """git's commits are others, their batches and DVC's md5 are the same."""
    take(parts, 1, 2)
    RemoteCopies(parts.home, None, str(remote)).follow()
    before = tip(remote)
    parts.close()
    shutil.rmtree(parts.home.data / ".git")
    parts.open()
    take(parts, 3)
    RemoteCopies(parts.home, None, str(remote)).follow()
    head = parts.dataset.revision()
    assert head is not None
    assert tip(remote) == head.commit != before
    assert git_command.run(parts.home.data, "for-each-ref", "refs/retraind") == ""


def test_deposed_leader_does_not_put_back_what_the_next_one_has_pushed(parts: Parts, remote: Path) -> None:
    """Its history ends earlier and has other commits; the same with as many batches may take the place of the other."""
    take(parts, 1, 2, 3)
    RemoteCopies(parts.home, None, str(remote)).follow()
    newest = tip(remote)
    git = partial(git_command.run, parts.home.data)
    git("reset", "-q", "--soft", "HEAD~1")
    git(
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "commit",
        "-q",
        "--amend",
        "--date=2026-01-01T00:00:00Z",
        "--no-edit",
    )
    with pytest.raises(DatasetDamaged, match="already has batch 3"):
        RemoteCopies(parts.home, None, str(remote)).follow()
    assert tip(remote) == newest


def test_history_of_another_home_is_left_alone(parts: Parts, remote: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["git", "init", "-q", "-b", "main", other], check=True)
    named = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "-C", other, *named, "commit", "-q", "--allow-empty", "-m", "theirs"], check=True)
    subprocess.run(["git", "-C", other, "push", "-q", remote, "main"], check=True)
    theirs = tip(remote)
    take(parts, 1)
    with pytest.raises(DatasetDamaged, match="has the history of another home"):
        RemoteCopies(parts.home, None, str(remote)).follow()
    assert tip(remote) == theirs


def test_thread_follows_by_itself_and_says_what_fails(parts: Parts, remote: Path, tmp_path: Path) -> None:
    """Where the remote is not there yet the problem names it; when it is, it follows."""
    take(parts, 1)
    aside = tmp_path / "aside"
    remote.rename(aside)
    projection = RemoteCopies(parts.home, None, str(remote))
    projection.start()
    try:
        assert str(remote) in wait_until(lambda: projection.problem, 20)
        assert projection.lag.batches == 1
        aside.rename(remote)
        wait_until(lambda: tip(remote), 20)
        wait_until(lambda: projection.problem is None, 20)
        assert projection.lag.batches == 0
    finally:
        projection.close()


@pytest.mark.parametrize(
    "remote",
    [
        "https://someone:s3cret@host/data.git",
        "https://s3cret@host/data.git",
        "HTTPS://s3cret@host/data.git",
        "helper::https://s3cret@host/data.git",
        "https://host/data.git?access_token=s3cret",
        "https://host/data.git#s3cret",
        "ssh://someone:s3c/ret@host/data.git",
        "someone:s3cret@host:data.git",
        "--upload-pack=touch",
    ],
)
def test_remote_with_a_password_or_an_option_is_refused(tmp_path: Path, remote: str) -> None:
    (tmp_path / "retraind.toml").write_text(f"[data]\ngit_remote = {remote!r}\n")
    with pytest.raises(BadSettings, match=r"data\.git_remote") as refused:
        load(tmp_path / "retraind.toml")
    assert "s3c" not in str(refused.value)


@pytest.mark.parametrize(
    "remote",
    [
        "git@host:data.git",
        "ssh://git@host:2222/~/data@v1.git",
        "ssh://git@[2001:db8::1]/d.git",
        "https://host/d",
        "/a:b@c",
    ],
)
def test_remote_without_a_password_is_accepted(remote: str) -> None:
    assert Data(git_remote=remote).git_remote == remote


def test_every_revision_follows_after_an_outage(parts: Parts, bucket: Bucket) -> None:
    """Not only the newest: an earlier revision is checked out by its own list."""
    take(parts, 1, 2, 3)
    RemoteCopies(parts.home, bucket.store, "").follow()
    lists = {by_md5(str(row["dvc_md5"])) for row in parts.journal.batches.all()}
    assert len(lists) == 3
    assert lists <= bucket.names()
