"""retraind.daemon.core.settings: one model, precise complaints."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from retraind.daemon.core import settings
from retraind.daemon.core.errors import BadSettings, Exit
from retraind.daemon.core.settings import settings_file
from retraind.daemon.training.selection import candidates

KEYS = list(settings.entries())


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "retraind.toml"
    path.write_text(text)
    return path


def test_no_file_means_defaults(tmp_path: Path) -> None:
    """A home without retraind.toml listens on loopback, and trains on its own."""
    loaded = settings.load(tmp_path / "retraind.toml")
    assert (loaded.server.host, loaded.server.port, loaded.promote.mode) == ("127.0.0.1", 5000, "auto")
    assert loaded.model_dump() == settings.Settings().model_dump()


@pytest.mark.parametrize(("key", "description", "default"), KEYS, ids=[key for key, _, _ in KEYS])
def test_every_setting_is_described_with_its_unit(key: str, description: str, default: Any) -> None:
    """Each setting has a sentence; sizes and times name their unit in it."""
    assert description.endswith(".")
    for unit in ("seconds", "bytes"):
        assert not key.endswith(unit) or f"({unit})" in description
    assert default is not None


def test_flags_win_over_environment_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearer to the person who starts the program, the stronger; the rest of a table stays."""
    path = file(tmp_path, "[server]\nport = 1\nworkers = 1\nhost = '::1'\n")
    monkeypatch.setenv("RETRAIND_SERVER__PORT", "2")
    monkeypatch.setenv("RETRAIND_SERVER__WORKERS", "2")
    loaded = settings.load(path, {"server": {"port": 3}}).server
    assert (loaded.port, loaded.workers, loaded.host) == (3, 2, "::1")


def test_environment_reaches_every_kind_of_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers, words, texts with spaces and lists (as JSON) can be given in the environment."""
    monkeypatch.setenv("RETRAIND_RETRAIN__SCHEDULE", "*/5 * * * *")
    monkeypatch.setenv("RETRAIND_TRAIN__CANDIDATES", '["tree"]')
    monkeypatch.setenv("RETRAIND_PROMOTE__TOLERANCE", "0.5")
    monkeypatch.setenv("RETRAIND_BOOTSTRAP", "none")
    monkeypatch.setenv("RETRAIND_HOME", "/somewhere")
    loaded = settings.load(tmp_path / "none")
    assert (loaded.retrain.schedule, loaded.train.candidates) == ("*/5 * * * *", ["tree"])
    assert (loaded.promote.tolerance, loaded.bootstrap) == (0.5, "none")


def test_empty_variable_is_no_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that a unit file leaves empty does not count."""
    monkeypatch.setenv("RETRAIND_SERVER__PORT", "")
    assert settings.load(tmp_path / "none").server.port == 5000


def test_list_in_the_environment_that_is_no_json_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who writes a list as a word is told how it is written."""
    monkeypatch.setenv("RETRAIND_TRAIN__CANDIDATES", "tree")
    with pytest.raises(BadSettings, match="RETRAIND_TRAIN__CANDIDATES = 'tree' is not JSON"):
        settings.load(tmp_path / "none")


def test_tables_are_merged_to_their_last_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A grid of the environment stands beside one of the file; a variable may be written in small letters."""
    path = file(tmp_path, "[train.grids.tree]\nmax_depth = [2]\n")
    monkeypatch.setenv("RETRAIND_TRAIN__GRIDS", '{"forest": {"max_depth": [3]}}')
    monkeypatch.setenv("retraind_server__port", "7")
    loaded = settings.load(path)
    assert (loaded.train.grids, loaded.server.port) == ({"tree": {"max_depth": [2]}, "forest": {"max_depth": [3]}}, 7)


def test_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 end in a sentence."""
    path = tmp_path / "retraind.toml"
    path.write_bytes(b"[server]\nhost = '\xff'\n")
    with pytest.raises(BadSettings, match="not valid TOML"):
        settings.load(path)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[server]\nprot = 1", ["server.prot", "'server.port'"]),
        ("[retrain]\ntreshold_rows = 1", ["retrain.treshold_rows", "'retrain.threshold_rows'"]),
        ("[sever]\nport = 1", ["'sever'", "'server'"]),
        ("zzzzzz = 1", ["'zzzzzz'", "docs/settings.md"]),
        ("[server]\nport = 70000", ["server.port = 70000", "65535"]),
        ("[server]\nport = 'x'", ["server.port = 'x'", "line 2", "whole number"]),
        ("[promote]\nmode = 'yes'", ["promote.mode = 'yes'", "'auto' or 'manual'"]),
        ("[train]\ncandidates = ['forrest']", ["train.candidates", "'forrest'", "'forest'"]),
        ("[train]\ncandidates = []", ["train.candidates"]),
        ("[train]\nholdout = nan", ["train.holdout"]),
        ("[inbox]\nsettle_seconds = -1", ["inbox.settle_seconds = -1"]),
        ("server = 5", ["server = 5"]),
        ("[server\n", ["not valid TOML", "line 1"]),
        ("[server]\nprot = 1\nwokers = 1", ["server.prot", "server.wokers"]),
    ],
)
def test_bad_file_is_refused_by_key(tmp_path: Path, text: str, parts: list[str]) -> None:
    """The complaint names the file, the key, the value, and the nearest key that exists."""
    with pytest.raises(BadSettings) as caught:
        settings.load(file(tmp_path, text))
    assert caught.value.exit == Exit.USAGE
    for part in ["retraind.toml", *parts]:
        assert part in str(caught.value)


def test_bad_value_is_reported_where_it_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who misspelt a flag or a variable does not look for it in the file."""
    path = file(tmp_path, "[server]\nworkers = -1\n[train]\nfolds = 1\n")
    monkeypatch.setenv("RETRAIND_SERVER__WORKERS", "many")
    monkeypatch.setenv("RETRAIND_TRAIN__CANDIDATES", '["forrest"]')
    with pytest.raises(BadSettings) as caught:
        settings.load(path, {"server": {"port": 99999}})
    said = str(caught.value)
    for part in [
        "--port: server.port = 99999:",
        "environment: RETRAIND_SERVER__WORKERS: server.workers = 'many':",
        "RETRAIND_TRAIN__CANDIDATES: train.candidates",
        "retraind.toml, line 4: train.folds = 1: it must be at least 2",
    ]:
        assert part in said


@pytest.mark.parametrize(
    ("name", "nearest"), [("RETRAIND_SERVER__PROT", "SERVER__PORT"), ("RETRAIND_SEVER__PORT", "SERVER__PORT")]
)
def test_misspelt_variable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, nearest: str) -> None:
    """A RETRAIND_ variable that names no setting is an error, with the nearest one that does."""
    monkeypatch.setenv(name, "1")
    with pytest.raises(BadSettings, match=f"{name}.*RETRAIND_{nearest}"):
        settings.load(tmp_path / "none")


def test_settings_do_not_change_while_the_program_runs() -> None:
    """What was loaded is frozen."""
    with pytest.raises(ValidationError, match="frozen"):
        settings.Settings().server.port = 1  # type: ignore[misc]


def test_candidates_are_those_of_the_model() -> None:
    """Every candidate of either task can be named, and by default all are."""
    known = tuple(dict.fromkeys(name for names in candidates.NAMES.values() for name in names))
    assert known == settings.CANDIDATES == tuple(settings.Train().candidates)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("live_until = 20", r"promote\.live_until = 20: .*less than live_rows = 50"),
        ("live_rows = 2000", r"promote\.live_until = 1000: .*less than live_rows = 2000"),
        ("live_rows = 2000\nlive_until = 1999", r"or set live_rows = 0 "),
    ],
)
def test_trial_that_ends_before_it_begins_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    """Automatic rollback is never turned off as a side effect, only by its own setting."""
    with pytest.raises(BadSettings, match=complaint):
        settings.load(file(tmp_path, f"[promote]\n{text}\n"))
    for fine in ("live_rows = 0\nlive_until = 20", "live_rows = 20\nlive_until = 20"):
        assert settings.load(file(tmp_path, f"[promote]\n{fine}\n")).promote.live_until == 20


def test_complaint_about_live_rows_comes_alone(tmp_path: Path) -> None:
    """Its meaning for live_until is left open."""
    with pytest.raises(BadSettings) as caught:
        settings.load(file(tmp_path, "[promote]\nlive_rows = -1\n"))
    assert "live_until" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("candidates = ['forrest']", r"train\.candidates = .*'forrest' is neither .* Did you mean 'forest'\?"),
        ("candidates = ['sklearn.svm.SVC']", r"nor package\.module:Class"),
        ("grids.logistik.C = [1]", r"train\.grids = .* Did you mean 'logistic'\?"),
        ("grids.logistic.C = []", r"logistic\.C has no values to try"),
        ("grids.logistic.C = 1", r"train\.grids\.logistic\.C = 1"),
    ],
)
def test_candidate_that_can_not_be_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    """A misspelt candidate, and a grid without values, are told apart from what only scikit-learn can judge."""
    with pytest.raises(BadSettings, match=complaint):
        settings.load(file(tmp_path, f"[train]\n{text}\n"))


def test_candidates_and_grids_can_be_named(tmp_path: Path) -> None:
    """A table for each grid; a candidate by its import path stands in quotes there."""
    text = """
        [train]
        candidates = ["logistic", "sklearn.svm:SVC"]
        [train.grids.logistic]
        C = [0.1, 1, 10]
        [train.grids."sklearn.svm:SVC"]
        kernel = ["linear", "rbf"]
    """
    loaded = settings.load(file(tmp_path, text)).train
    assert loaded.candidates == ["logistic", "sklearn.svm:SVC"]
    assert loaded.grids == {"logistic": {"C": [0.1, 1, 10]}, "sklearn.svm:SVC": {"kernel": ["linear", "rbf"]}}


def test_written_file_holds_every_default() -> None:
    """The file that `init` writes changes nothing, and uncommented it says what holds anyway."""
    text = settings_file.text()
    assert tomllib.loads(text) == {}
    lines = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# [") or " = " in line]
    values = tomllib.loads("\n".join(lines))
    assert settings.Settings(**values) == settings.Settings()
    assert sorted(key for key, _, _ in KEYS) == sorted(_flat(values))


def _flat(table: dict[str, Any]) -> list[str]:
    nested = [
        [f"{head}.{key}" for key in value] if isinstance(value, dict) else [head] for head, value in table.items()
    ]
    return [key for keys in nested for key in keys]


TLS = {"scheduler_ca": "ca.pem", "scheduler_cert": "trainer.pem", "scheduler_key": "trainer.key"}


@pytest.mark.parametrize(
    ("chosen", "complaint"),
    [
        ({"scheduler": "tcp://127.0.0.1:8786"}, ""),
        ({"scheduler": "tcp://[::1]:8786"}, ""),
        ({"scheduler": "tls://dask.example:8786", **TLS}, ""),
        ({"scheduler": "tcp://10.0.0.5:8786", "scheduler_insecure": True}, ""),
        ({"scheduler": "tcp://10.0.0.5:8786"}, "tcp:// lets everybody send one"),
        ({"scheduler": "tcp://localhost.example:8786"}, "tcp:// lets everybody send one"),
        ({"scheduler": "tls://dask.example:8786"}, "tls:// needs train.scheduler_ca"),
        ({"scheduler": "tcp://127.0.0.1:8786", **TLS}, "certificates are for tls://"),
        ({}, "needs train.scheduler"),
        ({"scheduler": "dask.example:8786"}, "write tls://host:port"),
        ({"scheduler": "tls://dask.example"}, "write tls://host:port"),
        ({"scheduler": "tls://me:secret@dask.example:8786"}, "write tls://host:port"),
    ],
)
def test_scheduler_is_on_this_machine_or_behind_certificates(chosen: dict[str, Any], complaint: str) -> None:
    """Whoever reaches it runs programs, so a network needs a sentence of the operator's own."""
    values = {"train": {"engine": "dask", **chosen}}
    if not complaint:
        assert settings.Settings.model_validate(values).train.scheduler == chosen["scheduler"]
        return
    with pytest.raises(ValidationError, match=complaint):
        settings.Settings.model_validate(values)
