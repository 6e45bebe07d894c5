"""One HTTP worker: a process with one event loop and Granian on an inherited socket."""

import gc

# All objects from imports stay, and the garbage collector would examine them again and again.
if __name__ == "__main__":
    gc.disable()

import argparse
import asyncio
import contextlib
import logging
import os
import resource
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from retraind.daemon.core import durable, file_modes, logs, settings
from retraind.daemon.core.errors import Exit, RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.web.api import event_stream
from retraind.web.server import granian
from retraind.web.server.bridge import Bridge
from retraind.web.server.shutdown import CLOSING_SECONDS, NOTICE_SECONDS, Shutdown, sockets
from retraind.web.serving.predictor import Follower
from retraind.web.worker_state import Worker

LOOK_SECONDS = 0.05
PUBLISH_SECONDS = 1.0

_log = logging.getLogger("retraind.web")


async def serve(worker: Worker, fds: list[int]) -> None:
    """Serve on the bound sockets `fds` until a signal stops or replaces this worker, then finish the open requests."""
    shutdown = Shutdown(worker.settings.server)
    feed = event_stream.Feed(worker)
    quiet = sockets()
    bridge = Bridge(worker, feed)
    listeners = [granian.Listener(bridge, fd) for fd in fds]
    serving = {asyncio.create_task(listener.serve(granian.spawn)) for listener in listeners}
    helpers = [
        asyncio.create_task(_publish(worker)),
        asyncio.create_task(_restarting(feed.run)),
        asyncio.create_task(worker.durability.run()),
        asyncio.create_task(bridge.bodies.watch()),
        asyncio.create_task(bridge.slow.batches.trim_memory()),
    ]
    waiting = asyncio.create_task(shutdown.asked.wait())
    await asyncio.wait({*serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():
        raise RetraindError("The HTTP server ended by itself.")
    worker.draining = True
    feed.wake()
    await shutdown.until_quiet(NOTICE_SECONDS, quiet)
    for listener in listeners:
        listener.refuse()
    await shutdown.until_quiet(CLOSING_SECONDS, quiet)
    for listener in listeners:
        stop: Callable[[], None] = listener.stop
        stop()
    done = await shutdown.until_done(serving)
    for helper in helpers:
        helper.cancel()
    worker.durability.close()
    worker.columnar.close()
    worker.old_predictions.close()
    with contextlib.suppress(OSError):
        worker.publish()
    if not done:
        _log.warning("Some requests did not end within %g s.", shutdown.seconds)
        # An orderly exit would wait for a thread that hangs in the kernel.
        os._exit(Exit.OK)


async def _publish(worker: Worker) -> None:
    """Write the snapshot about once a second, and immediately after a swap."""
    problem, swaps, due = "", -1, 0.0
    while True:
        if worker.slot.swaps != swaps or time.monotonic() >= due:
            swaps, due = worker.slot.swaps, time.monotonic() + PUBLISH_SECONDS
            try:
                await asyncio.to_thread(worker.publish)
                problem = ""
            except OSError as error:
                if str(error) != problem:
                    _log.error("The counters can't be written: %s", error)
                problem = str(error)
        await asyncio.sleep(LOOK_SECONDS)


async def _restarting(run: Any) -> None:
    while True:
        try:
            await run()
        except (OSError, sqlite3.Error):
            _log.exception("The events can't be read; trying again.")
            await asyncio.sleep(PUBLISH_SECONDS)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m retraind.web.server", description=__doc__, epilog="Started by the daemon."
    )
    parser.add_argument("--home", type=Path, required=True, help="home folder")
    parser.add_argument("--slot", type=int, required=True, help="number of this worker, from 0")
    parser.add_argument("--fd", type=int, nargs="+", required=True, help="descriptors of the bound sockets, inherited")
    parser.add_argument("--model-needed", action="store_true", help="exit if no model can be loaded")
    parser.add_argument("--settings", help="settings as JSON; default: retraind.toml of the home folder")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run one worker until a signal stops or replaces it; returns the exit code."""
    file_modes.private()
    options = _parse(arguments)
    home = Home(options.home.resolve())
    chosen = Settings.model_validate_json(options.settings) if options.settings else settings.load(home.settings)
    logs.configure(chosen.log)
    # Only what is made again is in it, and without it no worker can start; the health names it.
    with contextlib.suppress(OSError):
        home.workers.mkdir(mode=file_modes.FOLDER, exist_ok=True)
    lock = durable.try_lock(home.worker_lock(options.slot, os.getpid()))
    if lock is None:
        _log.error("Another process holds the lock of this worker.")
        return Exit.ALREADY_RUNNING
    worker = Worker(home, chosen, options.slot)
    follower = Follower(home, worker.slot)
    # Before the first connection: if a champion is on disk, no client gets "no model is loaded".
    follower.look()
    if options.model_needed and worker.slot.current is None:
        _log.error("The promoted version can't be loaded, so this worker does not replace another.")
        return Exit.FAILED
    follower.start()
    if worker.challenger.wanted:
        worker.shadow.start()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # A computing thread releases the interpreter after this time, so a prediction does not wait for a page.
    sys.setswitchinterval(0.0005)
    gc.freeze()
    gc.enable()
    granian.run(serve(worker, options.fd))
    follower.stop()
    worker.shadow.stop()
    home.worker_lock(options.slot, os.getpid()).unlink(missing_ok=True)
    return Exit.OK


if __name__ == "__main__":
    sys.exit(main())
