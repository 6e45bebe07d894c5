"""One policy for all doors: each error says the same at the command line, over HTTP and in the protocols of other servers."""

import json
from collections.abc import Iterator

import pytest

from retraind.daemon.cli.report import failures, say
from retraind.daemon.core import errors
from retraind.daemon.core.errors import POLICY, Cause, Exit, RetraindError
from retraind.daemon.core.errors.causes import of_status
from retraind.web.http.problems import TYPE, Problem, document, explain
from retraind.web.protocols.errors import MLFLOW_CODES, in_format_of


def kinds(kind: type[RetraindError] = RetraindError) -> Iterator[type[RetraindError]]:
    """The error and all that derive from it in `retraind.daemon.core.errors`."""
    yield kind
    for derived in kind.__subclasses__():
        if derived.__module__ == errors.__name__:
            yield from kinds(derived)


KINDS = list(kinds())
named = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def test_every_cause_has_its_doors() -> None:
    assert set(POLICY) == set(Cause)
    assert all(doors.meaning and doors.remedy for doors in POLICY.values())
    assert {doors.exit for doors in POLICY.values()} - {None} == set(Exit) - {Exit.OK}


@named
def test_command_line_follows_the_policy(
    kind: type[RetraindError], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = kind("What happened.")
    assert say.fail(error) == POLICY[kind.cause].exit == error.exit
    assert capsys.readouterr().err.startswith("retraind: What happened.")
    monkeypatch.setattr("sys.argv", ["retraind", "status", "--json"])
    say.fail(error)
    said = json.loads(capsys.readouterr().err)["error"]
    assert (said["cause"], said["exit"], said["name"]) == (kind.cause, error.exit, error.exit.name)


@named
def test_http_follows_the_policy(kind: type[RetraindError]) -> None:
    problem = explain(kind("What happened."))
    assert problem is not None
    said = json.loads(problem.body)
    assert problem.status_code == said["status"] == POLICY[kind.cause].status
    assert said["type"] == f"{TYPE}{kind.cause}"
    assert "What happened." in said["detail"]


@named
@pytest.mark.parametrize("path", ["/v1/models/retraind:predict", "/v2/models/retraind/infer", "/invocations"])
def test_protocols_follow_the_policy(kind: type[RetraindError], path: str) -> None:
    problem = explain(kind("What happened."))
    assert problem is not None
    status = POLICY[kind.cause].status
    answer = in_format_of(problem, path)
    said = json.loads(answer.body)
    assert answer.status_code == (400 if status == 422 else status)
    if path == "/invocations":
        by_default = "BAD_REQUEST" if status < 500 else "INTERNAL_ERROR"
        assert said["error_code"] == MLFLOW_CODES.get(answer.status_code, by_default)
        assert "What happened." in said["message"]
    else:
        assert "What happened." in said["error"]


@pytest.mark.parametrize("status", sorted({doors.status for doors in POLICY.values()}))
def test_answer_without_a_cause_has_that_of_its_status(status: int) -> None:
    cause = of_status(status)
    assert POLICY[cause].status == status
    assert json.loads(document(status, "x"))["type"] == f"{TYPE}{cause}"
    assert json.loads(Problem(status, "x").body)["type"] == f"{TYPE}{cause}"


@pytest.mark.parametrize("code", failures.REMEDIES)
def test_errors_of_the_system_have_a_cause_and_a_remedy(code: int) -> None:
    error = failures.explained(OSError(code, "Reason", "/a/path"))
    assert error is not None
    assert str(error) == f"/a/path: Reason. {error.hint}"
    assert error.exit == POLICY[error.cause].exit


def test_other_errors_of_the_system_keep_their_traceback() -> None:
    assert failures.explained(OSError("no number")) is None
