"""daemon.promotion.probation: late labels against a new champion, with real bundles, predictions, journal and aliases."""

import sqlite3
from contextlib import closing
from typing import Any, Literal

import bundles
import numpy as np
import orjson
import pytest
from test_late_labels import predicted
from test_promotion import Parts

from daemon.artifacts import bundle
from daemon.artifacts.bundle import ONNX
from daemon.core import durable
from daemon.core.errors import InvalidFeatures
from daemon.core.home import Home
from daemon.core.journal_rows import VersionRow
from daemon.core.settings import Promote
from daemon.core.states import VersionState
from daemon.promotion import live_comparison, probation
from daemon.promotion.probation import Probation
from daemon.records.late_labels import Outcome
from daemon.schema.column import Column
from daemon.storage.journal import Journal
from daemon.storage.model_versions import CHAMPION, PREVIOUS
from daemon.tabular.schema_growth import grown

SETOSA, VERSICOLOR = 0, 1

STORED = VersionRow(
    version=1,
    mlflow_run="a" * 32,
    bundle="b" * 64,
    candidate="linear",
    backend="onnx",
    revision="c" * 40,
    dvc_md5="d" * 32,
    rows=100,
    trained_rows=80,
    trigger="first model",
    scores="{}",
    state=VersionState.PROMOTED,
    reason="First version.",
    judged_at="2026-01-01T00:00:00Z",
)
"""What the journal says of a version."""


@pytest.fixture
def parts(mlflow_home: Home, journal: Journal) -> Parts:
    return Parts(mlflow_home, journal)


class Live:
    """Labelled predictions, one drop after the other."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._told, self._drops = parts, 0, 0

    def label(self, right: int, wrong: int, version: int | None = None, *, logged: bool = True) -> None:
        """So many predictions of a version (the served one) turn out right or wrong; `logged`: the history has them.

        The true class is setosa in all of them.
        """
        served = version or self._parts.served
        assert served is not None
        answers = [("setosa", "setosa")] * right + [("setosa", "versicolor")] * wrong
        self.answered(answers, served, logged=logged)

    def answered(self, answers: list[tuple[str, str]], served: int, *, logged: bool = True) -> None:
        """Predictions of a version, each with the truth that came for it and what it had answered."""
        names = [name for _, name in answers]
        ids = [f"p{self._told + index}" for index in range(len(names))]
        self._told += len(names)
        if logged:
            common = {"features": bundles.SETOSA, "model_version": served, "prediction": 0}
            predicted(
                self._parts.home,
                *(
                    {**common, "prediction_id": prediction, "prediction_name": name}
                    for prediction, name in zip(ids, names, strict=True)
                ),
            )
        live = [{"prediction_id": one, "prediction": name} for one, name in zip(ids, names, strict=True)]
        truths = [truth for truth, _ in answers]
        self._accept([{**one, "version": served, "truth": truth} for one, truth in zip(live, truths, strict=True)])

    def _accept(self, records: list[Any]) -> None:
        self._drops += 1
        sha256 = durable.sha256(b"%d" % self._drops)
        drop: Any = {"sha256": sha256, "name": "labels.csv", "source": "label", "bytes": 6, "settled_at": "now"}
        batch: Any = {
            "segment": f"{sha256}.parquet",
            "sha256": sha256,
            "md5": "0" * 32,
            "rows": len(records),
            "bytes": 1,
        }
        seq = self._parts.journal.batches.accept(batch, [drop], [record | {"drop": sha256} for record in records])
        self._parts.journal.batches.commit(seq, "a" * 40, "b" * 32)


@pytest.fixture
def live(parts: Parts) -> Live:
    return Live(parts)


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
    assert detail.startswith(f"The version before, {bad}, was rolled back: Live accuracy")
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


def test_world_that_is_harder_for_both_is_held_against_neither(parts: Parts, live: Live) -> None:
    """The version before would have been wrong as often: going back would not help."""
    parts.champion(favourite=VERSICOLOR)
    newer = parts.champion(favourite=VERSICOLOR)
    live.label(0, 100)
    parts.settle()
    assert parts.served == newer


@pytest.mark.parametrize(("right", "wrong", "stays"), [(94, 6, True), (85, 15, False)])
def test_doubt_is_in_favour_of_the_new_champion(parts: Parts, live: Live, right: int, wrong: int, stays: bool) -> None:
    """The whole interval must lie below what the gate allows: 94 of 100 may still be as good as 100 of 100 less 2 %."""
    _, newer = parts.champion(favourite=SETOSA), parts.champion(favourite=VERSICOLOR)
    live.label(right, wrong)
    parts.settle()
    assert (parts.served == newer) == stays


@pytest.mark.parametrize(("metric", "stays"), [("balanced_accuracy", True), ("accuracy", False)])
@pytest.mark.parametrize("logged", [True, False])
def test_trial_is_of_the_metric_that_judged(parts: Parts, live: Live, metric: str, stays: bool, logged: bool) -> None:
    """A version that finds the rare class, and is wrong more often on the common one, is no worse where each counts alike."""
    first = parts.champion(favourite=SETOSA)
    second = parts.champion(favourite=VERSICOLOR)
    for version, recall in ((first, {"setosa": 1.0, "versicolor": 0.0}), (second, {"setosa": 0.75, "versicolor": 1.0})):
        judged = parts.journal.versions.get(version)
        assert judged is not None
        score = {"n": 120, "accuracy": 0.95, "balanced_accuracy": sum(recall.values()) / 2, "recall": recall}
        score |= {"support": {"setosa": 114, "versicolor": 6}, "metric": metric}
        facts: Any = {name: value for name, value in judged.items() if name not in ("state", "reason", "judged_at")}
        scores = orjson.dumps({"challenger": {"rolling": score}}).decode()
        parts.journal.versions.judge(facts | {"scores": scores}, VersionState.PROMOTED, judged["reason"])
    answers = [("setosa", "setosa")] * 84 + [("setosa", "versicolor")] * 30 + [("versicolor", "versicolor")] * 6
    live.answered(answers, second, logged=logged)
    parts.settle()
    assert parts.served == (second if stays else first)
    assert Probation(parts.home, Promote(), parts.journal).fell() is None


def test_without_the_history_scores_of_their_own_are_compared(parts: Parts, live: Live) -> None:
    """Predictions that the history has lost: the version before is taken at its own live score, or its holdout's."""
    first = parts.champion(favourite=SETOSA)
    live.label(45, 15, logged=False)
    second = parts.champion(favourite=VERSICOLOR)
    live.label(42, 18, logged=False)
    parts.settle()
    assert parts.served == second
    live.label(0, 60, logged=False)
    parts.settle()
    assert parts.served == first
    assert f"version {first} has 0.7500 on 60 late labels of its own" in parts.described(second)
    third = parts.champion(favourite=VERSICOLOR)
    parts.champion(favourite=VERSICOLOR)
    live.label(0, 60, logged=False)
    parts.settle()
    assert parts.served == third
    assert f"version {third} has 0.9500 on 100 held-out rows" in parts.described(third + 1)


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
    with pytest.raises(InvalidFeatures, match="other columns"):
        probation.replay(served, grown(wider, columns=[_column("pool")]), [[3.0]])


def _column(name: str) -> Column:
    return Column(name=name, kind="number")


def test_regression_is_measured_by_r2() -> None:
    """With a bootstrap interval, that of a good model far above that of one which answers at random."""
    random = np.random.default_rng(0)
    truth = random.normal(size=200)

    def rows(live: Any) -> list[Outcome]:
        return [Outcome(truth=repr(float(a)), prediction=repr(float(b))) for a, b in zip(truth, live, strict=True)]

    good, bad = (live_comparison.measure(rows(live), "r2") for live in (truth + 0.1, random.normal(size=200)))
    assert good is not None
    assert bad is not None
    assert 0.98 < good.value < good.upper <= 1
    assert bad.value < bad.upper < 0
    assert live_comparison.measure([], "r2") is None
    assert live_comparison.measure([Outcome(truth="1.0", prediction="2.0")] * 5, "r2") is None


@pytest.mark.parametrize("absurd", [1, 5, 20, 60])
@pytest.mark.parametrize("name", ["truth", "prediction"])
def test_values_too_large_to_be_squared_tell_nothing(name: Literal["truth", "prediction"], absurd: int) -> None:
    """Whether one label is absurd or each: no figure, and no certainty."""
    random = np.random.default_rng(1)
    rows = [Outcome(truth=repr(one), prediction=repr(one + 0.1)) for one in random.normal(size=60).tolist()]
    wild = [row.copy() for row in rows]
    for index, row in enumerate(wild[:absurd]):
        row[name] = repr(1e200 + index)
    assert live_comparison.measure(wild, "r2") is None
    assert live_comparison.standard_errors(wild, rows, "r2") == live_comparison.standard_errors(wild, wild, "r2") == 0


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


def test_fall_of_values_without_the_history_must_be_as_sure(parts: Parts) -> None:
    """Nothing is there to be paired with, so an interval of 95 % alone would take a version out at one look of forty."""
    random = np.random.default_rng(3)
    truth = random.normal(size=60)
    live = truth + random.normal(0, 0.4, 60)
    rows = [Outcome(truth=repr(float(a)), prediction=repr(float(b))) for a, b in zip(truth, live, strict=True)]
    usual, surest = (
        live_comparison.measure(rows, "r2", bound) for bound in (live_comparison.INTERVAL, live_comparison.SUREST)
    )
    assert usual is not None
    assert surest is not None
    watch = Probation(parts.home, Promote(), parts.journal)
    for before, sure in (((usual.upper + surest.upper) / 2, False), (surest.upper + 0.001, True)):
        score = {"n": 100, "r2": before, "rmse": 1.0, "mae": 1.0}
        old: VersionRow = {**STORED, "scores": orjson.dumps({"challenger": {"rolling": score}}).decode()}
        fall = watch._on_their_own(old, rows, "r2")
        assert fall is not None
        assert fall.now.upper < before
        assert fall.sure == sure


@pytest.mark.parametrize("trials", [40, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("fall", "alike", "labels", "least", "most"),
    [
        (0.0, 0.0, 500, 0, 0.03),
        pytest.param(0.0, 0.8, 500, 0, 0.01, marks=pytest.mark.slow),
        (0.1, 0.0, 1000, 0.97, 1),
        (0.1, 0.8, 1000, 0.99, 1),
    ],
)
def test_chance_seldom_takes_a_version_out(
    fall: float, alike: float, labels: int, least: float, most: float, trials: int
) -> None:
    """Labels come ten at a time and are looked at each time, from 50 on.

    The version before is right in 80 of 100 cases, the new one in `fall` less; it answers the share `alike` of them as the other.
    """
    random = np.random.default_rng(0)
    truth, lost = "setosa", 0
    for _ in range(trials):
        before = random.random(labels) < 0.8
        fell = before & (random.random(labels) >= fall / 0.8)
        now = np.where(random.random(labels) < alike, fell, random.random(labels) < 0.8 - fall)
        rows = [
            [{"truth": truth, "prediction": truth if right else "versicolor"} for right in answers]
            for answers in (now, before)
        ]
        lost += any(_falls(rows[0][:n], rows[1][:n]) for n in range(50, labels + 1, 10))
    assert least <= lost / trials <= most


def _falls(now: list[Any], before: list[Any]) -> bool:
    new, old = (live_comparison.measure(rows, "accuracy") for rows in (now, before))
    assert new is not None
    assert old is not None
    below = new.upper < old.value - Promote().tolerance
    return below and live_comparison.standard_errors(now, before, "accuracy") > probation.SURE
