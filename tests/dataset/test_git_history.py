"""retraind.daemon.dataset.git_history: git and DVC are rebuilt from journal and segments, whatever is damaged. Real git, DVC, SQLite."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import forks
import pytest
from ingesting import HEADER, Parts, grow, numbered, row

from retraind.daemon.core.home import Home
from retraind.daemon.dataset import git_history
from retraind.daemon.dataset.checkout import check_out
from retraind.daemon.dataset.dataset import Dataset
from retraind.daemon.dataset.git_repository import Revision

BATCHES = 4


@pytest.fixture
def parts(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """An ingestion with four batches, of which it has taken the last one itself."""
    grow(home, numbered(BATCHES - 1), tmp_path_factory)
    parts = Parts(home)
    take(parts, BATCHES)
    yield parts
    parts.close()


def take(parts: Parts, length: float) -> None:
    """Drop a file with one row and have it taken."""
    parts.drop(f"{length}.csv", HEADER + row(length))
    parts.run()


def git(home: Home, *arguments: str) -> str:
    command = ["git", "-c", "gc.auto=0", *arguments]
    return subprocess.run(command, cwd=home.data, capture_output=True, text=True, check=True).stdout.strip()


def loose(home: Home, name: str) -> Path:
    """The file of an object of git."""
    digits = git(home, "rev-parse", name)
    return home.data / ".git/objects" / digits[:2] / digits[2:]


def lose_head(home: Home) -> None:
    loose(home, "HEAD").unlink()


def lose_tree(home: Home) -> None:
    loose(home, "HEAD^{tree}").unlink()


def lose_older_commit(home: Home) -> None:
    loose(home, "HEAD~1").unlink()
    (home.data / ".git/index").unlink()
    loose(home, "HEAD").unlink()


def tear_branch(home: Home) -> None:
    (home.data / ".git/refs/heads/main").write_bytes(b"")


def zero_branch(home: Home) -> None:
    (home.data / ".git/refs/heads/main").write_bytes(b"\0" * 41)


def tear_head(home: Home) -> None:
    (home.data / ".git/HEAD").write_bytes(b"")


def tear_index(home: Home) -> None:
    (home.data / ".git/index").write_bytes(b"DIRC\0\0")


def tear_config(home: Home) -> None:
    (home.data / ".git/config").write_bytes(b"[core")


def remove_everything(home: Home) -> None:
    shutil.rmtree(home.data / ".git")


def remove_objects(home: Home) -> None:
    shutil.rmtree(home.data / ".git/objects")


def corrupt_pack(home: Home) -> None:
    git(home, "repack", "-a", "-d", "-q")
    [pack] = (home.data / ".git/objects/pack").glob("*.pack")
    pack.chmod(0o644)
    with pack.open("r+b") as file:
        for place in range(20, pack.stat().st_size - 40, 7):
            file.seek(place)
            file.write(b"\xff")


def go_back(home: Home) -> None:
    git(home, "reset", "-q", "--hard", "HEAD~2")


GIT = [
    lose_head,
    lose_tree,
    lose_older_commit,
    tear_branch,
    zero_branch,
    tear_head,
    tear_index,
    tear_config,
    remove_everything,
    remove_objects,
    corrupt_pack,
    go_back,
]


def lose_settings(home: Home) -> None:
    (home.data / ".dvc/config").unlink()


def tear_settings(home: Home) -> None:
    (home.data / ".dvc/config").write_bytes(b"\0" * 80)


def lose_scaffold(home: Home) -> None:
    for name in (".dvcignore", ".gitignore", ".dvc/.gitignore"):
        (home.data / name).unlink()


def lose_cache(home: Home) -> None:
    shutil.rmtree(home.data / ".dvc/cache")


def lose_state(home: Home) -> None:
    for path in (home.dvc_site).rglob("*.db"):
        path.write_bytes(b"no database" * 1000)


def lose_dvc(home: Home) -> None:
    shutil.rmtree(home.data / ".dvc")


DVC = [lose_settings, tear_settings, lose_scaffold, lose_cache, lose_state, lose_dvc]


def check(parts: Parts, batches: int = BATCHES + 1) -> None:
    """git and DVC hold exactly what the journal does, and git finds nothing wrong."""
    check_git(parts, batches)
    newest = git_history.recorded(parts.home.journal)[-1]
    segments = {one["name"]: one["md5"] for one in parts.journal.segments.current()}
    assert Dataset(parts.home).commit(batches, segments, "Again").dvc_md5 == newest.dvc_md5


def check_git(parts: Parts, batches: int) -> None:
    """git holds exactly what the journal does, and finds nothing wrong."""
    home = parts.home
    assert parts.lengths == [*range(1, batches + 1)]
    assert git(home, "status", "--porcelain") == ""
    git(home, "fsck", "--strict", "--no-dangling")
    history = git_history.recorded(home.journal)
    assert [one.seq for one in history] == [*range(1, batches + 1)]
    batch_ids = git(home, "log", "--reverse", "--format=%(trailers:key=Batch-Id,valueonly,separator=%x2C)").split()
    assert batch_ids == [str(one.seq) for one in history]
    assert git_history.damage(home.data, history[-1].name) is None


@pytest.mark.parametrize("harm", [*GIT, *DVC], ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("when", ["running", "restart"])
def test_damaged_repository_is_made_again(parts: Parts, harm: Callable[[Home], None], when: str) -> None:
    """The next batch is committed, by the daemon that runs as by the next one; every batch has its commit again."""
    harm(parts.home)
    if when == "restart":
        parts.reopen()
    take(parts, BATCHES + 1)
    check(parts)
    aside = git_history.set_aside(parts.home.data)
    assert len(aside) == (harm in GIT and harm is not remove_everything)


def test_what_can_be_read_keeps_its_commits(parts: Parts) -> None:
    """Only the lost commit is another one; it names the one that the journal has, and stands for it."""
    before = [one.revision for one in git_history.recorded(parts.home.journal)]
    lose_head(parts.home)
    replaced: list[str] = []
    parts.close()
    dataset = Dataset(parts.home, replaced.append)
    dataset.open({one["name"]: one["md5"] for one in Parts(parts.home).journal.segments.current()}, lambda _: set())
    now = git(parts.home, "log", "--reverse", "--format=%H").split()
    assert now[:-1] == before[:-1]
    assert now[-1] != before[-1]
    assert git(parts.home, "log", "-1", "--format=%(trailers:key=Remade-From,valueonly)") == before[-1]
    dataset.close()
    parts.open()


def test_old_revision_is_found_again(parts: Parts, tmp_path: Path) -> None:
    """A version names the commit of its revision; after all commits were rebuilt its rows are checked out all the same."""
    history = git_history.recorded(parts.home.journal)
    remove_everything(parts.home)
    parts.reopen()
    scratch = Home(tmp_path / "scratch")
    scratch.make()
    checkout = check_out(parts.home, scratch, Revision(*history[1].name))
    assert len(checkout) == 2


def test_cache_survives_torn_settings(parts: Parts) -> None:
    """`dvc init --force` would remove .dvc with all older revisions in it."""
    cached = {path.name for path in (parts.home.data / ".dvc/cache").rglob("*") if path.is_file()}
    (parts.home.data / ".dvc/config").write_text("")
    parts.reopen()
    assert cached <= {path.name for path in (parts.home.data / ".dvc/cache").rglob("*") if path.is_file()}


def test_damaged_repositories_are_kept_up_to_a_number(parts: Parts) -> None:
    """Three, the newest ones; each repair leaves the history whole."""
    for _ in range(git_history.KEPT + 2):
        tear_head(parts.home)
        parts.reopen()
    assert len(git_history.set_aside(parts.home.data)) == git_history.KEPT
    take(parts, BATCHES + 1)
    check(parts)


STEPS = 60
"""More than there are changes of the disk in one repair."""

CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "subprocess.Popen", "shutil.rmtree")
"""The audit events of what changes the disk."""


def remake_until(home: Home, step: int) -> int:
    """Repair the history in a process that kills itself before the change of the disk with this number; its exit code."""
    history = git_history.recorded(home.journal)

    def remake() -> None:
        changes = itertools.count()
        sys.addaudithook(
            lambda event, _: os.kill(os.getpid(), 9) if event in CHANGES and next(changes) == step else None
        )
        git_history.remake(home.data, history)

    return forks.end(forks.start(remake))


@pytest.mark.parametrize("harm", [lose_head, remove_everything], ids=lambda harm: harm.__name__)
def test_repair_that_is_killed_is_finished(parts: Parts, harm: Callable[[Home], None]) -> None:
    """Killed before each change of the disk and each program that it starts: the next start finishes it, and nothing is lost."""
    harm(parts.home)
    parts.close()
    copy = parts.home.root.parent / "harmed"
    shutil.copytree(parts.home.data / ".git", copy, dirs_exist_ok=True) if harm is lose_head else None
    for step in range(STEPS):
        code = remake_until(parts.home, step)
        assert code in (0, -signal.SIGKILL)
        parts.open()
        check_git(parts, BATCHES)
        assert not (parts.home.data / git_history.TMP / git_history.FRESH).exists()
        parts.close()
        if code == 0:
            break
        shutil.rmtree(parts.home.data / ".git")
        for aside in git_history.set_aside(parts.home.data):
            shutil.rmtree(aside)
        if harm is lose_head:
            shutil.copytree(copy, parts.home.data / ".git")
    assert code == 0, "a repair takes more steps than were tried"
    assert step > 3
    parts.open()
    check(parts, BATCHES)


def test_nothing_is_set_aside_without_damage(parts: Parts) -> None:
    """Restarts, and what people do with git in data/, make no new repository."""
    for command in (["gc", "-q"], ["status"], ["tag", "mine"], ["branch", "other"], ["pack-refs", "--all"]):
        git(parts.home, *command)
        parts.reopen()
    take(parts, BATCHES + 1)
    check(parts)
    assert git_history.set_aside(parts.home.data) == []
