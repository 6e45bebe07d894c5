"""Commands that run the service or show its health: run, serve, status."""

from typing import Annotated

import typer

from retraind.daemon.cli import home_opening
from retraind.daemon.cli.options import HERE, HomeOption, JsonOption, opened, served
from retraind.daemon.cli.report import say
from retraind.daemon.core.errors import Exit
from retraind.daemon.processes.stop_signals import Wake


def run(
    home: HomeOption = HERE,
    host: Annotated[str | None, typer.Option(help="Overrides server.host.")] = None,
    port: Annotated[int | None, typer.Option(help="Overrides server.port; 0 takes a free one.")] = None,
    json_: JsonOption = False,
) -> None:
    """Run everything: watch the inbox, retrain, serve, show the dashboard. With `role = "node"`, as `retraind serve`.

    Example: retraind run --port 5000
    """
    wake = _listening()
    place, loaded = served(home, host=host, port=port)
    from retraind.daemon.service import service

    (service.serve if loaded.role == "node" else service.run)(place, loaded, wake, as_json=json_)


def serve(
    home: HomeOption = HERE,
    host: Annotated[str | None, typer.Option(help="Overrides server.host.")] = None,
    port: Annotated[int | None, typer.Option(help="Overrides server.port; 0 takes a free one.")] = None,
    json_: JsonOption = False,
) -> None:
    """Run the HTTP workers only, without the daemon: nothing is ingested or trained. With `role = "node"`, follow the leader.

    Example: retraind serve --port 5001
    """
    wake = _listening()
    place, loaded = served(home, host=host, port=port)
    if loaded.role != "node":  # a node's home is made by its first start, with what its leader serves
        home_opening.require(place, writes=True)
    from retraind.daemon.service import service

    service.serve(place, loaded, wake, as_json=json_)


def show_status(home: HomeOption = HERE, json_: JsonOption = False) -> None:
    """Show health, and what needs attention. Exits 5 if a check fails.

    Example: retraind status --json
    """
    place, loaded = opened(home)
    from retraind.daemon.cli.report import health

    facts = health.read(place, loaded)
    say.document(facts) if json_ else typer.echo(health.as_text(facts))
    raise typer.Exit(Exit.OK if facts["healthy"] else Exit.UNHEALTHY)


def _listening() -> Wake:
    """Start listening for SIGTERM and Ctrl-C; returns the listener."""
    wake = Wake()
    wake.listen()
    return wake
