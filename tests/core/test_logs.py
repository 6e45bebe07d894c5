"""daemon.core.logs: what a line shows to a person and to a program."""

import logging
from collections.abc import Iterator

import pytest
import structlog

from daemon.core import logs
from daemon.core.settings import Log
from daemon.core.states import Trigger


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_member_of_an_enum_is_shown_as_its_value(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Log(format=form))
    structlog.get_logger().info("training", reason=Trigger.FORCED)
    line = capsys.readouterr().err
    assert Trigger.FORCED.value in line
    assert "Trigger" not in line
