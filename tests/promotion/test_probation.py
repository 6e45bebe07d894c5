"""retraind.daemon.promotion.probation: late labels against a new champion, with real bundles, predictions, journal and aliases."""

import sqlite3
from contextlib import closing

import bundles
import pytest
import trials
from promoting import Parts
from trials import SETOSA, VERSICOLOR, Live

from retraind.daemon.artifacts import bundle
from retraind.daemon.artifacts.bundle import ONNX
from retraind.daemon.core.errors import InvalidFeatures
from retraind.daemon.core.settings import Promote
from retraind.daemon.promotion import probation
from retraind.daemon.promotion.probation import Probation
from retraind.daemon.schema.column import Column
from retraind.daemon.storage.model_versions import CHAMPION, PREVIOUS
from retraind.daemon.tabular.schema_growth import grown

live, parts = pytest.fixture(trials.live), pytest.fixture(trials.parts)


def test_champion_that_fails_live_gives_way_to_the_one_before(parts: Parts, live: Live) -> None:
    """The version before answers the same predictions better: it serves again, and everybody can read why."""
    good, bad = parts.champion(favourite=SETOSA), parts.champion(favourite=VERSICOLOR)
    live.label(0, 49)
    parts.settle()
    assert parts.served == bad, "promote.live_rows = 50"
    live.label(0, 1)
    parts.settle()
    assert (parts.served, parts.alias(CHAMPION), parts.alias(PREVIOUS)) == (good, good, bad)
    assert parts.state(bad) == "rolled back"
    said = f"Live accuracy of version {bad} is 0.0000 on 50 late labels (95 % interval up to 0.0713)"
    assert said in parts.described(bad)
    assert f"version {good} has 1.0000 on the same ones" in parts.described(bad)
    swap = parts.journal.swaps.last()
    assert swap is not None
    assert (swap["version"], swap["previous"]) == (good, bad)
    assert swap["reason"].startswith(f"Version {bad} was rolled back: Live accuracy")
    state, detail = parts.ask("rollback")
    assert (state, parts.served) == ("refused", good), "back to what was wrong only by its number"
    assert detail.startswith(f"The previous version, {bad}, was rolled back: Live accuracy")
    assert parts.ask("rollback", bad)[0] == "done"
    assert parts.served == bad


def test_version_that_was_rolled_back_does_not_come_back_by_itself(parts: Parts, live: Live) -> None:
    """More labels, restarts: it stays away. A person may bring it back, and it is on trial again, with new labels."""
    good, bad = parts.champion(favourite=SETOSA), parts.champion(favourite=VERSICOLOR)
    live.label(0, 60)
    parts.settle()
    live.label(0, 60, bad)
    live.label(60, 0, good)
    parts.restart()
    parts.promotion.recover()
    parts.settle()
    assert (parts.served, parts.state(bad)) == (good, "rolled back")
    assert parts.ask("promote", bad)[0] == "done"
    assert parts.served == bad
    live.label(0, 60)
    parts.settle()
    assert parts.served == good


def test_clock_that_was_set_back_ends_no_trial(parts: Parts, live: Live) -> None:
    """What came after the swap is told by numbers: its time may lie in the future, as that of labels from before it."""
    good, bad = parts.champion(favourite=SETOSA), parts.champion(favourite=VERSICOLOR)
    live.label(0, 49)
    assert parts.ask("rollback")[0] == "done"
    live.label(0, 60, bad)
    assert parts.ask("promote", bad)[0] == "done"
    _date(parts, "2099-01-01T00:00:00.000Z")
    live.label(0, 49)
    parts.settle()
    assert parts.served == bad, "labels from before the swap are none of this trial"
    live.label(0, 1)
    parts.settle()
    assert (parts.served, parts.state(bad)) == (good, "rolled back")


def _date(parts: Parts, at: str) -> None:
    """What the journal holds by now was recorded while the clock said this."""
    with closing(sqlite3.connect(parts.home.journal)) as connection, connection:
        for table in ("swaps", "labels", "events"):
            connection.execute(f"UPDATE {table} SET at = ?", (at,))


def test_alias_moved_to_a_rolled_back_version_is_followed(parts: Parts, live: Live) -> None:
    """Who moves the alias by hand knows what the page says about that version."""
    _, bad = parts.champion(favourite=SETOSA), parts.champion(favourite=VERSICOLOR)
    live.label(0, 60)
    parts.settle()
    parts.models.set_alias(CHAMPION, bad)
    parts.settle()
    assert parts.served == bad


def test_kill_between_journal_and_alias_is_made_up_for(parts: Parts) -> None:
    """The journal says that it was rolled back, the alias not yet: the next start goes on, whatever the clock said before."""
    good, bad = parts.champion(favourite=SETOSA), parts.champion(favourite=VERSICOLOR)
    _date(parts, "2099-01-01T00:00:00.000Z")
    parts.journal.versions.roll_back(bad, "late labels tell against it")
    parts.restart()
    parts.promotion.recover()
    parts.settle()
    assert parts.served == good
    swap = parts.journal.swaps.last()
    assert swap is not None
    assert swap["reason"] == f"Version {bad} was rolled back: late labels tell against it"


def test_trial_ends(parts: Parts, live: Live) -> None:
    """What falls after so many labels is drift: it asks for a training, not for the old version."""
    parts.champion(favourite=SETOSA)
    newer = parts.champion(favourite=VERSICOLOR)
    parts.restart(live_until=60)
    live.label(60, 0)
    live.label(0, 100)
    parts.settle()
    assert parts.served == newer
    fall = Probation(parts.home, Promote(live_until=60), parts.journal).fell()
    assert fall == (
        "accuracy 0.0000 on the newest 60 late labels (95 % interval up to 0.0602); at its promotion it was 0.9500."
    )


@pytest.mark.parametrize("settings", [{"live_rows": 0}, {"live_rows": 61}])
def test_trial_needs_labels_and_can_be_turned_off(parts: Parts, live: Live, settings: dict[str, int]) -> None:
    """0 is never; and too few say nothing."""
    parts.champion(favourite=SETOSA)
    newer = parts.champion(favourite=VERSICOLOR)
    parts.restart(**settings)
    live.label(0, 60)
    parts.settle()
    assert parts.served == newer
    assert Probation(parts.home, Promote(**settings), parts.journal).fell() is None


def test_nothing_is_served_in_place_of_what_can_not_return(parts: Parts, live: Live) -> None:
    """The version before is damaged: the new one stays, and the journal says what is wrong with the other."""
    good, bad = parts.champion(favourite=SETOSA), parts.champion(favourite=VERSICOLOR)
    (parts.home.bundle(good) / ONNX).write_bytes(b"x")
    live.label(0, 60)
    parts.settle()
    assert (parts.served, parts.state(bad), parts.state(good)) == (bad, "promoted", "unservable")


def test_version_that_was_brought_back_is_not_on_trial(parts: Parts, live: Live) -> None:
    """After a rollback by a person the older version stays, whatever the labels say of it."""
    older, newer = parts.champion(favourite=VERSICOLOR), parts.champion(favourite=SETOSA)
    assert parts.ask("rollback")[0] == "done"
    live.label(0, 100)
    parts.settle()
    assert (parts.served, parts.state(newer)) == (older, "promoted")


def test_columns_of_the_version_before_may_be_fewer(parts: Parts) -> None:
    """It answers with the columns that it knows, by their names; other columns it can't answer."""
    pointer = bundles.make_prices(parts.home, 1)
    served = bundle.load(parts.home.bundle(1), pointer.manifest)
    wider = grown(bundles.PRICES, columns=[_column("pool"), *reversed(bundles.PRICES.columns)])
    answers = probation.replay(served, wider, [[3.0, *reversed(bundles.HOUSE)]])
    assert [float(answer) for answer in answers] == pytest.approx([bundles.HOUSE_PRICE])
    with pytest.raises(InvalidFeatures, match="different columns"):
        probation.replay(served, grown(wider, columns=[_column("pool")]), [[3.0]])


def _column(name: str) -> Column:
    return Column(name=name, kind="number")


def test_comparison_that_fails_is_reported_and_skipped(parts: Parts, live: Live) -> None:
    """The history is no database any more: nothing else stops, and the late labels are looked at when it is one again."""
    good, bad = parts.champion(favourite=SETOSA), parts.champion(favourite=VERSICOLOR)
    live.label(0, 60)
    history = parts.home.history.read_bytes()
    parts.home.history.write_bytes(b"no database at all " * 100)
    parts.settle()
    assert parts.served == bad
    assert "late labels can't be read: DatabaseError: file is not a database" in str(parts.promotion.live.problem)
    parts.home.history.write_bytes(history)
    parts.settle()
    assert (parts.served, parts.promotion.live.problem) == (good, None)
