"""Light serving nodes: the session and the statements of an agent, without a home, a model or a store.

They are threads of a few processes, because one interpreter runs about a hundred before they wait for each other.
"""

import multiprocessing
import threading
import time
from collections import defaultdict
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import NamedTuple, Self

from retraind.daemon.core.node.messages import Desired, NodeReport, NodeState, Wish
from retraind.daemon.nodes.agent import AWAITED, CHANNEL, LOOK_SECONDS, STEP_SECONDS
from retraind.daemon.storage.server.node_session import NodeSession

IN_PROCESS = 50
"""Nodes of a process."""

Seen = dict[int, list[float]]
"""By version, when each node has seen that it is active (monotonic seconds)."""


class Mode(NamedTuple):
    """How nodes learn of news: by notifications and a look every `seconds`, or by looks alone."""

    name: str
    listens: bool
    seconds: float


MODES = (
    Mode("LISTEN", True, LOOK_SECONDS),
    Mode("polling, 1 s", False, 1.0),
    Mode("polling, 0.1 s", False, 0.1),
)


class LightNodes:
    """So many nodes that follow the desired row at `url`, from `__enter__` to `stop`."""

    def __init__(self, url: str, count: int, mode: Mode) -> None:
        context = multiprocessing.get_context("spawn")
        self._ended = context.Event()
        self._pipes, self._processes = [], []
        for first in range(0, count, IN_PROCESS):
            ours, theirs = context.Pipe(duplex=False)
            numbers = range(first, min(first + IN_PROCESS, count))
            arguments = (url, numbers, mode, self._ended, theirs)
            self._pipes.append(ours)
            self._processes.append(context.Process(target=_run, args=arguments, daemon=True))

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for process in self._processes:
            process.join(20)
            process.kill()

    def stop(self) -> Seen:
        """End them; returns what they have seen."""
        self._ended.set()
        seen: Seen = defaultdict(list)
        for pipe in self._pipes:
            for version, times in pipe.recv().items():
                seen[version] += times
        return seen


def _run(url: str, numbers: range, mode: Mode, ended: Event, pipe: Connection) -> None:
    seen: Seen = defaultdict(list)
    threads = [
        threading.Thread(target=_follow, args=(url, f"node-{number:03}", mode, ended, seen)) for number in numbers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipe.send(dict(seen))


def _follow(url: str, name: str, mode: Mode, ended: Event, seen: Seen) -> None:
    """What the agent's thread does, as far as the server notices."""
    session, reported = NodeSession(url, f"retraind node {name}"), (0, NodeState.WAITING)
    if mode.listens:
        session.listen(CHANNEL)
    while not ended.is_set():
        row = session.desired()
        at = time.monotonic()
        if row is not None:
            state = NodeState.SERVING if row.state is Wish.ACTIVE else NodeState.PREPARED
            stage = row.generation, state
            if stage != reported and state is NodeState.SERVING and row.version is not None:
                seen[row.version].append(at)
            session.report(_report(name, row, state), news=stage != reported and state in AWAITED)
            reported = stage
        _wait(session, mode, ended)
    session.leave(name)
    session.close()


def _report(name: str, row: Desired, state: NodeState) -> NodeReport:
    version = row.version if state is NodeState.SERVING else None
    return NodeReport(name=name, generation=row.generation, state=state, version=version)


def _wait(session: NodeSession, mode: Mode, ended: Event) -> None:
    until = time.monotonic() + mode.seconds
    while not ended.is_set() and (left := until - time.monotonic()) > 0:
        if not mode.listens:
            time.sleep(min(left, STEP_SECONDS))
        elif session.wait(min(left, STEP_SECONDS)):
            return
