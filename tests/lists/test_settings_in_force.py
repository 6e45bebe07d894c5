"""Settings as they are in force: value, origin, limits, what a restart would change, and no secret."""

import json
from typing import Any

import pytest

from retraind.daemon.core import settings
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import in_force
from retraind.web.http.problems import Problem
from retraind.web.lists import settings as listed
from retraind.web.lists.settings import Setting, SettingsInForce


def started(home: Home, **flags: Any) -> settings.Settings:
    """The settings of a service that starts now."""
    running = settings.load(home.settings, {"server": flags} if flags else None)
    in_force.publish(home, running)
    return running


def by_key(shown: SettingsInForce) -> dict[str, Setting]:
    return {row["key"]: row for row in shown["settings"]}


def test_each_origin_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.settings.write_text("[retrain]\nthreshold_rows = 7\n[server]\nport = 1\nworkers = 0\n")
    monkeypatch.setenv("RETRAIND_TRAIN__CANDIDATES", '["tree"]')
    monkeypatch.setenv("RETRAIND_RETRAIN__THRESHOLD_ROWS", "9")
    rows = by_key(listed.find(home, started(home, host="127.0.0.2"), {}))
    assert (rows["retrain.threshold_rows"]["value"], rows["retrain.threshold_rows"]["origin"]) == ("9", "environment")
    assert (rows["train.candidates"]["value"], rows["train.candidates"]["origin"]) == ('["tree"]', "environment")
    assert (rows["server.port"]["value"], rows["server.port"]["origin"]) == ("1", "retraind.toml")
    assert rows["server.workers"]["origin"] == "retraind.toml", "also if it says the default"
    assert (rows["server.host"]["value"], rows["server.host"]["origin"]) == ('"127.0.0.2"', "command line")
    assert rows["train.seed"]["origin"] == "default"
    assert rows["train.candidates"]["variable"] == "RETRAIND_TRAIN__CANDIDATES"


def test_change_since_the_start_is_marked(home: Home) -> None:
    running = started(home, host="127.0.0.2")
    assert listed.find(home, running, {})["changed"] == 0
    home.settings.write_text("[retrain]\nthreshold_rows = 7\n[server]\nhost = '127.0.0.3'\n")
    shown = listed.find(home, running, {"show": "changed"})
    assert [(row["key"], row["value"], row["after_restart"]) for row in shown["settings"]] == [
        ("retrain.threshold_rows", "50", "7")
    ], "a flag also wins after a restart"
    assert (shown["changed"], shown["count"]) == (1, 1)
    home.settings.write_text("[retrain]\nthreshold = 7\n")
    broken = listed.find(home, running, {})
    assert "there is no setting 'retrain.threshold'" in broken["problem"]
    assert broken["changed"] == 0
    assert by_key(broken)["retrain.threshold_rows"]["value"] == "50"


def test_units_and_limits_come_from_the_settings(home: Home) -> None:
    rows = by_key(listed.find(home, started(home), {}))
    assert (rows["inbox.max_bytes"]["unit"], rows["inbox.max_bytes"]["limits"]) == ("bytes", "> 0")
    assert rows["server.port"]["limits"] == "≥ 0, ≤ 65,535"
    assert rows["inbox.bad_rows"]["limits"] == "quarantine | reject_file"
    assert rows["train.calibrate"]["limits"] == "true | false"
    assert set(rows) == {key for key, _, _ in settings.entries()}


def test_search_and_wrong_parameter(home: Home) -> None:
    running = started(home)
    assert "retrain.cooldown_seconds" in by_key(listed.find(home, running, {"search": "COOLDOWN"}))
    assert by_key(listed.find(home, running, {"search": "quarantine"})).keys() >= {"inbox.bad_rows"}
    assert listed.find(home, running, {"show": "set"})["count"] == 0
    with pytest.raises(Problem):
        listed.find(home, running, {"find": "x"})


def test_no_token_is_shown(home: Home) -> None:
    (home.root / "key").write_text("x" * 20)
    notify = {"webhook": "https://hooks.example/services/T0KEN/abc", "secret_file": "key", "command": ["send", "T0KEN"]}
    running = settings.Settings.model_validate({"notify": notify})
    in_force.publish(home, running)
    rows = by_key(listed.find(home, running, {}))
    assert rows["notify.webhook"]["value"] == '"https://hooks.example/…"'
    assert rows["notify.command"]["value"] == '["send", "… (1 arguments)"]'
    assert "T0KEN" not in json.dumps(rows, ensure_ascii=False)
    assert home.settings_in_force.stat().st_mode & 0o077 == 0


def test_without_a_record_the_origin_is_not_guessed(home: Home) -> None:
    running = settings.Settings.model_validate({"retrain": {"threshold_rows": 7}})
    rows = by_key(listed.find(home, running, {}))
    assert rows["retrain.threshold_rows"]["origin"] == "not recorded"
    assert rows["train.seed"]["origin"] == "default"
