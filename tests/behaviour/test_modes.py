"""Who may read what: the table of docs/operations.md, on homes in which all has happened that leaves files."""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import forked
from conftest import open_up
from service import Service, flowers, wait_until

from retraind.daemon.core import file_modes
from retraind.daemon.core.home import Home
from retraind.daemon.storage.journal import Journal

ROOT = Path(__file__).parents[2]
NOBODY = 65534
PATHS = re.compile(r"^\| `([a-z/*`, ]+)` \| (\d{4}) \| (\d{4}) \|", re.MULTILINE)
KEPT = ("data/dataset/", "data/.dvc/cache/", "registry/dvc-site/")
"""Where DVC has modes of its own: an object is whole to it only if it is 0444, its own cache is 0777. No one else gets so far."""

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="a second user needs root")


def table(column: int) -> dict[str, int]:
    """Path and mode, of a private home (0) or one with a group that drops files (1)."""
    section = (ROOT / "docs/operations.md").read_text().split("## File modes")[1].split("\n## ")[0]
    rows = PATHS.findall(section)
    return {path: int(each[column], 8) for names, *each in rows for path in names.split("`, `")}


def check(home: Home, column: int) -> None:
    """Every file and folder of the home has the mode of the table."""
    expected = table(column)
    assert len(expected) == 9
    for at, folders, names in os.walk(home.root):
        for name in (*folders, *names):
            path = Path(at, name)
            place, mode = path.relative_to(home.root).as_posix(), stat.S_IMODE(path.lstat().st_mode)
            shown = f"{place}/" if path.is_dir() else place
            if shown in expected:
                assert mode == expected[shown], f"{shown} {mode:o}"
            elif place.startswith("inbox/rejected/"):
                assert mode == expected["inbox/rejected/*"], f"{shown} {mode:o}"
            elif place.startswith("outbox/"):
                assert mode == expected["outbox/*"], f"{shown} {mode:o}"
            elif place.startswith(("data/", "logs/", "registry/")):
                assert not mode & 0o077 or place.startswith(KEPT), f"{shown} {mode:o}"
            else:
                assert at == str(home.root), shown  # the user's own: the log of the test, say


@contextmanager
def live(home: Home) -> Iterator[Service]:
    """A service that has trained, predicted, refused, kept rows apart, taken a sample and forgotten a drop."""
    service = Service(home.root).start()
    try:
        use(service)
        yield service
    finally:
        service.end()


def use(service: Service) -> None:
    """Let everything happen that leaves files."""
    home = service.home
    wait_until(service.predict, 300)
    wait_until(lambda: not service.drops(), 100)
    service.drop("mixed.csv", [*flowers(1), "x,3.5,1.4,0.2,setosa"])
    (home.inbox / "bad.csv").write_text("nonsense\n")
    assert service.ask("/add_training_data", {"features": [5.1, 3.5, 1.4, 0.2], "target": "setosa"})[0] == 202
    wait_until(lambda: not service.drops(), 100)
    wait_until(lambda: (answer := service.predict()) and answer["model_version"] >= 2, 200)
    (home.predict / "new.csv").write_text("sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,1.4,0.2\n")
    wait_until((home.outbox / "new.predictions.csv").exists, 100)
    command = [sys.executable, "-m", "retraind.daemon", "forget", "--purge", "iris.csv", "--home", str(home.root)]
    assert subprocess.run(command, cwd=ROOT).returncode == 0
    wait_until(lambda: len([path for path in home.logs.iterdir() if path.name.startswith("predictions.db")]) == 3)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_private_home_is_its_owners_alone(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Also one of before, whose folders everybody could read, and whatever the umask was of who starts it."""
    home = Home(tmp_path_factory.mktemp("home"))
    for folder in (home.inbox, home.rejected, home.data, home.logs):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
    for name in ("predictions.db", "predictions.db-wal"):
        (home.logs / name).touch()
    before = os.umask(0)
    try:
        with live(home):
            check(home, 0)
    finally:
        os.umask(before)


@needs_root
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_group_that_drops_reads_what_was_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, served: Path
) -> None:
    """With the systemd unit's installation, a member of the group can correct a copy, and reads neither the data nor the token."""
    home = Home(tmp_path_factory.mktemp("home"))
    Service(home.root).copied(served)
    open_up(home.root)
    os.chown(home.inbox, 0, NOBODY)
    home.inbox.chmod(0o2770)
    with live(home):
        check(home, 1)
        [refused] = home.rejected.glob("*.bad.csv")
        open_up(home.root)
        script = f"cat {refused} {home.rejected}/bad.csv.report.json && cp {refused} {home.inbox}/mended.csv; ls {home.data} {home.logs} {home.registry} 2>&1"
        done = subprocess.run(
            ["sh", "-c", script], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, text=True
        )
        assert "x,3.5,1.4,0.2,setosa" in done.stdout
        assert done.stdout.count("Permission denied") == 3
        wait_until(lambda: [path for path in home.rejected.iterdir() if path.name.startswith("mended.csv")], 100)


@needs_root
def test_root_leaves_no_file_of_its_own(tmp_path: Path) -> None:
    """What root asks of a home of another user belongs to that user, or the daemon could not read it."""
    home = Home(tmp_path / "home")
    home.root.mkdir()
    home.make()
    Journal.open(home.journal).close()
    subprocess.run(["chown", "-R", "65533:65533", str(home.root)], check=True)
    data = tmp_path / "new.csv"
    data.write_text("\n".join(["a,b,c,d,species", *flowers(1, 60)]))
    for command in (["init", str(data), "--target", "species"], ["ingest", str(data)], ["retrain"], ["status"],
                    ["doctor"], ["versions"], ["drops"], ["rollback"], ["token", "create", "shop", "--scope", "read"]):  # fmt: skip
        forked(*command, home=home)
    made = [path for path in home.root.rglob("*") if path.lstat().st_uid == 0]
    assert made == []
    assert len(list(home.requests.iterdir())) == 2
    assert (home.inbox / "new.csv").exists()
    assert stat.S_IMODE(home.settings.stat().st_mode) == file_modes.SETTINGS
