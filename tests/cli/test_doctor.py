"""retraind.daemon.cli.doctor and retraind.daemon.dataset.repair: what is damaged is found, said by status and doctor alike, and made good. Real git, DVC, SQLite."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from commands import forked
from ingesting import HEADER, Parts, grow, numbered, row
from service import Service, wait_until
from test_git_history import DVC, GIT, git, lose_head, take

from retraind.daemon.cli import doctor
from retraind.daemon.core.errors import DatasetDamaged, Exit
from retraind.daemon.core.home import Home
from retraind.daemon.core.trends.figures import empty
from retraind.daemon.dataset import repair
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.trends.store import Change, TrendStore

BATCHES = 3


@pytest.fixture
def parts(mlflow_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """An ingestion with three batches."""
    grow(mlflow_home, numbered(BATCHES), tmp_path_factory)
    parts = Parts(mlflow_home)
    yield parts
    parts.close()


def bad(home: Home) -> list[str]:
    """What is not in order."""
    return [one["what"] for one in doctor.examine(home) if not one["ok"]]


def lose_older_object(home: Home) -> None:
    """The root commit: the loop does not stumble over it."""
    digits = git(home, "rev-list", "--max-parents=0", "HEAD")
    (home.data / ".git/objects" / digits[:2] / digits[2:]).unlink()


def lose_segment(home: Home) -> None:
    next(home.segments.iterdir()).unlink()


def lose_all_segments(home: Home) -> None:
    shutil.rmtree(home.segments)


def corrupt_segment(home: Home) -> None:
    path = next(home.segments.iterdir())
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff\xff\xff\xff")


def corrupt_object(home: Home) -> None:
    path = next(
        path for path in (home.data / ".dvc/cache/files/md5").rglob("*") if path.is_file() and path.suffix != ".dir"
    )
    path.chmod(0o644)
    path.write_bytes(b"x" * path.stat().st_size)
    path.chmod(0o444)


def test_home_without_damage_is_in_order(parts: Parts) -> None:
    assert bad(parts.home) == []


SEEN = [
    harm
    for harm in (*GIT, *DVC)
    if harm.__name__ not in ("lose_settings", "tear_settings", "lose_scaffold", "lose_state")
]


@pytest.mark.parametrize(
    "harm",
    [*SEEN, lose_older_object, lose_segment, lose_all_segments, corrupt_segment, corrupt_object],
    ids=lambda harm: harm.__name__,
)
def test_damage_is_found_and_made_good_by_hand(parts: Parts, harm: Callable[[Home], None]) -> None:
    """Found before, all in order afterwards, and every row is there."""
    harm(parts.home)
    assert bad(parts.home)
    parts.close()
    repair.repair_home(parts.home, lambda _: None)
    parts.open()
    assert bad(parts.home) == []
    assert parts.lengths == [1, 2, 3]
    take(parts, 4)
    assert bad(parts.home) == []


@pytest.mark.parametrize(
    "harm", [lose_segment, lose_all_segments, corrupt_segment, lose_head], ids=lambda harm: harm.__name__
)
def test_loop_makes_good_what_it_finds(parts: Parts, harm: Callable[[Home], None]) -> None:
    """Without a drop, a restart or a hand; of bytes that have changed within as many minutes as there are segments."""
    harm(parts.home)
    for minute in range(BATCHES):
        parts.ingestion.upkeep.look(1000 + 61.0 * minute)
        parts.run()
    assert bad(parts.home) == []
    assert parts.lengths == [1, 2, 3]


def test_what_can_not_be_made_good_is_reported_by_both(parts: Parts) -> None:
    """A segment that nothing has any more: the loop says so each time, and so does the checkup."""
    [first, *_] = parts.journal.segments.current()
    (parts.home.segments / first["name"]).unlink()
    (parts.home.data / ".dvc/cache/files/md5" / first["md5"][:2] / first["md5"][2:]).unlink()
    for now in (1000.0, 1001.0):
        with pytest.raises(DatasetDamaged, match=first["name"]):
            parts.ingestion.upkeep.look(now)
    assert {"segments"} <= set(bad(parts.home))


def test_orphans_are_judged(parts: Parts) -> None:
    """What the journal knows from elsewhere may go; what it doesn't is kept."""
    orphans = parts.home.orphans
    orphans.mkdir()
    known = next(parts.home.segments.iterdir())
    parts.drop("lost.csv", HEADER + row(9))
    while parts.journal.batches.uncommitted() is None:
        assert parts.ingestion.step(100.0)
    new = parts.journal.segments.current()[-1]["name"]
    shutil.copy(parts.home.segments / new, orphans / new)
    with closing(Journal.open(parts.home.journal)) as journal, journal.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM drops WHERE name = 'lost.csv'")
        connection.exec_driver_sql("DELETE FROM segments WHERE name = ?", (new,))
    (parts.home.segments / new).unlink()
    findings = {one["what"]: one for one in doctor.examine(parts.home)}["orphans"]
    assert "keep it" in findings["detail"]
    assert new in findings["detail"]
    (orphans / new).unlink()
    shutil.copy(known, orphans / "copy.parquet")
    findings = {one["what"]: one for one in doctor.examine(parts.home)}["orphans"]
    assert "keep it" in findings["detail"], "a segment of the dataset is never called removable"


@pytest.mark.timeout(300)
def test_status_and_doctor_agree_on_a_running_service(tmp_path_factory: pytest.TempPathFactory, served: Path) -> None:
    """A repository damaged beneath the daemon: made good by itself or when asked, and both say that all is well."""
    running = Service(tmp_path_factory.mktemp("home")).copied(served).start()
    try:
        running.wait_served(1)
        running.rest()
        lose_head(running.home)
        done = forked("doctor", "--json", home=running.home)
        printed = {one["what"]: one for one in json.loads(done.stdout)}
        assert done.returncode == Exit.UNHEALTHY
        assert not printed["git"]["ok"]
        assert {"daemon", "work", "disk", "inbox", "model"} <= printed.keys(), "what the daemon says is a part of it"
        done = forked("doctor", "--repair", home=running.home)
        assert done.returncode == Exit.OK, done.stdout + done.stderr
        assert forked("status", home=running.home).returncode == Exit.OK
        running.home.schema.write_text("{")
        wait_until(lambda: forked("status", home=running.home).returncode == Exit.UNHEALTHY)
        done = forked("doctor", home=running.home)
        assert done.returncode == Exit.UNHEALTHY
        assert "BAD schema" in done.stdout
    finally:
        running.end()


def test_damaged_figures_over_time_are_reported(home: Home, journal: Journal) -> None:
    home.trends.parent.mkdir(exist_ok=True)
    store = TrendStore(home.trends)
    store.add([Change(1_700_000_000.0, empty())], {}, now=1_700_000_000.0)
    store.close()
    assert "trends" not in bad(home)
    assert "1 minutes, 1 hours, 1 days" in detail(home)
    home.trends.write_bytes(b"no database" * 1000)
    assert "trends" in bad(home)
    home.trends.rename(home.trends.with_name("trends.db.damaged-20261130T010203"))
    assert "trends" not in bad(home)
    assert "trends.db.damaged-20261130T010203" in detail(home)


def detail(home: Home) -> str:
    """What is said of the figures over time."""
    return next(finding["detail"] for finding in doctor.examine(home) if finding["what"] == "trends")
