"""retraind.daemon.notify.targets: what a webhook, a program, an SMTP server and an HTTP server get, and what a failure reveals."""

import base64
import hashlib
import hmac
import logging
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from receivers import KEY, http_receiver, smtp_receiver
from service import wait_until

from retraind.daemon.core.home import Home
from retraind.daemon.core.journal.notices import NoticeKind
from retraind.daemon.core.settings import Notify
from retraind.daemon.core.states import Level
from retraind.daemon.notify import notice
from retraind.daemon.notify.notice import Notice, Origin
from retraind.daemon.notify.targets.apprise_process import without_parts
from retraind.daemon.notify.targets.command import Command
from retraind.daemon.notify.targets.configured import Targets
from retraind.daemon.notify.targets.target import Undelivered
from retraind.daemon.notify.targets.webhook import Webhook


@pytest.fixture
def sent() -> Notice:
    """A notice of forty files, of which ten have lines."""
    about = [
        notice.unrecorded("rejected", "2026-01-01T00:00:00Z", Level.WARNING, f"{n}.csv: <b>no</b>") for n in range(10)
    ]
    origin = Origin("/srv/churn", "https://churn.example.org")
    return notice.compose(origin, "f" * 32, NoticeKind.REJECTED, "2026-01-01T00:00:00Z", 40, about)


# Webhook


def test_webhook_is_signed_over_id_time_and_body(sent: Notice) -> None:
    """As standardwebhooks.com defines it, so that libraries of others can verify it."""
    with http_receiver() as receiver:
        Webhook(receiver.url, KEY, 5).send(sent)
        [got] = receiver.requests
    stamp = got.headers["webhook-timestamp"]
    assert abs(int(stamp) - time.time()) < 60
    content = f"{'f' * 32}.{stamp}.".encode() + got.body
    expected = base64.b64encode(hmac.new(KEY.encode(), content, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-signature"] == f"v1,{expected}"
    assert got.headers["webhook-id"] == got.document["id"] == "f" * 32
    assert (got.document["kind"], got.document["count"], len(got.document["events"])) == ("rejected", 40, 10)
    assert "and 30 more" in got.document["text"]


def test_key_in_base64_is_decoded(sent: Notice) -> None:
    raw = b"0123456789abcdef"
    with http_receiver() as receiver:
        Webhook(receiver.url, f"whsec_{base64.b64encode(raw).decode()}", 5).send(sent)
        [got] = receiver.requests
    content = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    expected = base64.b64encode(hmac.new(raw, content, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-signature"] == f"v1,{expected}"


def test_webhook_follows_no_redirect(sent: Notice) -> None:
    """A signed notice goes nowhere else."""
    with http_receiver() as elsewhere, http_receiver() as receiver:
        receiver.status, receiver.location = 307, elsewhere.url
        with pytest.raises(Undelivered, match="It answered 307"):
            Webhook(receiver.url, KEY, 5).send(sent)
        assert not elsewhere.requests


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_refusal_of_a_webhook_is_reported(sent: Notice, status: int) -> None:
    with http_receiver() as receiver:
        receiver.status = status
        with pytest.raises(Undelivered, match=f"It answered {status}"):
            Webhook(receiver.url, KEY, 5).send(sent)


def test_webhook_that_is_away_or_silent_is_reported(sent: Notice) -> None:
    with http_receiver() as receiver:
        url = receiver.url
        receiver.holds.clear()
        with pytest.raises(Undelivered, match="timed out"):
            Webhook(url, KEY, 0.2).send(sent)
    with pytest.raises(Undelivered, match="refused"):
        Webhook(url, KEY, 5).send(sent)


# Command


def test_command_reads_the_notice(sent: Notice, tmp_path: Path) -> None:
    Command(["/bin/sh", "-c", f"cat > {tmp_path}/got"], 10).send(sent)
    assert (tmp_path / "got").read_bytes() == sent.body()


def test_failing_command_is_reported_and_its_words_are_in_the_log_only(
    sent: Notice, caplog: pytest.LogCaptureFixture
) -> None:
    """`/health` is open to everyone."""
    with pytest.raises(Undelivered) as raised:
        Command(["/bin/sh", "-c", "echo hush >&2; exit 3"], 10).send(sent)
    assert "exit code 3" in str(raised.value)
    assert "hush" not in str(raised.value)
    assert "hush" in str([getattr(record, "fields", {}) for record in caplog.records])
    with pytest.raises(Undelivered, match="It can't be started"):
        Command(["/nowhere/program"], 10).send(sent)


def test_command_that_hangs_ends_with_its_children(sent: Notice, tmp_path: Path) -> None:
    script = f"sleep 600 & echo $! > {tmp_path}/child; wait"
    started = time.monotonic()
    with pytest.raises(Undelivered, match="did not end within"):
        Command(["/bin/sh", "-c", script], 0.5).send(sent)
    assert time.monotonic() - started < 10
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not _runs(child), 10, "the child to end")


def _runs(pid: int) -> bool:
    try:
        return "sleep" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


def test_command_that_reads_nothing_succeeds(sent: Notice) -> None:
    Command(["/bin/true"], 10).send(sent)


# Apprise


def targets(home: Home, *lines: str) -> Targets:
    home.make()
    (home.root / "urls").write_text("\n".join(["# comment", "", *lines]) + "\n")
    return Targets(home, Notify(urls_file="urls"), "salt")


def test_mail_arrives(home: Home, sent: Notice) -> None:
    with smtp_receiver() as mailbox:
        # Without a name the server is not asked to let anyone log in.
        url = f"mailto://127.0.0.1:{mailbox.port}?from=a@example.org&to=b@example.org&mode=insecure"
        [target] = targets(home, url).current().values()
        target.send(sent)
        target.send(replace(sent, token="e" * 32))
        target.send(sent)
        mail, other, again = mailbox.mails
    assert mail["Message-ID"] == again["Message-ID"] == f"<{'f' * 32}.1@127.0.0.1>"
    assert other["Message-ID"] != mail["Message-ID"]
    assert "40 files were rejected" in mail["Subject"]
    assert mail["To"].endswith("b@example.org>") or mail["To"] == "b@example.org"
    body = mail.get_body(("plain", "html"))
    assert body is not None
    assert "7.csv" in body.get_content()
    assert "https://churn.example.org/dashboard" in body.get_content()


def test_http_of_apprise_arrives(home: Home, sent: Notice) -> None:
    with http_receiver() as receiver:
        [target] = targets(home, f"json://127.0.0.1:{receiver.port}/hook").current().values()
        target.send(sent)
        [got] = receiver.requests
    assert got.document["type"] == "warning"
    assert "3.csv: <b>no</b>" in got.document["message"]


def test_failure_reveals_no_part_of_an_address(
    home: Home, sent: Notice, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither the sentence for `/health`, nor the name in the journal, nor a line of any log."""
    caplog.set_level(logging.DEBUG)
    with http_receiver() as receiver:
        port = receiver.port
    url = f"json://hushuser:hushpassword@127.0.0.1:{port}/hushtoken"
    [(name, target)] = targets(home, url).current().items()
    with pytest.raises(Undelivered) as raised:
        target.send(sent)
    logged = [
        str(getattr(record, "fields", record.getMessage())) for record in caplog.records if record.name == "retraind"
    ]
    everything = " ".join([name, str(raised.value), *logged, *capfd.readouterr()])
    assert "hush" not in everything
    assert name.startswith("json-")
    assert logged  # the reason


def test_wrong_address_is_named_by_its_line_only(home: Home, sent: Notice) -> None:
    [target] = targets(home, "hush://token").current().values()
    with pytest.raises(Undelivered) as raised:
        target.send(sent)
    assert "urls, line 3" in str(raised.value)
    assert "token" not in str(raised.value)


def test_reason_is_without_the_parts_of_the_address() -> None:
    """Whatever Apprise says, and in whatever order."""
    url = "slack://TokenA/TokenAB/TokenC?key=s%3Dcret&x=1"
    assert without_parts("failed at TokenAB for TokenA: s%3Dcret, 1", url) == "failed at … for …: …, 1"


def test_files_are_read_again_when_they_change(home: Home) -> None:
    """And while one can't be used, the targets are those of before."""
    read = targets(home, "json://127.0.0.1:9/a")
    [before] = read.current()
    (home.root / "urls").write_text("json://127.0.0.1:9/b\njson://127.0.0.1:9/a\n")
    assert len(read.current()) == 2
    assert before in read.current()
    (home.root / "urls").unlink()
    assert len(read.current()) == 2
    assert read.problem is not None
    assert "can't be read: No such file" in read.problem


def test_short_key_leaves_the_other_targets(home: Home) -> None:
    home.make()
    (home.root / "key").write_text("short\n")
    read = Targets(home, Notify(webhook="http://127.0.0.1:9/", secret_file="key", command=["/bin/true"]), "salt")
    assert list(read.current()) == ["command"]
    assert read.problem is not None
    assert "less than 16 characters" in read.problem
    (home.root / "key").write_text(KEY)
    os.utime(home.root / "key", (1, 1))
    assert sorted(read.current()) == ["command", "webhook"]
    assert read.problem is None
