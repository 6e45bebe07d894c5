"""Requests of the command line to the daemon: it submits them and waits a moment for the answer."""

import json
from pathlib import Path
from typing import Any

import typer

from retraind.daemon.cli.options import opened
from retraind.daemon.core import requests, status
from retraind.daemon.core.errors import BadSettings, Exit
from retraind.daemon.core.home import Home
from retraind.daemon.core.node import node_status
from retraind.daemon.core.states import RequestState


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
    typer.echo(json.dumps({"request": request.id}) if json_ else f"request {request.id}")
    return not warn_if_down(place) and wait(place, request.id)


def require_leader(place: Home) -> None:
    """Raise BadSettings in a home that stands by."""
    daemon = status.read(place.status)
    if daemon is not None and daemon.alive and daemon.state == "standby":
        leader = f", {daemon.leadership.url or daemon.leadership.leader}" if daemon.leadership else ""
        raise BadSettings(f"{place.root} stands by: this is the leader's work.", hint=f"Ask it{leader}.")


def wait(place: Home, request: str) -> bool:
    """Print the daemon's answer; exits 8 if it refuses. False if it has not answered yet."""
    from retraind.daemon.cli import follow
    from retraind.daemon.cli.report.terminal import printable

    answer = follow.answer(place, request)
    state, sentence = answer or (RequestState.QUEUED, f"not answered yet; see GET /requests/{request}.")
    typer.echo(f"retraind: {printable(sentence)}", err=True)
    if state == RequestState.REFUSED:
        raise typer.Exit(Exit.REFUSED)
    return answer is not None


def warn_if_down(place: Home) -> bool:
    """Print a warning, and return True, if no daemon runs in this home."""
    daemon = status.read(place.status)
    down = daemon is None or not daemon.alive
    if down:
        typer.echo("retraind: the daemon is not running. This is queued and runs when it starts.", err=True)
    return down
