"""What asks for attention: the page's answers about this home, made by the page's own code, so that both say the same."""

from retraind.daemon.cli.report.health import Reason
from retraind.daemon.core import status
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings, in_force
from retraind.web.dashboard.tiles import Tile
from retraind.web.terminal import home_checks

LABELS = {"healthy": "health", "serving": "model", "flowing": "data", "good": "quality"}
"""The questions of the page, by the words of `retraind top`."""


def reasons(home: Home, settings: Settings | None, *, healthy: bool) -> list[Reason]:
    """What needs a person beyond failing checks, as the page has it; `healthy`: no check fails."""
    if not home.registry.is_dir():
        return []  # the checks say so
    tiles = home_checks.answers(home, settings or Settings())
    daemon = status.read(home.status)
    alive = daemon is not None and daemon.alive
    reported = {"healthy": healthy and daemon is not None and daemon.state == "ready", "flowing": alive}
    asking = [
        Reason(about=LABELS[tile["id"]], state=tile["state"], sentence=_sentence(tile))
        for tile in tiles
        if tile["state"] in ("watch", "act") and reported.get(tile["id"], True)
    ]
    return asking + (_unused_settings(home) if alive else [])


def _sentence(tile: Tile) -> str:
    """A tile's sentence; a headline that a time belongs to says nothing alone."""
    return tile["sentence"] if tile["at"] else f"{tile['headline']}. {tile['sentence']}".strip()


def _unused_settings(home: Home) -> list[Reason]:
    sentence = unused_notify(home)
    return [Reason(about="settings", state="watch", sentence=sentence)] if sentence else []


def unused_notify(home: Home) -> str:
    """Which settings of notices the running service does not use yet; empty if it uses all of them."""
    keys = in_force.differing(home, "notify.")
    if not keys:
        return ""
    return f"The running service does not use {', '.join(keys)} of retraind.toml yet: restart it."
