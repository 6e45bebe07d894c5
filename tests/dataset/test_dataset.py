"""retraind.daemon.dataset.dataset with real git and DVC."""

import shutil
import stat
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import names

from retraind.daemon.core import durable
from retraind.daemon.core.errors import DatasetDamaged
from retraind.daemon.core.home import Home
from retraind.daemon.dataset import dvc, segment_writer, segments
from retraind.daemon.dataset.dataset import Dataset
from retraind.daemon.dataset.segment_writer import Segment
from retraind.daemon.schema.schema import Schema
from retraind.daemon.storage.journal import Journal

MESSAGE = "Batch"


@pytest.fixture
def opened(home: Home, schema: Schema) -> Iterator[Dataset]:
    """A dataset in a new repository, beside a journal that has recorded nothing."""
    assert schema
    Journal.open(home.journal).close()
    dataset = Dataset(home)
    dataset.open({}, none)
    yield dataset
    dataset.close()


def segment(home: Home, number: int) -> Segment:
    return segment_writer.write(home.segments, [pa.table({"x": pa.array([float(number)] * 3)})]).place()


def none(_: Iterable[str]) -> set[str]:
    """Nothing has been replaced by a merge."""
    return set()


def git(home: Home, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=home.data, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def reopened(home: Home, known: dict[str, str]) -> Dataset:
    dataset = Dataset(home)
    dataset.open(known, none)
    return dataset


def test_segment_is_named_by_its_bytes_and_never_written_again(home: Home, opened: Dataset) -> None:
    """Same rows, same file; it is read-only."""
    assert opened
    first, again, other = (segment(home, number) for number in (1, 1, 2))
    assert first == again
    assert first.name != other.name
    path = home.segments / first.name
    assert durable.sha256_file(path) == first.sha256
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert sorted(names(home.segments)) == sorted({first.name, other.name})


def test_commit_is_a_revision_that_git_and_dvc_know(home: Home, opened: Dataset, schema: Schema) -> None:
    """Every segment is in DVC's cache under its md5; git names the folder's md5 and the batch, and has the schema."""
    assert opened.revision() is None
    first = segment(home, 1)
    revision = opened.commit(1, {first.name: first.md5}, MESSAGE)
    assert revision == opened.revision()
    assert git(home, "rev-parse", "HEAD") == revision.commit
    assert f"Batch-Id: 1\nDvc-Md5: {revision.dvc_md5}" in git(home, "log", "-1", "--format=%B")
    assert sorted(git(home, "ls-files").split()) == [
        ".dvc/.gitignore",
        ".dvc/config",
        ".dvcignore",
        ".gitignore",
        "dataset.dvc",
        "schema.json",
    ]
    assert git(home, "status", "--porcelain") == ""
    cached = home.data / ".dvc/cache/files/md5" / first.md5[:2] / first.md5[2:]
    assert durable.sha256_file(cached) == first.sha256
    second = segment(home, 2)
    later = opened.commit(2, {first.name: first.md5, second.name: second.md5}, MESSAGE)
    assert later.dvc_md5 != revision.dvc_md5
    assert git(home, "rev-list", "--count", "HEAD") == "2"


def test_committing_again_gives_the_same_revision(home: Home, opened: Dataset, schema: Schema) -> None:
    """After a kill between git and the journal the batch is committed once, also by the next process."""
    first = segment(home, 1)
    known = {first.name: first.md5}
    revision = opened.commit(1, known, MESSAGE)
    assert opened.commit(1, known, MESSAGE) == revision
    again = reopened(home, known)
    assert again.commit(1, known, MESSAGE) == revision
    again.close()


@pytest.mark.parametrize(
    "leftover", [".git/index.lock", ".git/refs/heads/main.lock", ".dvc/tmp/rwlock", ".dvc/tmp/lock"]
)
def test_locks_of_killed_programs_are_taken_away(home: Home, opened: Dataset, schema: Schema, leftover: str) -> None:
    """git and DVC leave locks when they are killed; the next start removes them and goes on."""
    first = segment(home, 1)
    opened.close()
    path = home.data / leftover
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("" if "git" in leftover else "{")
    again = reopened(home, {first.name: first.md5})
    assert again.commit(1, {first.name: first.md5}, MESSAGE).dvc_md5
    again.close()


@pytest.mark.parametrize("damage", [b"", b"outs:\n- m", b"\0" * 90], ids=["empty", "half", "zeros"])
def test_torn_pointer_is_restored(home: Home, opened: Dataset, schema: Schema, damage: bytes) -> None:
    """A half-written dataset.dvc comes back from git."""
    first = segment(home, 1)
    revision = opened.commit(1, {first.name: first.md5}, MESSAGE)
    opened.close()
    (home.data / "dataset.dvc").write_bytes(damage)
    again = reopened(home, {first.name: first.md5})
    assert again.revision() == revision
    assert again.commit(1, {first.name: first.md5}, MESSAGE) == revision
    again.close()


@pytest.mark.parametrize("damage", [b"", b"PAR1 and then nothing"], ids=["empty", "half"])
def test_torn_object_of_dvc_is_made_again(home: Home, opened: Dataset, schema: Schema, damage: bytes) -> None:
    """An object that a kill left unfinished, and that DVC would trust, is replaced before the batch counts."""
    first = segment(home, 1)
    opened.close()
    cached = home.data / ".dvc/cache/files/md5" / first.md5[:2] / first.md5[2:]
    cached.parent.mkdir(parents=True)
    cached.write_bytes(damage)
    cached.chmod(0o444)
    again = reopened(home, {first.name: first.md5})
    again.commit(1, {first.name: first.md5}, MESSAGE)
    assert durable.sha256_file(cached) == first.sha256
    again.close()


def test_commit_is_not_begun_without_room(home: Home, opened: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk DVC would try again endlessly and without a pause; once there is room, the same commit succeeds."""
    first = segment(home, 1)
    with monkeypatch.context() as full:
        full.setattr(dvc, "LEAST_BYTES", 1 << 62)
        with pytest.raises(OSError, match="No space left"):
            opened.commit(1, {first.name: first.md5}, MESSAGE)
    assert opened.commit(1, {first.name: first.md5}, MESSAGE).commit


@pytest.mark.parametrize("missing", [".git/HEAD", ".git/refs", ".git/objects"])
def test_half_made_repository_is_made_again(home: Home, opened: Dataset, schema: Schema, missing: str) -> None:
    """A kill during the very first start leaves a .git without some of its parts, and DVC's settings empty."""
    opened.close()
    path = home.data / missing
    path.unlink() if path.is_file() else shutil.rmtree(path)
    (home.data / ".dvc/config").write_text("")
    again = reopened(home, {})
    first = segment(home, 1)
    assert again.commit(1, {first.name: first.md5}, MESSAGE).commit
    again.close()


def test_unknown_segment_is_set_aside(home: Home, opened: Dataset, schema: Schema) -> None:
    """A segment whose batch never got into the journal is no data; it is kept beside it. The others stay."""
    known, orphan = segment(home, 1), segment(home, 2)
    opened.close()
    reopened(home, {known.name: known.md5}).close()
    assert names(home.segments) == [known.name]
    assert names(home.data / "orphans") == [orphan.name]


def test_lost_segment_comes_back_from_dvc(home: Home, opened: Dataset, schema: Schema) -> None:
    """A committed segment that was deleted is restored at the start, byte for byte."""
    first = segment(home, 1)
    opened.commit(1, {first.name: first.md5}, MESSAGE)
    opened.close()
    (home.segments / first.name).unlink()
    again = reopened(home, {first.name: first.md5})
    assert again.folder.verify({first.name: first.sha256}) == []
    again.close()


def test_verify_names_what_has_changed(home: Home, opened: Dataset, schema: Schema) -> None:
    """A changed segment and a missing one are both found."""
    segments = [segment(home, number) for number in range(3)]
    changed = home.segments / segments[0].name
    changed.chmod(0o644)
    changed.write_bytes(b"x")
    (home.segments / segments[1].name).unlink()
    assert sorted(opened.folder.verify({one.name: one.sha256 for one in segments})) == sorted(
        [segments[0].name, segments[1].name]
    )


def test_foreign_file_in_the_dataset_is_no_revision(home: Home, opened: Dataset, schema: Schema) -> None:
    """What the journal does not know is never committed: the loop stops with a sentence, not with other data."""
    first = segment(home, 1)
    (home.segments / "mine.parquet").write_bytes(b"x")
    with pytest.raises(DatasetDamaged, match="differs from the journal"):
        opened.commit(1, {first.name: first.md5}, MESSAGE)


def test_reading_verifies_before_it_parses(home: Home, opened: Dataset, schema: Schema) -> None:
    """Segments come back in the order asked for; a changed one is refused by name."""
    first, second = segment(home, 1), segment(home, 2)
    known = {second.name: second.sha256, first.name: first.sha256}
    assert [(name, table["x"][0].as_py()) for name, table in segments.read(home.segments, known)] == [
        (second.name, 2.0),
        (first.name, 1.0),
    ]
    with pytest.raises(DatasetDamaged, match=first.name):
        list(segments.read(home.segments, {first.name: second.sha256}))


def test_settings_of_the_user_and_repositories_around_do_not_matter(
    home: Home, opened: Dataset, schema: Schema, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Hooks, signing and GIT_ variables of the person who starts the daemon change nothing, nor is their repository touched."""
    subprocess.run(["git", "init", "-q"], cwd=home.root, check=True)
    config = tmp_path / "gitconfig"
    config.write_text(
        "[commit]\n\tgpgsign = true\n[core]\n\thooksPath = /nowhere\n\tautocrlf = true\n[user]\n\tuseConfigOnly = true\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_DIR", str(home.root / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    first = segment(home, 1)
    revision = opened.commit(1, {first.name: first.md5}, MESSAGE)
    for name in ("GIT_DIR", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name)
    assert git(home, "log", "-1", "--format=%H %an") == f"{revision.commit} retraind"
    log = subprocess.run(["git", "log"], cwd=home.root, capture_output=True, text=True)
    assert "does not have any commits" in log.stderr


def test_revision_can_be_checked_out_elsewhere(home: Home, opened: Dataset, schema: Schema, tmp_path: Path) -> None:
    """git and DVC alone get the rows of a revision from a clone."""
    from dvc.repo import Repo

    first = segment(home, 1)
    opened.commit(1, {first.name: first.md5}, MESSAGE)
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(home.data), str(clone)], check=True)
    repo = Repo(
        str(clone), config={"remote": {"origin": {"url": str(home.data / ".dvc/cache")}}, "core": {"remote": "origin"}}
    )
    repo.pull()
    repo.close()
    assert durable.sha256_file(clone / "dataset" / first.name) == first.sha256
