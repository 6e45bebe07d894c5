"""A second process shares the work: each takes the next call, so that a training of little data uses two cores.

With more data it would double the memory, and predictions would miss the free core. The results equal those of one process,
to the bit.
"""

import os
import pickle
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from retraind.daemon.core import logs
from retraind.daemon.model import Matrix
from retraind.daemon.processes import parent

log = logs.Logger()

T = TypeVar("T")

MOST_CELLS = 1_000_000
"""Cells of the rows (8 MB) up to which there is a second process."""

MOST_CALLS = 256
"""A ticket is a byte."""


def is_worthwhile(rows: Matrix, calls: int) -> bool:
    """Whether a second process saves time without taking much memory, or a core for long."""
    return rows.size <= MOST_CELLS and 1 < calls <= MOST_CALLS and len(os.sched_getaffinity(0)) > 1


def share(calls: Sequence[Callable[[], T]]) -> list[T]:
    """The results of `calls` in their order, from this process and a fork of it; this one repeats what a failed fork lacks.

    The calls must not raise. No other thread may run when this begins.
    """
    tickets = _pipe_with(bytes(range(len(calls))))
    incoming, outgoing = os.pipe()
    forking, second = os.getpid(), os.fork()
    if second == 0:
        os.close(incoming)
        _work(calls, tickets, outgoing, forking)
    os.close(outgoing)
    try:
        results = dict(_made(calls, tickets))
        with open(incoming, "rb", closefd=False) as file:
            results |= _received(file.read())
    finally:
        os.close(tickets)
        os.close(incoming)
        os.kill(second, signal.SIGKILL)  # it has sent everything, or this process has failed
        os.waitpid(second, 0)
    return [results[number] if number in results else call() for number, call in enumerate(calls)]


def _pipe_with(content: bytes) -> int:
    """A pipe to read `content` from, byte by byte, by several processes."""
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading


def _made(calls: Sequence[Callable[[], T]], tickets: int) -> Iterator[tuple[int, T]]:
    """Number and result of each call that this process comes to."""
    while ticket := os.read(tickets, 1):
        yield ticket[0], calls[ticket[0]]()


def _work(calls: Sequence[Callable[[], Any]], tickets: int, outgoing: int, forking: int) -> NoReturn:
    """Run calls in the fork, which ends without the destructors of the process that it is a copy of."""
    try:
        parent.end_with(forking)
        with open(outgoing, "wb") as file:
            pickle.dump(dict(_made(calls, tickets)), file)
    except BaseException:  # a result that can't be pickled, or no memory: the other process runs the calls again
        log.exception("second_process_failed")
    finally:
        os._exit(0)


def _received(data: bytes) -> Mapping[int, Any]:
    """The results that the fork has sent, by number; none if it ended before."""
    try:
        results: Mapping[int, Any] = pickle.loads(data)  # noqa: S301 - from a fork of this process
    except (EOFError, pickle.UnpicklingError):
        log.warning("second_process_ended", reason="It gave no results, so its calls are run again.")
        return {}
    return results
