"""What everything is compared with: an empty Bottle route on the same server and bridge, which reads the body and counts."""

import argparse
import asyncio
from pathlib import Path
from typing import Any

from bottle import Bottle

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.web.api import event_stream
from retraind.web.api.app import answer_by_wsgi
from retraind.web.api.direct_route import Answer
from retraind.web.server import granian
from retraind.web.server.bridge import Bridge
from retraind.web.worker_state import Worker


class Empty(Bottle):  # type: ignore[misc]
    """A bare application, and the name under which the bridge counts its requests."""

    def answer(self, environ: Any) -> Answer:
        """The whole of a request, as Bottle does it."""
        return answer_by_wsgi(self, environ)

    def template(self, _environ: Any) -> str:
        """The only route."""
        return "/predict"

    def unwanted(self, _environ: Any) -> None:
        """Whatever comes is taken."""


async def serve(worker: Worker, fd: int) -> None:
    """Answer POST /predict with an empty object."""
    bridge = Bridge(worker, event_stream.Feed(worker))
    bottle: Any = Empty()
    bottle.route("/predict", "POST", lambda: b"{}")
    bridge._app = bottle
    await asyncio.create_task(granian.Listener(bridge, fd).serve(granian.spawn))


def main() -> None:
    """Run until killed; the arguments are those of `retraind.web.server.__main__`."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("home", "slot", "fd"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    granian.run(serve(Worker(Home(Path(options.home)), Settings(), 99), int(options.fd)))


if __name__ == "__main__":
    main()
