"""Which extras the settings of a home need: without them it could not open its journal or its store."""

import tomllib
from pathlib import Path

import pytest

from installer import extras
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import entries

ROOT = Path(__file__).parents[2]
SERVER = 'url = "postgresql+psycopg://retraind@db/churn"\n'


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("", []),
        ("[server]\nport = 8080\n", []),
        ('[journal]\nurl = ""\n[storage]\nurl = ""\n', []),
        (f"[journal]\n{SERVER}", ["postgres"]),
        ('[storage]\nurl = "s3://models"\n', ["s3"]),
        ('[inbox]\nurl = "s3://drops"\n', ["s3"]),
        (f'[journal]\n{SERVER}[storage]\nurl = "s3://models"\n', ["postgres", "s3"]),
        ('[notify]\nurls_file = "urls"\n', ["notify"]),
        ('[train]\nengine = "dask"\nscheduler = "tls://dask:8786"\n', ["dask"]),
        ("[journal\n", []),
        ("journal = 3\n", []),
    ],
)
def test_settings_in_the_file(tmp_path: Path, text: str, needs: list[str]) -> None:
    (tmp_path / "retraind.toml").write_text(text)
    assert extras.needed(tmp_path, {}) == needs


def test_variables_come_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "retraind.toml").write_text(f"[journal]\n{SERVER}")
    assert extras.needed(tmp_path, {"RETRAIND_JOURNAL__URL": "", "RETRAIND_STORAGE__URL": "s3://models"}) == ["s3"]


def test_variables_of_the_unit(tmp_path: Path) -> None:
    """As systemd reads them: comments, quotes, and a file that is not there yet."""
    file = tmp_path / "environment"
    assert extras.needed(tmp_path, {}, file) == []
    file.write_text('# RETRAIND_STORAGE__URL=s3://no\n\nRETRAIND_JOURNAL__URL="postgresql+psycopg://db/x"\nother\n')
    assert extras.needed(tmp_path, {}, file) == ["postgres"]


@pytest.mark.parametrize("name", extras.SERVERS)
def test_what_was_migrated_needs_no_setting(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path)
    assert {home.journal_server.name, home.mlflow_server.name} == set(extras.SERVERS)
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / name).write_text("{}")
    assert extras.needed(tmp_path, {}) == ["postgres"]


def test_extra_has_a_lock_and_a_setting() -> None:
    """Each is one of the package, with a lock file beside the other, and each of its settings exists."""
    offered = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    known = {key for key, _, _ in entries()}
    for name, keys in extras.NEEDED_BY.items():
        assert name in offered
        assert {".".join(key) for key in keys} <= known
        main, lock = extras.locks(ROOT / "requirements.lock", name)
        assert main.name == "requirements.lock"
        assert lock.is_file()


def test_unknown_extra_is_named() -> None:
    with pytest.raises(SystemExit, match="no extra 'redis'"):
        extras.locks(ROOT / "requirements.lock", "s3,redis")
