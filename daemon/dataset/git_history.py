"""The projection: git's history of the dataset, rebuilt from the journal where the repository is damaged.

git is never the only copy: each batch is a commit of a small file that names DVC's md5, and the journal has both.
Readable commits of the damaged repository are kept; only the others get new commits, which name the old ones.
"""

import shutil
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from retraind.daemon.core import durable
from retraind.daemon.core.errors import DatasetDamaged
from retraind.daemon.core.states import BatchKind, BatchState
from retraind.daemon.dataset import git_command
from retraind.daemon.records import batches, segments
from retraind.daemon.records.batches import RevisionRow
from retraind.daemon.schema.score_names import counted

POINTER, SCHEMA = "dataset.dvc", "schema.json"
TRACKED = (POINTER, SCHEMA, ".gitignore", ".dvc/config", ".dvc/.gitignore", ".dvcignore")

AUTHOR = ("retraind", "retraind@localhost")

TMP = ".dvc/tmp"
"""A folder that neither git nor DVC reads; DVC would search any other folder for its files, each time."""

DAMAGED = "git.damaged-"
"""Prefix of a repository that was set aside in TMP; the UTC time follows."""

KEPT = 3
"""Number of the newest ones that are kept."""

FRESH = "git.new"

NEAR = 20
"""Number of commits at the end of a repository that are compared with the journal."""

BATCH, MD5, WAS = "Batch-Id", "Dvc-Md5", "Remade-From"
"""Trailers of a commit: the batch, DVC's md5 of the dataset, and, for a rebuilt commit, the one that the journal names.
"""


class Recorded(NamedTuple):
    """A revision in the journal: the batch that made it, and the content of its pointer."""

    seq: int
    kind: BatchKind
    rows: int
    revision: str
    dvc_md5: str
    at: str
    size: int
    nfiles: int

    @property
    def name(self) -> tuple[str, str]:
        """Its commit and DVC's md5."""
        return self.revision, self.dvc_md5


class Remade(NamedTuple):
    """The repair of a damaged repository: numbers of kept and of rebuilt revisions, and the path of the old repository."""

    kept: int
    remade: int
    aside: Path | None


def recorded(journal: Path) -> list[Recorded]:
    """Every revision of the journal, oldest first; raises sqlite3.Error when it can't be read."""
    size, count = Counter[int](), Counter[int]()
    for segment in segments.ever(journal):
        size[segment["born"]] += segment["bytes"]
        count[segment["born"]] += 1
        if segment["died"] is not None:
            size[segment["died"]] -= segment["bytes"]
            count[segment["died"]] -= 1
    history, bytes_, files = [], 0, 0
    for row in batches.all_of(journal):
        bytes_, files = bytes_ + size[row["seq"]], files + count[row["seq"]]
        if row["state"] == BatchState.COMMITTED:
            history.append(_recorded(row, bytes_, files))
    return history


def _recorded(row: RevisionRow, size: int, nfiles: int) -> Recorded:
    """A committed batch, which has a commit, DVC's md5 and the time of both."""
    assert row["revision"] is not None
    assert row["dvc_md5"] is not None
    assert row["at"] is not None
    return Recorded(row["seq"], row["kind"], row["rows"], row["revision"], row["dvc_md5"], row["at"], size, nfiles)


def subject(seq: int, kind: BatchKind, rows: int) -> str:
    """The first line of a revision's commit."""
    names = {BatchKind.MERGE: "merged", BatchKind.FORGET: f"{counted(-rows, 'row')} forgotten"}
    title = names.get(kind, counted(rows, "row"))
    return f"Batch {seq}: {title}"


def trailers(seq: int, dvc_md5: str, was: str | None = None) -> str:
    """The lines after the first: facts for programs, by which a commit can be found without its name."""
    lines = [f"{BATCH}: {seq}", f"{MD5}: {dvc_md5}", *([f"{WAS}: {was}"] if was else [])]
    return "\n\n" + "\n".join(lines)


def damage(data: Path, newest: tuple[str, str] | None) -> str | None:
    """Why the repository can't take the next revision or lacks the journal's `newest` (commit, DVC's md5).

    None if it is fine. It takes some ten milliseconds; `fsck` checks older commits.
    """
    if not (data / ".git").is_dir():
        return f"{data / '.git'} is gone."
    if newest is None:
        return None
    try:
        git_command.run(data, "status", "--porcelain", "--untracked-files=no")
        git_command.run(data, "cat-file", "-e", f"HEAD:{POINTER}")
        at = locate(data, *newest)
    except DatasetDamaged as error:
        return str(error)
    return None if at else f"The history in {data / '.git'} does not hold the newest revision {newest[0][:10]}."


def fsck(data: Path) -> str | None:
    """Check the whole history; returns why some of it can't be read, None if it is fine or there is none yet."""
    try:
        head = git_command.run(data, "rev-parse", "--verify", "HEAD^{commit}")
        git_command.run(data, "fsck", "--no-dangling", "--no-reflogs", "--no-progress", head)
    except DatasetDamaged as error:
        return str(error)
    return None


def locate(folder: Path, revision: str, dvc_md5: str) -> str | None:
    """The commit of a revision below HEAD: its own, or the one that was rebuilt for it; raises DatasetDamaged."""
    try:
        git_command.run(folder, "merge-base", "--is-ancestor", revision, "HEAD")
    except DatasetDamaged:
        return git_command.run(folder, "log", "-1", "--format=%H", f"--grep=^{MD5}: {dvc_md5}$", "HEAD") or None
    return revision


def remake(data: Path, history: Sequence[Recorded]) -> Remade:
    """Replace the damaged repository by one with the whole `history`, not empty; raises DatasetDamaged, OSError.

    A kill at any moment leaves the old repository or none, and the next call continues from there.
    """
    fresh = data / TMP / FRESH
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    git_command.run(fresh, "init", "-q", "-b", "main")
    kept = _salvage(data, fresh, history)
    if kept < len(history):
        git_command.run(fresh, "fast-import", "--quiet", "--force", stdin=_rest(data, history, kept))
    git_command.run(data, "read-tree", "HEAD", repository=fresh / ".git")
    for path in fresh.rglob("*"):
        durable.fsync_dir(path) if path.is_dir() else durable.fsync_file(path)
    aside = _set_aside(data)
    (fresh / ".git").rename(data / ".git")
    durable.fsync_dir(data)
    fresh.rmdir()
    return Remade(kept, len(history) - kept, aside)


def set_aside(data: Path) -> list[Path]:
    """The kept damaged repositories, oldest first; people may remove them to free space."""
    return sorted((data / TMP).glob(f"{DAMAGED}*"))


def append(data: Path, history: Sequence[Recorded]) -> int:
    """Append the revisions that an intact repository lacks at the end of `history`, as if another machine had made them.

    Commits at its end that `history` does not have were never recorded, and leave the branch. Returns the number of
    appended revisions; 0 if there are none, or if the repository has no revision of `history` near its end. Raises
    DatasetDamaged, OSError.
    """
    places = {(str(entry.seq), entry.dvc_md5): place for place, entry in enumerate(history)}
    form = "%H%x00" + "%x00".join(f"%(trailers:key={key},valueonly,separator=)" for key in (BATCH, MD5))
    for line in git_command.run(data, "log", f"-{NEAR}", f"--format={form}", "HEAD").splitlines():
        commit, seq, md5 = line.split("\0")
        if (seq, md5) in places:
            return _append(data, history[places[seq, md5] + 1 :], commit)
    return 0


def _append(data: Path, lacking: Sequence[Recorded], base: str) -> int:
    """Append revisions after the commit `base`; returns their number."""
    if lacking:
        git_command.run(data, "fast-import", "--quiet", "--force", stdin=_stream(data, lacking, base))
        git_command.run(data, "read-tree", "HEAD")
        durable.write(data / POINTER, pointer(lacking[-1]))
    return len(lacking)


def _set_aside(data: Path) -> Path | None:
    if not (data / ".git").exists():
        return None
    aside = data / TMP / f"{DAMAGED}{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
    (data / ".git").rename(aside)
    durable.fsync_dir(aside.parent)
    for old in set_aside(data)[:-KEPT]:
        shutil.rmtree(old)
    return aside


def _salvage(data: Path, fresh: Path, history: Sequence[Recorded]) -> int:
    """Copy the longest readable beginning of the history; returns its number of revisions."""
    sources = [one / "objects" for one in (data / ".git", *reversed(set_aside(data))) if (one / "objects").is_dir()]
    alternates = fresh / ".git/objects/info/alternates"
    alternates.write_text("".join(f"{one}\n" for one in sources))
    kept = _whole(fresh, history) if sources else 0
    try:
        if kept:
            git_command.run(fresh, "update-ref", "refs/heads/main", history[kept - 1].revision)
            git_command.run(fresh, "repack", "-a", "-d", "-q")
        alternates.unlink()
        return kept if not kept or fsck(fresh) is None else _nothing(fresh)
    except DatasetDamaged:
        return _nothing(fresh)


def _nothing(fresh: Path) -> int:
    """Fall back to an empty repository."""
    shutil.rmtree(fresh / ".git")
    git_command.run(fresh, "init", "-q", "-b", "main")
    return 0


def _whole(fresh: Path, history: Sequence[Recorded]) -> int:
    """Number of revisions that are readable with all earlier ones.

    The last ones are tried first, since only they are usually damaged.
    """
    whole, not_whole, step = len(history), len(history) + 1, 1
    while not _readable(fresh, history, whole):
        whole, not_whole, step = max(0, whole - step), whole, step * 2
    while not_whole - whole > 1:
        middle = (whole + not_whole) // 2
        whole, not_whole = (middle, not_whole) if _readable(fresh, history, middle) else (whole, middle)
    return whole


def _readable(fresh: Path, history: Sequence[Recorded], count: int) -> bool:
    if count == 0:
        return True
    try:
        git_command.run(fresh, "rev-list", "--objects", "--verify-objects", "--quiet", history[count - 1].revision)
    except DatasetDamaged:
        return False
    return True


def _rest(data: Path, history: Sequence[Recorded], kept: int) -> bytes:
    """Input for `git fast-import` that makes the revisions after the first `kept` ones."""
    return _stream(data, history[kept:], history[kept - 1].revision if kept else "")


def _stream(data: Path, entries: Sequence[Recorded], base: str) -> bytes:
    """Input for `git fast-import` that makes these revisions after the commit `base` (empty: from nothing)."""
    files = [name for name in TRACKED if (data / name).is_file() and name != POINTER]
    constant = b"".join(_file(name, (data / name).read_bytes()) for name in files)
    parts = []
    for number, entry in enumerate(entries):
        text = (
            f"{subject(entry.seq, entry.kind, entry.rows)}{trailers(entry.seq, entry.dvc_md5, entry.revision)}".encode()
        )
        moment = int(datetime.fromisoformat(entry.at).timestamp())
        parts.append(f"commit refs/heads/main\ncommitter {AUTHOR[0]} <{AUTHOR[1]}> {moment} +0000\n".encode())
        parts.append(b"data %d\n%s\n" % (len(text), text))
        if number == 0:
            parts += [f"from {base}\n".encode()] if base else []
            parts.append(constant)
        parts.append(_file(POINTER, pointer(entry)))
    return b"".join(parts)


def _file(name: str, content: bytes) -> bytes:
    return b"M 100644 inline %s\ndata %d\n%s\n" % (name.encode(), len(content), content)


def pointer(entry: Recorded) -> bytes:
    """`dataset.dvc` of a revision, as DVC writes it."""
    lines = (
        f"- md5: {entry.dvc_md5}",
        f"  size: {entry.size}",
        f"  nfiles: {entry.nfiles}",
        "  hash: md5",
        "  path: dataset",
    )
    return "\n".join(["outs:", *lines, ""]).encode()


def in_words(damage: str, done: Remade) -> str:
    """The damage and its repair, for people."""
    kept = f"{counted(done.kept, 'revision')} kept as they were, {done.remade} rebuilt from the journal"
    commits = f" with other commits, which name the old ones (`git log --grep {WAS}`)" if done.remade else ""
    aside = f" The damaged one is kept as data/{TMP}/{done.aside.name}; remove it when you like." if done.aside else ""
    return f"The git repository in data/ was damaged and has been replaced: {kept}{commits}.{aside} What was wrong: {damage}"
