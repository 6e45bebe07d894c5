"""`retraind status`: without a daemon, beside one, and beside one that hangs."""

import json
import signal
import subprocess
from typing import Any

import bundles
import pytest
from commands import forked
from journal_entries import a_version
from running import a_status
from service import wait_until

from retraind.daemon.cli.report import health
from retraind.daemon.core import status
from retraind.daemon.core.errors import Exit
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings, in_force, load
from retraind.daemon.core.states import EventKind, Level, VersionState
from retraind.daemon.core.status import Check
from retraind.daemon.storage.journal import Journal
from retraind.web.terminal.sources import HomeSource

# Without and beside a daemon


def test_status_without_a_daemon(home: Home) -> None:
    """Nothing runs: exit code 5, and what to do; the same as JSON."""
    done = forked("status", home=home)
    assert done.returncode == Exit.UNHEALTHY
    assert "UNHEALTHY" in done.stdout
    assert "retraind run" in done.stdout
    printed = json.loads(forked("status", "--json", home=home).stdout)
    assert (printed["healthy"], printed["model_version"], printed["checks"]["daemon"]["ok"]) == (False, None, False)


def test_status_beside_a_daemon(home: Home) -> None:
    """All checks of the daemon count; one that fails makes the whole unhealthy."""
    bundles.point(home, bundles.make(home, 3))
    status.publish(home.status, a_status())
    report = health.read(home)
    assert (report["healthy"], report["model_version"], report["rows"], report["rows_pending"]) == (True, 3, 150, 7)
    assert health.as_text({**report, "attention": []}).startswith("healthy")
    status.publish(home.status, a_status(checks={"disk": Check(ok=False, detail="Full.")}))
    done = forked("status", home=home)
    assert done.returncode == Exit.UNHEALTHY
    assert "BAD disk: Full." in done.stdout


def test_status_asks_for_attention_as_the_page_does(home: Home, journal: Journal) -> None:
    """The exit code stays that of the checks; the first line does not say that all is well."""
    bundles.point(home, bundles.make(home, 3))
    status.publish(home.status, a_status())
    journal.events.record(EventKind.UNANSWERED, "heute.csv is not answered: not UTF-8.", level=Level.WARNING)
    page = HomeSource(home, Settings()).now().document["tiles"]
    done = forked("status", home=home)
    assert done.returncode == Exit.OK
    assert done.stdout.startswith("needs attention\n")
    for label, tile in zip(("health", "data"), (page[0], page[2]), strict=True):
        assert f"{tile['shape']} {label}: {tile['headline']}. {tile['sentence']}" in done.stdout
    assert [reason["about"] for reason in health.read(home)["attention"]] == ["health", "data"]


def test_status_names_the_settings_of_notices_that_the_service_does_not_use_yet(home: Home) -> None:
    """They are read at its start; only those of [notify], because the page of settings lists all."""
    status.publish(home.status, a_status())
    in_force.publish(home, Settings())
    home.settings.write_text('[notify]\ncommand = ["true"]\n[retrain]\nthreshold_rows = 7\n')
    sentence = "The running service does not use notify.command of retraind.toml yet: restart it."
    assert f"settings: {sentence}" in forked("status", home=home).stdout
    done = forked("notify", "test", home=home)
    assert (done.returncode, sentence in done.stderr) == (Exit.UNHEALTHY, True)
    in_force.publish(home, load(home.settings))
    assert "settings:" not in forked("status", home=home).stdout
    assert forked("notify", "test", home=home).returncode == Exit.OK


def test_status_says_what_the_served_version_is_on_trial_for(home: Home, journal: Journal) -> None:
    """As /health and the page do."""
    bundles.point(home, bundles.make(home, 3))
    status.publish(home.status, a_status())
    journal.versions.judge(
        a_version(3) | {"scores": json.dumps({"challenger": {"rolling": {"n": 0}}})}, VersionState.PROMOTED, "first"
    )
    detail = health.read(home)["checks"]["model"]["detail"]
    assert detail.endswith("On trial: no held-out row judges it.")


def test_status_names_long_steps(home: Home) -> None:
    """The one that the loop is in, and the longest of the hour."""
    steps = {
        "step": {"name": "committing batch 3", "seconds": 7.2},
        "longest_step": {"name": "taking drops", "seconds": 9.5},
    }
    status.publish(home.status, a_status(**steps))
    done = forked("status", home=home)
    assert "longest step of the last hour: taking drops, 9.5 s" in done.stdout
    assert "ok  daemon: Running, committing batch 3 for 7 s." in done.stdout


def test_status_tells_a_stopped_daemon_from_one_that_is_gone(home: Home) -> None:
    """By the kernel: a fresh heartbeat says nothing of it."""
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            process.send_signal(signal.SIGSTOP)
            wait_until(lambda: not a_status(pid=process.pid).alive)
            status.publish(home.status, a_status(pid=process.pid))
            done = forked("status", home=home)
            assert done.returncode == Exit.UNHEALTHY
            assert f"`kill -CONT {process.pid}` resumes it" in done.stdout
        finally:
            process.kill()
    assert "Not running: start it" in forked("status", home=home).stdout


@pytest.mark.parametrize("changes", [{"heartbeat": 0.0}, {"pid": 2**22 + 1}], ids=["hangs", "gone"])
def test_daemon_that_hangs_or_is_gone_is_not_alive(home: Home, changes: dict[str, Any]) -> None:
    """An old heartbeat, or a process that does not exist, is no daemon; nor is a file that is no status."""
    status.publish(home.status, a_status(**changes))
    state = status.read(home.status)
    assert state is not None
    assert not state.alive
    home.status.write_text("{")
    assert status.read(home.status) is None
