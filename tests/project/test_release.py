"""retraind.release: version and commit, wherever the code comes from. Real git."""

import re
import subprocess
import tarfile
from importlib import metadata
from io import BytesIO
from pathlib import Path

import pytest

from retraind import release

ROOT = Path(__file__).parents[2]
COMMIT = re.compile(r"[0-9a-f]{40}")


def git(folder: Path, *words: str) -> str:
    """Output of git."""
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgSign=false"]
    return subprocess.run(
        ["git", "-C", folder, *who, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one commit on its branch."""
    git(tmp_path, "init", "-q", "checkout")
    git(tmp_path / "checkout", "commit", "-q", "--allow-empty", "-m", "First")
    return tmp_path / "checkout"


def test_commit_is_that_of_git_however_its_files_lie(checkout: Path) -> None:
    """A branch, a packed one, no branch, and another worktree."""
    first = git(checkout, "rev-parse", "HEAD")
    assert release.checked_out(checkout) == first
    git(checkout, "pack-refs", "--all")
    assert release.checked_out(checkout) == first
    git(checkout, "commit", "-q", "--allow-empty", "-m", "Second")
    second = git(checkout, "rev-parse", "HEAD")
    assert release.checked_out(checkout) == second != first
    git(checkout, "checkout", "-q", "--detach", first)
    assert release.checked_out(checkout) == first
    git(checkout, "worktree", "add", "-q", "-b", "side/branch", "../side", second)
    assert release.checked_out(checkout.with_name("side")) == second
    git(checkout, "pack-refs", "--all")
    assert release.checked_out(checkout.with_name("side")) == second


@pytest.mark.parametrize("text", ["", "$Format:%H$", "unknown", "ref: refs/heads/none", "a" * 39])
def test_nothing_is_made_up(tmp_path: Path, text: str) -> None:
    """No repository, a damaged one, and a record without a commit."""
    assert release.checked_out(tmp_path) is None
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_text(text)
    (tmp_path / release.RECORD).write_text(f"{text}\n")
    assert release.checked_out(tmp_path) is None
    assert release.recorded(tmp_path) is None


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the tests run outside of a checkout")
def test_checkout_and_archive_know_their_commit(tmp_path: Path) -> None:
    """`git archive` fills in the record; in a checkout the placeholder counts for nothing."""
    head = git(ROOT, "rev-parse", "HEAD")
    assert release.checked_out(ROOT) == head
    assert release.recorded(ROOT / "retraind") is None
    archive = subprocess.run(["git", "-C", ROOT, "archive", "HEAD", "retraind"], check=True, capture_output=True)
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(tmp_path, filter="data")
    assert release.recorded(tmp_path / "retraind") == head


def test_every_place_names_the_same_version() -> None:
    """The package, the newest entry of CHANGELOG.md and the chart."""
    assert metadata.version("retraind") == release.VERSION
    entries = re.findall(r"(?m)^## \[?(\d[^\]\s]*)", (ROOT / "CHANGELOG.md").read_text())
    assert entries[0] == release.VERSION
    assert f'appVersion: "{release.VERSION}"' in (ROOT / "examples/helm/retraind/Chart.yaml").read_text()
