"""daemon.service.health: what fails is recorded once and shown, also what fails in another way under the same name."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from daemon.core.errors import Unavailable
from daemon.core.home import Home
from daemon.core.states import CheckName
from daemon.service.health import MOST_TRACEBACKS, Health
from daemon.service.heartbeat import Pulse
from daemon.service.service import starting
from daemon.storage.journal import Journal


@pytest.fixture
def health(home: Home, journal: Journal) -> Health:
    return Health(Pulse(home.status, starting(home)), journal)


def fails(error: Exception) -> None:
    raise error


def test_each_error_under_one_name_has_its_traceback_in_the_log_once(health: Health) -> None:
    """Another type or another text is another fault: a first one must not hide it, nor one of the disk."""
    errors: list[Exception] = [
        *(OSError(5, "rotten"), ZeroDivisionError("a"), ZeroDivisionError("a"), ZeroDivisionError("b")),
        *(KeyError("b"), KeyError("b")),
    ]
    with capture_logs() as logs:
        for error in errors:
            assert not health.guard(CheckName.DRIFT, lambda error=error: fails(error))  # type: ignore[misc]
    traced = [repr(line["exc_info"]) for line in logs if line["event"] == "failed"]
    assert traced == ["ZeroDivisionError('a')", "ZeroDivisionError('b')", "KeyError('b')"]
    assert health.problems == {CheckName.DRIFT: "KeyError: 'b'. See the log."}
    with capture_logs() as logs:
        assert health.guard(CheckName.DRIFT, lambda: None)
        assert not health.guard(CheckName.DRIFT, lambda: fails(KeyError("b")))
    assert [line["event"] for line in logs] == ["healed", "failed", "problem"]


def test_an_error_whose_text_never_repeats_fills_no_log(health: Health) -> None:
    with capture_logs() as logs:
        for count in range(30):
            health.guard(CheckName.DRIFT, lambda count=count: fails(KeyError(count)))  # type: ignore[misc]
            health.guard(CheckName.DRIFT, lambda: fails(KeyError("again")))
    assert len([line for line in logs if line["event"] == "failed"]) == MOST_TRACEBACKS


def test_what_is_expected_has_a_sentence_and_no_traceback(health: Health) -> None:
    with capture_logs() as logs:
        health.guard(
            CheckName.WORK, lambda: fails(Unavailable("The disk is full.")), again="It is tried again every 5 s."
        )
    assert [line["event"] for line in logs] == ["problem"]
    assert health.problems == {CheckName.WORK: "The disk is full. It is tried again every 5 s."}
    health.guard(CheckName.WORK, lambda: fails(KeyError("x")), again="It is tried again every 5 s.")
    assert health.problems == {CheckName.WORK: "KeyError: 'x'. It is tried again every 5 s; see the log."}


def test_look_that_fails_is_its_own_objection(health: Health, tmp_path: Path) -> None:
    found = health.examine(CheckName.DATA, lambda: str(next((tmp_path / "gone").iterdir())), "In place.")
    assert (found.ok, str(tmp_path / "gone") in found.detail) == (False, True)
    assert health.examine(CheckName.DATA, lambda: None, "In place.").ok
