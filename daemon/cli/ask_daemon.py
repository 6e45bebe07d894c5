"""Requests of the command line to the daemon: it submits them and waits a moment for the answer."""

from pathlib import Path
from typing import Any, TypedDict

import typer

from retraind.daemon.cli.options import opened
from retraind.daemon.cli.report import say
from retraind.daemon.core import requests, status
from retraind.daemon.core.errors import BadSettings, Exit
from retraind.daemon.core.home import Home
from retraind.daemon.core.node import node_status
from retraind.daemon.core.states import RequestState


class RequestAnswer(TypedDict):
    """A request, and what the daemon has said of it; while it is queued there is no sentence."""

    request: str
    state: RequestState
    sentence: str | None


def submit(home: Path, json_: bool, kind: requests.Kind, **fields: Any) -> bool:
    """Submit a request; True if the daemon answered and its answer was printed. Raises BadSettings in the home of a serving node."""
    place, loaded = opened(home, writes=True)
    if loaded.role == "node":
        status_of_node = node_status.read(place.node)
        leader = f", {status_of_node.leader}" if status_of_node and status_of_node.leader else ""
        raise BadSettings(f"{place.root} is a serving node: it decides nothing.", hint=f"Ask its leader{leader}.")
    require_leader(place)
    place.make()
    request = requests.ask(place, kind, **fields)
    if not json_:
        typer.echo(f"request {request.id}")
    answer = None if warn_if_down(place) else _answer(place, request.id)
    if json_:
        state, sentence = answer or (RequestState.QUEUED, None)
        say.document(RequestAnswer(request=request.id, state=state, sentence=sentence))
    return _decided(answer)


def require_leader(place: Home) -> None:
    """Raise BadSettings in a home that stands by."""
    daemon = status.read(place.status)
    if daemon is not None and daemon.alive and daemon.state == "standby":
        leader = f", {daemon.leadership.url or daemon.leadership.leader}" if daemon.leadership else ""
        raise BadSettings(f"{place.root} stands by: this is the leader's work.", hint=f"Ask it{leader}.")


def wait(place: Home, request: str) -> bool:
    """Print the daemon's answer; exits 8 if it refuses. False if it has not answered yet."""
    return _decided(_answer(place, request))


def _answer(place: Home, request: str) -> tuple[RequestState, str] | None:
    """The state and the sentence of the daemon's answer, which is printed; None if it has not answered yet."""
    from retraind.daemon.cli import follow
    from retraind.daemon.cli.report.terminal import printable

    answer = follow.answer(place, request)
    say.say(printable(answer[1] if answer else f"not answered yet; see GET /requests/{request}."))
    return answer


def _decided(answer: tuple[RequestState, str] | None) -> bool:
    """Whether there is an answer; exits 8 if it is a refusal."""
    if answer is not None and answer[0] == RequestState.REFUSED:
        raise typer.Exit(Exit.REFUSED)
    return answer is not None


def warn_if_down(place: Home) -> bool:
    """Print a warning, and return True, if no daemon runs in this home."""
    daemon = status.read(place.status)
    down = daemon is None or not daemon.alive
    if down:
        say.say("the daemon is not running. This is queued and runs when it starts.")
    return down
