"""retraind.daemon.ingest.clearing: what is dealt with goes out of the inbox, later if it can't at once. A real mount that is read-only."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from conftest import names
from ingesting import HEADER, Parts
from sqlalchemy import select

from retraind.daemon.core.home import Home
from retraind.daemon.ingest.clearing import AGAIN_SECONDS
from retraind.daemon.storage import journal_tables

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="mounting needs root")


@contextmanager
def read_only(home: Home) -> Iterator[None]:
    """The inbox can be read, and nothing in it can be changed."""
    subprocess.run(["mount", "--bind", home.inbox, home.inbox], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", home.inbox], check=True)
        yield
    finally:
        subprocess.run(["umount", home.inbox], check=True)


def test_files_that_could_not_be_taken_out_go_once_they_can(home: Home, iris: bytes) -> None:
    """Neither the accepted nor the rejected drop needs a person or is read a second time."""
    assert iris
    parts = Parts(home)
    parts.drop("good.csv", HEADER + "5.1,3.5,1.4,0.2,setosa\n")
    parts.drop("bad.csv", "nonsense\n")
    with read_only(home):
        parts.run()
        parts.now += AGAIN_SECONDS
        parts.run()
    assert sorted(names(home.inbox)) == ["bad.csv", "good.csv", "rejected"]
    parts.now += AGAIN_SECONDS
    parts.run()
    assert names(home.inbox) == ["rejected"]
    assert sorted(names(home.rejected)) == ["bad.csv", "bad.csv.report.json"]
    assert parts.lengths == [5.1]
    decided = parts.journal.database.rows(select(journal_tables.drops.c.name, journal_tables.drops.c.state))
    assert sorted((row["name"], row["state"]) for row in decided) == [("bad.csv", "rejected"), ("good.csv", "accepted")]
    outcomes = parts.journal.database.rows(
        select(journal_tables.events.c.message).where(journal_tables.events.c.kind == "problem")
    )
    assert sorted(row["message"].split()[0] for row in outcomes) == ["bad.csv", "good.csv"]
    parts.close()
