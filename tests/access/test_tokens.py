"""Tokens and the commands that make, list and withdraw them."""

import json
import os
import stat
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from service import wait_until
from typer.testing import CliRunner

from retraind.daemon.access import record_cache, tokens
from retraind.daemon.access.record_cache import RecordCache
from retraind.daemon.access.tokens import FILE, PREFIX, Keyring, Token
from retraind.daemon.cli import commands
from retraind.daemon.core import durable
from retraind.daemon.core.errors import BadSettings, NotFound
from retraind.daemon.core.home import Home
from retraind.daemon.core.scopes import Scope


def printed(home: Home, *arguments: str) -> str:
    """What a command prints; it must succeed."""
    done = CliRunner().invoke(commands.application(), ["token", *arguments, "--home", str(home.root)])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def test_commands_make_list_and_withdraw(home: Home) -> None:
    home.token.write_text("the-admins\n")
    secret = printed(home, "create", "shop", "--scope", "predict", "--scope", "read", "--days", "90").strip()
    assert secret.startswith(PREFIX)
    assert len(secret) > 50
    listed = json.loads(printed(home, "list", "--json"))
    assert [(one["name"], one["scopes"]) for one in listed] == [(FILE, ["admin"]), ("shop", ["predict", "read"])]
    assert listed[1]["used_at"] is None
    lasts = datetime.fromisoformat(listed[1]["expires_at"]) - datetime.fromisoformat(listed[1]["created_at"])
    assert lasts == timedelta(days=90)
    assert "shop" in printed(home, "list")
    printed(home, "revoke", "shop")
    assert "shop" not in printed(home, "list")


def test_a_home_before_the_command_is_refused_not_passed_over(home: Home) -> None:
    done = CliRunner().invoke(commands.application(), ["token", "--home", str(home.root), "list"])
    assert isinstance(done.exception, BadSettings)


def test_stored_records_do_not_reveal_the_token_and_are_private(home: Home) -> None:
    secret = tokens.create(home, "shop", [Scope.PREDICT])
    (path,) = home.tokens.iterdir()
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(home.tokens.stat().st_mode)) == (0o600, 0o700)
    assert secret not in path.read_text()
    assert json.loads(path.read_text())["sha256"] == durable.sha256(secret.encode())


@pytest.mark.parametrize(
    "name", ["", ".hidden", "a/b", "../token", "a" * 64, "two words", "registry/token", "-x", "anonymous", "Local"]
)
def test_a_name_is_a_name(home: Home, name: str) -> None:
    with pytest.raises(BadSettings):
        tokens.create(home, name, [Scope.READ])
    with pytest.raises(NotFound):
        tokens.revoke(home, name)


def test_of_two_at_once_one_gets_the_name(home: Home) -> None:
    made: list[str] = []
    taken: list[BadSettings] = []

    def make() -> None:
        try:
            made.append(tokens.create(home, "shop", [Scope.READ]))
        except BadSettings as error:
            taken.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(taken)) == (1, 7)
    assert Keyring(home).find(made[0]) is not None


def test_use_is_noted_and_an_old_one_does_not_count_for_a_new_token(home: Home) -> None:
    keyring, secret = Keyring(home), tokens.create(home, "shop", [Scope.READ])
    token = keyring.find(secret)
    assert token is not None
    keyring.note(token)
    ((_, used),) = tokens.known(home)
    assert used is not None
    assert abs((datetime.now(UTC) - used).total_seconds()) < 60
    tokens.revoke(home, "shop")
    tokens.create(home, "shop", [Scope.READ])
    assert [used for _, used in tokens.known(home)] == [None]


def test_a_damaged_card_counts_for_nothing_and_the_others_go_on(home: Home) -> None:
    secret = tokens.create(home, "good", [Scope.READ])
    (home.tokens / "bad.json").write_text('{"name": "bad", "sha256": "", "scopes": ["everything"]}')
    (home.tokens / "empty.json").touch()
    assert [token.name for token, _ in tokens.known(home)] == ["good"]
    assert Keyring(home).find(secret) is not None
    assert Keyring(home).find("") is None


def test_two_changes_in_one_tick_are_both_seen(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's clock for files moves in ticks: the second change may leave the folder's time as it was."""
    monkeypatch.setattr(record_cache, "LOOK_SECONDS", 0.0)
    tokens_read = RecordCache(home.tokens, Token)
    tokens.create(home, "first", [Scope.READ])
    at = home.tokens.stat().st_mtime_ns
    assert list(tokens_read.now()) == ["first"]
    tokens.create(home, "second", [Scope.READ])
    os.utime(home.tokens, ns=(at, at))
    assert list(tokens_read.now()) == ["first", "second"]


def test_of_two_threads_that_look_at_once_none_leaves_its_mark_on_the_other_s_cards(home: Home) -> None:
    """A slow one that has read a token before it was withdrawn ends in the middle of a faster one's look."""
    go_on, reading = threading.Event(), threading.Event()

    class Slow(Token):
        @classmethod
        def model_validate_json(cls, *arguments: Any, **options: Any) -> "Slow":
            token = super().model_validate_json(*arguments, **options)
            reading.set()
            go_on.wait(20)
            return token

    class Watched(RecordCache[Slow]):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if reading.is_set() and threading.current_thread() is threading.main_thread() and not go_on.is_set():
                go_on.set()
                slow.join()

    tokens.create(home, "shop", [Scope.READ])
    os.utime(home.tokens, (1, 1))
    cards = Watched(home.tokens, Slow)
    slow = threading.Thread(target=cards.now)
    slow.start()
    assert reading.wait(20)
    tokens.revoke(home, "shop")
    os.utime(home.tokens, (2, 2))
    cards.now(fresh=True)
    assert cards.now(fresh=True) == {}


def test_a_file_that_is_written_over_counts_at_once_also_within_a_tick(home: Home) -> None:
    """As an editor or `echo >` writes it: the same file, and for a moment the same time."""
    keyring = Keyring(home)
    for secret in ("first", "other", "third", "longer"):
        home.token.write_text(secret)
        os.utime(home.token, (1, 1))
        assert keyring.find(secret) is not None
    assert keyring.find("first") is None
    home.token.unlink()
    wait_until(lambda: keyring.find("longer") is None)
