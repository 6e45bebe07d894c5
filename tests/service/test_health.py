"""retraind.daemon.service.health: what fails is recorded once and shown, also what fails in another way under the same name."""

import logging
from pathlib import Path

import pytest

from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import CheckName
from retraind.daemon.service.health import MOST_TRACEBACKS, Health
from retraind.daemon.service.heartbeat import Heartbeat
from retraind.daemon.service.service import starting
from retraind.daemon.storage.journal import Journal


@pytest.fixture
def health(home: Home, journal: Journal) -> Health:
    return Health(Heartbeat(home.status, starting(home)), journal)


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged since the last call."""
    events = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return events


def fails(error: Exception) -> None:
    raise error


def test_each_error_under_one_name_has_its_traceback_in_the_log_once(
    health: Health, caplog: pytest.LogCaptureFixture
) -> None:
    """Another type or another text is another fault: a first one must not hide it, nor one of the disk."""
    caplog.set_level(logging.INFO)
    errors: list[Exception] = [
        *(OSError(5, "rotten"), ZeroDivisionError("a"), ZeroDivisionError("a"), ZeroDivisionError("b")),
        *(KeyError("b"), KeyError("b")),
    ]
    for error in errors:
        assert not health.guard(CheckName.DRIFT, lambda error=error: fails(error))  # type: ignore[misc]
    traced = [repr(record.exc_info[1]) for record in caplog.records if record.exc_info]
    caplog.clear()
    assert traced == ["ZeroDivisionError('a')", "ZeroDivisionError('b')", "KeyError('b')"]
    assert health.problems == {CheckName.DRIFT: "KeyError: 'b'. See the log."}
    assert health.guard(CheckName.DRIFT, lambda: None)
    assert not health.guard(CheckName.DRIFT, lambda: fails(KeyError("b")))
    assert logged(caplog) == ["healed", "failed", "problem"]


def test_an_error_whose_text_never_repeats_fills_no_log(health: Health, caplog: pytest.LogCaptureFixture) -> None:
    for count in range(30):
        health.guard(CheckName.DRIFT, lambda count=count: fails(KeyError(count)))  # type: ignore[misc]
        health.guard(CheckName.DRIFT, lambda: fails(KeyError("again")))
    assert logged(caplog).count("failed") == MOST_TRACEBACKS


def test_what_is_expected_has_a_sentence_and_no_traceback(health: Health, caplog: pytest.LogCaptureFixture) -> None:
    health.guard(CheckName.WORK, lambda: fails(Unavailable("The disk is full.")), again="It is tried again every 5 s.")
    assert logged(caplog) == ["problem"]
    assert health.problems == {CheckName.WORK: "The disk is full. It is tried again every 5 s."}
    health.guard(CheckName.WORK, lambda: fails(KeyError("x")), again="It is tried again every 5 s.")
    assert health.problems == {CheckName.WORK: "KeyError: 'x'. It is tried again every 5 s; see the log."}


def test_look_that_fails_is_its_own_objection(health: Health, tmp_path: Path) -> None:
    report = health.examine(CheckName.DATA, lambda: str(next((tmp_path / "gone").iterdir())), "In place.")
    assert (report.ok, str(tmp_path / "gone") in report.detail) == (False, True)
    assert health.examine(CheckName.DATA, lambda: None, "In place.").ok
