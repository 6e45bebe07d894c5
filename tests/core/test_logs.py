"""retraind.daemon.core.logs: what a line shows to a person and to a program."""

import json
import logging
from pathlib import Path

import pytest

from retraind.daemon.core import logs
from retraind.daemon.core.settings import Log
from retraind.daemon.core.states import Trigger

log = logs.Logger()


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_member_of_an_enum_is_shown_as_its_value(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Log(format=form))
    log.info("training", reason=Trigger.FORCED)
    line = capsys.readouterr().err
    assert Trigger.FORCED.value in line
    assert "Trigger" not in line


def test_a_line_for_programs_has_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a field holds, the line is one JSON object; a library's has the same shape."""
    logs.configure(Log(format="json"))
    log.info("taken", path=Path("/a"), name="ü\n", pid=1, share=float("nan"))
    logging.getLogger("library").warning("%s is odd", "this")
    log.info("2 % 3 %s")
    first, second, third = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["event"], first["level"], first["path"], first["pid"]) == ("taken", "info", "/a", 1)
    assert first["name"] == "ü\n"
    assert (second["event"], second["level"], second["logger"]) == ("this is odd", "warning", "library")
    assert third["event"] == "2 % 3 %s"
    assert third["timestamp"].endswith("Z")


def test_a_line_for_people_quotes_what_holds_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    """Time, level, what happened, and the fields; no colours where no terminal is."""
    logs.configure(Log(format="text"))
    log.warning("held", drop="a b", count=3, reason="")
    line = capsys.readouterr().err
    assert line.endswith(" warning  held drop='a b' count=3 reason=''\n")


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_follows_the_error(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """That of the error that is handled, or of one that is handed over."""
    logs.configure(Log(format=form))
    try:
        raise KeyError("here")
    except KeyError as error:
        log.exception("failed")
        kept = error
    log.error("failed", exc_info=kept, what="x")
    log.error("failed")
    said = capsys.readouterr().err
    assert said.count("KeyError: 'here'") == 2


def test_level_is_that_of_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    """And libraries that talk much are heard from warnings on."""
    logs.configure(Log(level="error"))
    log.warning("odd")
    logs.configure(Log(level="info"))
    logging.getLogger("mlflow.store").info("chatter")
    assert capsys.readouterr().err == ""
