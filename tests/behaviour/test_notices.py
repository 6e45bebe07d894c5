"""Notices of a running service: killed between due and sent, tested from the command line, absent without a target."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from receivers import KEY, http_receiver, smtp_receiver
from running import retraind
from service import Service, wait_until

from retraind.daemon.core.home import Home
from retraind.daemon.records import events
from retraind.daemon.service import bootstrap

SETTINGS = """
bootstrap = "none"

[inbox]
settle_seconds = 0.1

[notify]
webhook = "{webhook}"
secret_file = "key"
group_seconds = 2
timeout_seconds = 60
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service with a schema and no model."""
    service = Service(tmp_path / "home")
    service.home.root.mkdir()
    service.home.make()
    bootstrap.iris(service.home)
    (service.home.inbox / bootstrap.NAME).unlink()
    (service.home.root / "key").write_text(KEY)
    yield service
    service.end()


def drop_bad_files(home: Home) -> None:
    for number in range(40):
        (home.inbox / f"bad{number}.csv").write_text(f"wrong,columns\n{number},2\n")


@pytest.mark.parametrize("answered", [True, False], ids=["refused", "unanswered"])
def test_kill_between_due_and_sent_loses_nothing(service: Service, answered: bool) -> None:
    """Forty bad files are one notice. It arrives after the restart, and once.

    Only if its first attempt had arrived without an answer, it arrives again: under the same name.
    """
    with http_receiver() as receiver:
        (service.home.root / "retraind.toml").write_text(SETTINGS.format(webhook=receiver.url))
        receiver.status = 503 if answered else 204
        if not answered:
            receiver.holds.clear()
        service.start()
        drop_bad_files(service.home)
        wait_until(lambda: receiver.arrived, 60, service.log()[-1500:])
        service.kill()
        receiver.status = 204
        receiver.holds.set()
        service.start()
        expected = 1 if answered else 2
        wait_until(lambda: len(receiver.requests) == expected, 60, service.log()[-1500:])
        wait_until(lambda: [row["state"] for row in events.deliveries(service.home.journal, 9)] == ["sent"], 20)
        time.sleep(3)
        service.stop()
    assert len(receiver.requests) == expected
    assert {got.document["count"] for got in receiver.requests} == {40}
    assert len({got.headers["webhook-id"] for got in [*receiver.requests, *receiver.refused]}) == 1
    done = retraind("notify", "--json", home=service.home)
    [row] = json.loads(done.stdout)
    assert (row["kind"], row["count"], row["target"], row["state"]) == ("rejected", 40, "webhook", "sent")
    assert "rejected  40" in retraind("notify", home=service.home).stdout


def test_test_notice_goes_to_every_target(service: Service) -> None:
    """One that fails is named, without its secrets, and the exit code says so."""
    pytest.importorskip("apprise")
    home = service.home
    with http_receiver() as receiver, smtp_receiver() as mailbox:
        mail = f"mailto://127.0.0.1:{mailbox.port}?from=a@example.org&to=b@example.org&mode=insecure"
        (home.root / "urls").write_text(f"{mail}\n")
        settings = f'{SETTINGS.format(webhook=receiver.url)}\nurls_file = "urls"\ncommand = ["/bin/true"]\n'
        (home.root / "retraind.toml").write_text(settings)
        done = retraind("notify", "test", home=home)
        assert (done.returncode, done.stderr) == (0, "")
        assert [line.split(": ")[1] for line in done.stdout.splitlines()] == ["Sent."] * 3
        assert receiver.requests[0].document["kind"] == "test"
        assert "a test" in mailbox.mails[0]["Subject"]
        receiver.status = 500
        done = retraind("notify", "test", home=home)
        assert done.returncode == 5
        assert "webhook: It answered 500." in done.stdout
    (home.root / "urls").write_text("json://hush:hush@127.0.0.1:9/hush\n")
    done = retraind("notify", "test", home=home)
    assert done.returncode == 5
    assert "hush" not in done.stdout + done.stderr


def test_test_without_a_target_says_what_to_set(service: Service) -> None:
    done = retraind("notify", "test", home=service.home)
    assert done.returncode == 2
    assert "names no target for notices. Set notify.urls_file" in done.stderr


def test_health_names_a_target_that_fails(service: Service) -> None:
    with http_receiver() as receiver:
        (service.home.root / "retraind.toml").write_text(SETTINGS.format(webhook=receiver.url))
        service.start()

        def check() -> dict[str, object]:
            with contextlib.suppress(OSError):
                return dict(service.ask("/health")[1]["checks"].get("notify") or {})
            return {}

        wait_until(lambda: check().get("ok"), 60, service.log()[-1500:])
        assert "Notices go to webhook." in str(check()["detail"])
        receiver.status = 410
        drop_bad_files(service.home)
        wait_until(lambda: check().get("ok") is False, 60, service.log()[-1500:])
        assert "webhook: It answered 410." in str(check()["detail"])
        assert service.log().count("notify_failed") == 1
