"""retraind.daemon.backup.backup, retraind.daemon.backup.restore, retraind.daemon.backup.archive: a running home in one file, and back; nothing is lost, nothing points back."""

import shutil
import stat
from pathlib import Path

import backing_up
import pytest
from backing_up import wait_quiet
from conftest import names
from ingesting import HEADER, Parts, row

from retraind.daemon.access import tokens
from retraind.daemon.access.tokens import Keyring
from retraind.daemon.backup import archive, backup
from retraind.daemon.backup.restore import restore
from retraind.daemon.cli import doctor
from retraind.daemon.core import durable, requests
from retraind.daemon.core.errors import BadSettings, NotFound
from retraind.daemon.core.home import Home
from retraind.daemon.core.scopes import Scope
from retraind.daemon.dataset import git_history, journal_match
from retraind.daemon.schema.schema import Schema

parts = pytest.fixture(backing_up.parts)
settle_soon = pytest.fixture(autouse=True)(backing_up.settle_soon)


def test_backup_is_a_home_again(parts: Parts, tmp_path: Path) -> None:
    """Rows, revisions, token, rejected files, requests and what waits in the inbox; git keeps its commits."""
    parts.drop("bad.csv", "nonsense\n1\n")
    parts.run()
    parts.drop("waits.csv", HEADER + row(4))
    wait_quiet(parts.home.inbox / "waits.csv")
    requests.submit(parts.home, "retrain")
    file, again = tmp_path / "home.tar", Home(tmp_path / "again")
    facts = backup.backup(parts.home, file)
    assert facts["rows"] == 3
    assert facts["left_out"] == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    manifest = restore(file, again)
    assert len(manifest.files) == facts["files"]
    assert all(one["ok"] for one in doctor.examine(again)), doctor.examine(again)
    assert [one.revision for one in git_history.recorded(again.journal)] == [
        entry.revision for entry in git_history.recorded(parts.home.journal)
    ]
    assert again.token.read_text() == "secret\n"
    assert stat.S_IMODE(again.token.stat().st_mode) == 0o600
    assert len(requests.pending(again)) == 1
    assert "bad.csv" in names(again.rejected)
    assert sorted(names(tmp_path)) == ["again", "home", "home.tar"], "nothing temporary is left"
    restored = Parts(again)
    assert restored.dataset.revision() == parts.dataset.revision()
    restored.run()
    assert restored.lengths == [1, 2, 3, 4]
    restored.close()


def test_tokens_are_in_a_backup_and_sign_ins_are_not(parts: Parts, tmp_path: Path) -> None:
    """A token goes on to be valid, and only its owner can read the file; whoever has signed in does it again."""
    home, again = parts.home, Home(tmp_path / "again")
    secret = tokens.create(home, "shop", [Scope.PREDICT])
    (used := Keyring(home)).note(card := used.find(secret) or pytest.fail("no token"))
    (home.sessions / "abc.json").write_text("{}")
    (home.tokens / f"{durable.MARK}shop.json.abc{durable.TMP}").touch()
    backup.backup(home, tmp_path / "home.tar")
    restore(tmp_path / "home.tar", again)
    assert Keyring(again).find(secret) == card
    assert [one.name for one, at in tokens.known(again) if at] == ["shop"], "that it was used is known, too"
    assert sorted(names(again.tokens)) == sorted([f"{card.id}.used", "shop.json"]), "nothing unfinished"
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (again.tokens, *again.tokens.iterdir())]
    assert modes == [0o700, 0o600, 0o600]
    assert names(again.sessions) == []


def test_backup_while_a_batch_is_accepted_and_not_committed(parts: Parts, tmp_path: Path) -> None:
    """Its segment is in no cache yet."""
    parts.drop("new.csv", HEADER + row(4))
    while parts.journal.batches.uncommitted() is None:
        assert parts.ingestion.step(100.0)
    backup.backup(parts.home, tmp_path / "home.tar")
    restore(tmp_path / "home.tar", Home(tmp_path / "again"))
    restored = Parts(Home(tmp_path / "again"))
    restored.run()
    assert restored.lengths == [1, 2, 3, 4]
    restored.close()


def test_first_batch_comes_while_a_home_is_backed_up(mlflow_home: Home, schema: Schema, tmp_path: Path) -> None:
    """The journal's copy has no batch, git's has: the restored home starts, and takes the drop that waits in it."""
    assert schema
    parts, again = Parts(mlflow_home), Home(tmp_path / "again")
    parts.drop("first.csv", HEADER + row(1))
    wait_quiet(parts.home.inbox / "first.csv")
    pack = backup._pack_git

    def take_first(home: Home, packer: archive.Packer, scratch: Path) -> None:
        parts.run()
        pack(home, packer, scratch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backup, "_pack_git", take_first)
        backup.backup(parts.home, tmp_path / "home.tar")
    assert parts.lengths == [1]
    parts.close()
    restore(tmp_path / "home.tar", again)
    journal_match.require_batch(again, 0)
    restored = Parts(again)
    restored.run()
    assert restored.lengths == [1]
    restored.close()


def test_damaged_git_is_no_obstacle(parts: Parts, tmp_path: Path) -> None:
    """It is a projection: the copy's is made from its journal."""
    shutil.rmtree(parts.home.data / ".git")
    backup.backup(parts.home, tmp_path / "home.tar")
    again = Home(tmp_path / "again")
    restore(tmp_path / "home.tar", again)
    assert all(one["ok"] for one in doctor.examine(again)), doctor.examine(again)


def test_what_is_merged_meanwhile_is_in_the_cache(parts: Parts, tmp_path: Path) -> None:
    """After the journal was copied its segments are merged away, which removes them from the dataset."""
    file, again = tmp_path / "home.tar", Home(tmp_path / "again")
    pack, done = backup._pack_rows, []

    def first_merge(home: Home, packer: archive.Packer, journal: Path) -> None:
        for path in home.segments.iterdir():
            path.rename(tmp_path / path.name)
            done.append(tmp_path / path.name)
        pack(home, packer, journal)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backup, "_pack_rows", first_merge)
        backup.backup(parts.home, file)
    for path in done:
        path.rename(parts.home.segments / path.name)
    restore(file, again)
    assert all(one["ok"] for one in doctor.examine(again))


def test_existing_places_are_refused(parts: Parts, tmp_path: Path) -> None:
    """Neither a file nor a home is overwritten; what is not there is said."""
    file = tmp_path / "home.tar"
    backup.backup(parts.home, file)
    with pytest.raises(BadSettings, match="exists"):
        backup.backup(parts.home, file)
    with pytest.raises(BadSettings, match="exists"):
        restore(file, parts.home)
    with pytest.raises(NotFound):
        restore(tmp_path / "none.tar", Home(tmp_path / "again"))
    with pytest.raises(NotFound):
        backup.backup(Home(tmp_path / "nowhere"), tmp_path / "x.tar")
    assert not (tmp_path / "x.tar").exists()
