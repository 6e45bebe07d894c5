"""retraind.daemon.training.selection.second_process: calls that two processes share."""

import os
import time
from functools import partial

import numpy as np

from retraind.daemon.training.selection import second_process


def test_each_call_runs_once_and_both_processes_take_part() -> None:
    """The results are in the order of the calls, whoever has made them."""

    def call(number: int) -> tuple[int, int]:
        time.sleep(0.2)
        return number, os.getpid()

    results = second_process.share([partial(call, number) for number in range(4)])
    assert [number for number, _ in results] == [0, 1, 2, 3]
    assert len({process for _, process in results}) == 2


def test_what_a_killed_process_had_taken_is_made_by_the_other() -> None:
    """Also what it had finished, since it sends all at its end; nothing is left of it."""
    here = os.getpid()

    def call(number: int) -> tuple[int, int]:
        time.sleep(0.1)
        if os.getpid() != here:
            os.kill(os.getpid(), 9)
        return number, os.getpid()

    assert second_process.share([partial(call, number) for number in range(3)]) == [(0, here), (1, here), (2, here)]


def test_result_that_cannot_be_sent_is_made_again() -> None:
    """A function made here is known to no other process."""
    here = os.getpid()

    def call() -> object:
        time.sleep(0.1)
        return os.getpid() if os.getpid() == here else lambda: 0

    assert second_process.share([call, call]) == [here, here]


def test_only_a_little_work_is_shared() -> None:
    """One call is not, and neither are many rows."""
    assert second_process.is_worthwhile(np.zeros((500, 4)), 5) == (len(os.sched_getaffinity(0)) > 1)
    assert not second_process.is_worthwhile(np.zeros((500, 4)), 1)
    assert not second_process.is_worthwhile(np.zeros((1, second_process.MOST_CELLS + 1)), 5)
