"""web.serving.shadow, web.serving.agreement, daemon.storage.prediction_history: a held challenger answers the same rows, and how far it agrees is kept once."""

import json
import threading
import time
from contextlib import closing
from pathlib import Path

import bundles
import numpy as np
import pytest
from rich.console import Console
from sites import PREDICTION, Client, Site

from daemon.artifacts import bundle
from daemon.cli.report import health, lineage_tree, versions
from daemon.core.home import Home
from daemon.core.settings import Promote, Settings
from daemon.records import lineage
from daemon.records.records import Records
from daemon.schema import score_names
from daemon.schema.scores import Agreement
from daemon.storage.journal import Journal
from daemon.storage.prediction_history import HistoryCopier
from web.serving import agreement, shadow
from web.serving.agreement import ChampionAnswers
from web.serving.inputs import from_rows
from web.serving.predictor import Predictor

MANUAL = Settings(promote=Promote(mode="manual"))
ROWS = [bundles.SETOSA, [6.0, 2.9, 4.5, 1.5], [6.9, 3.1, 5.4, 2.1]]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.make()
    home.schema.write_bytes(bundles.SCHEMA.dump())
    bundles.point(home, bundles.make(home, 1))
    with closing(Journal.open(home.journal)) as journal:
        journal.swaps.record(1, None, "For a test.")
    return home


def hold(home: Home, version: int = 2, favourite: int = 0) -> None:
    bundles.record(home, bundles.make(home, version, favourite), "held")


def loaded(home: Home, version: int, favourite: int = 0) -> Predictor:
    pointer = bundles.make(home, version, favourite)
    return Predictor(version, bundle.load(home.bundle(version), pointer.manifest))


def tried(home: Home, settings: Settings = MANUAL) -> Client:
    """A worker whose challenger is loaded."""
    client = Client(home, settings)
    client.worker.challenger.look()
    return client


def predict(client: Client, rows: int = 1) -> None:
    body = json.dumps({"instances": [bundles.SETOSA] * rows}).encode()
    assert client.ask("POST", "/predict", body)[0] == 200


def copied(home: Home) -> None:
    with closing(HistoryCopier(home, MANUAL)) as history_copier:
        history_copier.copy()
        history_copier.copy()


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
    monkeypatch.setattr("daemon.storage.prediction_history.KEEP_DISAGREEMENTS", 3)
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
    assert "Version 2 can't be tried" in json.loads(body)["checks"]["challenger"]["detail"]
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


# Where it is shown


@pytest.fixture
def compared(home: Home) -> Client:
    """A challenger that disagreed on one of four answers."""
    hold(home)
    client = tried(home)
    predict(client, rows=3)
    client.worker.shadow.compare()
    held = client.worker.challenger.predictor
    assert held is not None
    client.worker.challenger.predictor = loaded(home, 3, favourite=1)
    client.worker.challenger.predictor.version = 2
    predict(client)
    client.worker.shadow.compare()
    client.worker.challenger.predictor = held
    client.worker.log.close()
    copied(home)
    return client


def test_versions_tell_it(compared: Client) -> None:
    two, first = json.loads(compared.ask("GET", "/versions")[2])["versions"]
    assert first["shadow"] is None
    assert (two["shadow"]["n"], two["shadow"]["agreed"], two["shadow"]["champion"]) == (4, 3, 1)
    answer = json.loads(compared.ask("GET", "/versions/2")[2])["shadow"]
    assert [(one["champion"], len(one["newest"])) for one in answer] == [(1, 1)]


def test_prometheus_sees_it(compared: Client) -> None:
    text = compared.ask("GET", "/prometheus_metrics")[2].decode()
    assert 'retraind_shadow_answers{version="2"} 4.0' in text
    assert 'retraind_shadow_agreement{version="2"} 0.75' in text
    assert 'retraind_shadow_difference{version="2"} 0.2' in text
    assert "retraind_shadow_dropped_total 0.0" in text


def test_the_dashboard_shows_it(compared: Client) -> None:
    tile = json.loads(compared.ask("GET", "/dashboard/data")[2])["tiles"][1]
    [fact] = [one for one in tile["facts"] if one["label"] == "compared with the champion"]
    assert (fact["value"], fact["share"]) == ("same label for 75.00% of 4 answers", 0.75)
    assert b"same label for 75.00% of 4 answers" in compared.ask("GET", "/dashboard")[2]


def test_the_dashboard_shows_the_canary(home: Home) -> None:
    hold(home)
    client = tried(home, Settings(promote=Promote(mode="manual", canary_share=1.0)))
    assert client.ask("POST", "/predict", json.dumps(PREDICTION).encode(), HTTP_X_ROUTING_KEY="a")[0] == 200
    tile = json.loads(client.ask("GET", "/dashboard/data")[2])["tiles"][1]
    [fact] = [one for one in tile["facts"] if one["label"] == "answers itself"]
    assert (fact["value"], fact["note"]) == ("100% of the keys, 1 so far", "X-Routing-Key")


def test_the_command_line_says_it(
    compared: Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "CONSOLE", Console(width=200))
    home = compared.worker.home
    versions.print_table(versions.listed(home, 20))
    assert "same label for 75.00% of 4 answers" in capsys.readouterr().out
    assert "version 2 waits for `retraind promote`: same label" in health.as_text(health.read(home))
    lineage_tree.show(lineage_tree.read(home, 2, 5))
    assert "beside version 1: same label for 75.00% of 4 answers" in capsys.readouterr().out


def test_the_last_disagreement_is_not_rounded_away() -> None:
    agreement: Agreement = {
        "version": 2,
        "champion": 1,
        "n": 1_000_000,
        "agreed": 999_999,
        "failed": 0,
        "difference": 0.0,
        "largest": 0.1,
        "at": "2026-01-01T00:00:00Z",
    }
    assert "99.99%" in score_names.agreement(agreement)
    assert "100.00%" in score_names.agreement({**agreement, "agreed": 1_000_000})


def test_a_damaged_history_hides_nothing_else(compared: Client) -> None:
    home = compared.worker.home
    home.history.write_bytes(b"not a database" * 100)
    assert compared.ask("GET", "/versions")[0] == 200
    assert compared.ask("GET", "/prometheus_metrics")[0] == 200
    assert health.read(home)["challenger"] == {"version": 2, "shadow": None}
