"""The clocks of a simulation: wall and monotonic, moved by what happens in it and by nothing else."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

REAL = ("retraind.daemon.storage.server.session",)
"""Modules that wait for a real server: until it has noticed that a killed process is gone."""

READ_SECONDS = 0.001
"""What it takes to look at a clock, so that no two moments are the same."""


@dataclass
class Clock:
    """Seconds of both clocks; the wall clock is `ahead` of the monotonic one."""

    now: float
    ahead: float
    fast: float = 0.0
    """By how many seconds the wall clock is wrong."""
    since: float = 0.0
    """Since when (monotonic) it has been fast without a break."""

    def read(self) -> float:
        """Monotonic seconds."""
        self.now += READ_SECONDS
        return self.now

    def set(self, seconds: float) -> None:
        """Set the wall clock by so much."""
        if self.fast <= 0:
            self.since = self.now
        self.fast += seconds
        self.ahead += seconds

    @property
    def wall(self) -> float:
        """Seconds since 1970 by the wall clock."""
        return self.now + self.ahead


class Times:
    """What modules see instead of `time`; `clock` and `slept` (called during a sleep) belong to the life at hand."""

    def __init__(self) -> None:
        self.clock = Clock(0.0, 0.0)
        self.slept: Callable[[], None] = lambda: None

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def monotonic(self) -> float:
        return self.clock.read()

    def time(self) -> float:
        self.clock.read()
        return self.clock.wall

    def time_ns(self) -> int:
        return int(self.time() * 1e9)

    def sleep(self, seconds: float) -> None:
        self.clock.now += seconds
        self.slept()


TIMES = Times()


class Moments(datetime):
    """What modules see instead of `datetime`."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Any:
        """The moment of the simulated wall clock."""
        return datetime.fromtimestamp(TIMES.time(), tz)


def install() -> None:
    """Give every module of the daemon that is imported by now the simulated clocks."""
    for name, module in list(sys.modules.items()):
        if name.startswith("retraind.daemon.") and name not in REAL:
            if vars(module).get("time") is time:
                vars(module)["time"] = TIMES
            if vars(module).get("datetime") is datetime:
                vars(module)["datetime"] = Moments
