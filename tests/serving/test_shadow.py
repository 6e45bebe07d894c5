"""retraind.web.serving.shadow, retraind.web.serving.agreement, retraind.daemon.storage.prediction_history: a held challenger answers the same rows, and how far it agrees is kept once."""

import json
import threading
import time
from contextlib import closing
from pathlib import Path

import bundles
import numpy as np
import pytest
import shadowing
from shadowing import MANUAL, ROWS, copied, hold, loaded, predict, tried
from sites import PREDICTION, Client, Site

from retraind.daemon.artifacts import bundle
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Promote, Settings
from retraind.daemon.records import lineage
from retraind.daemon.records.records import Records
from retraind.daemon.storage.journal import Journal
from retraind.web.serving import agreement, shadow
from retraind.web.serving.agreement import ChampionAnswers
from retraind.web.serving.inputs import from_rows
from retraind.web.serving.predictor import Predictor

home = pytest.fixture(shadowing.home)

# How far two versions agree


def test_labels_and_probabilities_are_compared(home: Home) -> None:
    champion, other = loaded(home, 5), loaded(home, 6, favourite=1)
    inputs = from_rows(champion.schema, ROWS)
    compared = agreement.compare(
        other, [ChampionAnswers(champion, champion.answers(inputs.matrix), ["a", "b", "c"], inputs)]
    )
    assert (compared.n, compared.failed, compared.agreed) == (3, 0, 0)
    assert compared.differing == [(name, "setosa", "versicolor") for name in "abc"]
    assert 2.9 < compared.difference <= 3.0
    same = agreement.compare(
        champion, [ChampionAnswers(champion, champion.answers(inputs.matrix), ["a", "b", "c"], inputs)]
    )
    assert (same.agreed, same.difference, same.largest, same.differing) == (3, 0.0, 0.0, [])


def test_values_have_a_difference_and_no_labels(home: Home) -> None:
    pointer = bundles.make_prices(home, 7)
    champion = Predictor(7, bundle.load(home.bundle(7), pointer.manifest))
    inputs = from_rows(champion.schema, [bundles.HOUSE, bundles.HOUSE])
    champion_answers = ChampionAnswers(
        champion, champion.answers(inputs.matrix) + np.array([[1.0], [3.0]]), ["a", "b"], inputs
    )
    compared = agreement.compare(champion, [champion_answers])
    assert (compared.n, compared.agreed, compared.differing) == (2, None, [])
    assert (compared.difference, compared.largest) == pytest.approx((4.0, 3.0))


def test_rows_without_an_answer_are_counted_apart(home: Home) -> None:
    champion, other = loaded(home, 5), loaded(home, 6)
    huge = [1e308, 1e308, -1e308, 1e308]
    inputs = from_rows(champion.schema, [*ROWS, bundles.SETOSA])
    inputs.matrix[1] = huge
    champion_answers = ChampionAnswers(
        champion, champion.answers(from_rows(champion.schema, [*ROWS, bundles.SETOSA]).matrix), list("abcd"), inputs
    )
    compared = agreement.compare(other, [champion_answers])
    assert (compared.n, compared.failed, compared.agreed) == (3, 1, 3)


def test_a_version_that_predicts_something_else_answers_nothing(home: Home) -> None:
    champion = loaded(home, 5)
    pointer = bundles.make_prices(home, 7)
    other = Predictor(7, bundle.load(home.bundle(7), pointer.manifest))
    inputs = from_rows(champion.schema, ROWS)
    compared = agreement.compare(
        other, [ChampionAnswers(champion, champion.answers(inputs.matrix), list("abc"), inputs)]
    )
    assert (compared.n, compared.failed) == (0, 3)


# From the answer to the history


def test_agreement_is_logged_and_copied_once(home: Home) -> None:
    hold(home, favourite=1)
    client = tried(home)
    for _ in range(3):
        predict(client)
    client.worker.shadow.compare()
    predict(client, rows=5)
    client.worker.shadow.compare()
    client.worker.log.close()
    copied(home)
    records = Records(home)
    assert len(records.predictions.newest(100)) == 8
    agreement = records.versions.agreements(1, [2]).get(2)
    assert agreement is not None
    assert (agreement["n"], agreement["agreed"], agreement["failed"]) == (8, 0, 0)
    assert agreement["difference"] is not None
    assert 0.9 < agreement["difference"] <= agreement["largest"] <= 1
    chain = lineage.of(home, 2)
    assert chain is not None
    newest = chain["shadow"][0]["newest"]
    assert len(newest) == 8
    assert (newest[0]["told"], newest[0]["shadow"]) == ("setosa", "versicolor")
    assert {one["prediction_id"] for one in newest} == {one["prediction_id"] for one in records.predictions.newest(100)}


def test_disagreements_are_kept_up_to_a_number(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retraind.daemon.storage.prediction_history.KEEP_DISAGREEMENTS", 3)
    hold(home, favourite=1)
    client = tried(home)
    predict(client, rows=9)
    client.worker.shadow.compare()
    client.worker.log.close()
    copied(home)
    [chain] = lineage.of(home, 2)["shadow"]  # type: ignore[index]
    assert (chain["n"], len(chain["newest"])) == (9, 3)


@pytest.mark.parametrize(
    "settings", [Settings(), Settings(promote=Promote(mode="manual", shadow=False))], ids=["auto", "off"]
)
def test_no_version_is_shadowed_unless_the_settings_say_so(home: Home, settings: Settings) -> None:
    hold(home)
    client = Client(home, settings)
    assert not client.worker.challenger.wanted
    predict(client)
    assert not client.worker.shadow._waiting


def test_only_what_the_champion_answers_is_compared(home: Home) -> None:
    hold(home)
    client = tried(home)
    assert client.ask("POST", "/predict", json.dumps(PREDICTION).encode(), HTTP_X_MODEL_VERSION="2")[0] == 200
    assert not client.worker.shadow._waiting


def test_a_shadow_that_is_behind_drops_and_counts(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "MOST_ROWS", 10)
    hold(home)
    client = tried(home)
    predict(client, rows=30)  # a large one alone is taken
    predict(client, rows=1)
    assert client.worker.shadow.dropped == 1
    client.worker.shadow.compare()
    predict(client, rows=10)
    predict(client, rows=4)
    assert client.worker.shadow.dropped == 5
    assert client.worker.snapshot().shadow_dropped == 5


def test_a_challenger_that_breaks_disturbs_no_answer(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    hold(home)
    client = tried(home)
    predict(client)

    def broken(_: object) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(client.worker.challenger.predictor, "answers", broken)
    client.worker.shadow.compare()
    predict(client)
    client.worker.log.close()
    copied(home)
    agreement = Records(home).versions.agreements(1, [2]).get(2)
    assert agreement is not None
    assert (agreement["n"], agreement["failed"], agreement["difference"]) == (0, 1, None)
    assert "out of order" in (client.worker.challenger.problem or "")


def test_a_challenger_that_does_not_load_is_reported(home: Home) -> None:
    hold(home)
    (home.bundle(2) / bundle.ONNX).write_bytes(b"not a model")
    client = tried(home)
    predict(client)
    assert client.worker.challenger.predictor is None
    body = client.ask("GET", "/readyz")[2]
    assert "Version 2 can't be tested" in json.loads(body)["checks"]["challenger"]["detail"]
    assert not any("challenger" in reason for reason in json.loads(body)["reasons"])


def test_it_ends_when_nothing_is_held(home: Home) -> None:
    hold(home)
    client = tried(home)
    client.worker.slot.challenger = None
    client.worker.challenger.look()
    assert client.worker.challenger.predictor is None


def test_the_thread_ends(home: Home) -> None:
    hold(home)
    client = Client(home, MANUAL)
    client.worker.shadow.start()
    deadline = time.monotonic() + 20
    while client.worker.challenger.predictor is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert client.worker.challenger.predictor is not None
    client.worker.shadow.stop()
    client.worker.shadow.join(5)
    assert not client.worker.shadow.is_alive()
    assert threading.current_thread() is threading.main_thread()


def test_a_worker_shadows_and_its_answers_are_the_champions(tmp_path: Path) -> None:
    own = Site(tmp_path, MANUAL)
    with closing(Journal.open(own.home.journal)) as journal:
        journal.swaps.record(1, None, "For a test.")
    hold(own.home, favourite=1)
    own.tell_status()
    deadline = time.monotonic() + 20
    agreement = None
    while agreement is None and time.monotonic() < deadline:
        assert own.post("/predict", PREDICTION)[1]["model_version"] == 1
        time.sleep(0.1)
        copied(own.home)
        agreement = Records(own.home).versions.agreements(1, [2]).get(2)
    own.close()
    assert agreement is not None
    assert agreement["agreed"] == 0
