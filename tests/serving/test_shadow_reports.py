"""How far a held version agrees with the champion: over HTTP, for Prometheus, on the page and on the command line."""

import json

import pytest
import shadowing
from rich.console import Console
from shadowing import copied, hold, loaded, predict, tried
from sites import PREDICTION, Client

from retraind.daemon.cli.report import health, lineage_tree, versions
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Promote, Settings
from retraind.daemon.schema import score_names
from retraind.daemon.schema.scores import Agreement

home = pytest.fixture(shadowing.home)

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
