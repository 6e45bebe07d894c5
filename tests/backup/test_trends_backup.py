"""A backup holds the figures over time; the restored home continues them, and counts nothing twice."""

from pathlib import Path

import backing_up
import pytest
from ingesting import Parts

from retraind.daemon.backup import backup
from retraind.daemon.backup.restore import restore
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.trends import figures
from retraind.daemon.core.trends.spans import Span
from retraind.daemon.records.trends import reader
from retraind.daemon.trends.gatherer import Gatherer

parts = pytest.fixture(backing_up.parts)
settle_soon = pytest.fixture(autouse=True)(backing_up.settle_soon)


def days(home: Home) -> dict[str, int]:
    """Drops and rows of all days."""
    total: dict[str, int] = {}
    for _, row in reader.figures(home.trends, Span.DAY, 0, 2**40):
        total = figures.added(total, row["sums"])
    return {name: count for name, count in total.items() if name.startswith(("drops.", "rows_"))}


def test_figures_over_time_are_in_a_backup(parts: Parts, tmp_path: Path) -> None:
    home, again = parts.home, Home(tmp_path / "again")
    parts.drop("bad.csv", "nonsense\n1\n")
    parts.run()
    gatherer = Gatherer(home, Settings())
    gatherer.lead()
    gatherer.gather()
    expected = days(home)
    assert expected["drops.rejected"] == 1
    assert expected["rows_accepted"] == 3
    backup.backup(home, tmp_path / "home.tar")
    gatherer.stop()
    restore(tmp_path / "home.tar", again)
    restored = Gatherer(again, Settings())
    restored.lead()
    restored.gather()
    restored.stop()
    assert days(again) == expected
