"""The identity of a process that may write a journal on a server, and why it leads now."""

import os
import socket
from dataclasses import dataclass, replace

from retraind.daemon.core.home import Home
from retraind.daemon.core.leader.leadership import Leadership
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.status import boot_id


@dataclass(frozen=True)
class Leader:
    """A process that may write a journal on a server."""

    name: str
    """For people."""
    url: str = ""
    """Where its pages are."""
    home: str = ""
    """The same for each start in one home of one machine, different for every other home; empty: unknown."""
    boot: str = ""
    """The boot of its machine: with the same `home`, its earlier processes are surely gone."""
    beats: bool = False
    """Whether it beats, so that a standby may end its session when it does not."""
    ended: float | None = None
    """The silence (seconds) for which it has ended the session of the leader before it; None if it has not."""


@dataclass(frozen=True)
class Term:
    """The leadership of this process."""

    record: Leadership
    overtaken: bool
    """Whether another home led before: then the files of this one may be older than the journal."""

    @property
    def epoch(self) -> int:
        """Its epoch."""
        return self.record.epoch

    @property
    def reason(self) -> str:
        """Why the leader changed."""
        return self.record.reason


def anonymous() -> Leader:
    """This process, where it opens a journal for a command."""
    return Leader(f"retraind {os.getpid()} on {socket.gethostname()}")


def identity(home: Home, settings: Settings, url: str) -> Leader:
    """The daemon of a home, whose pages are at `url`."""
    name, beats = settings.leader.name or socket.gethostname(), settings.leader.standby
    return Leader(name, url, place(home), boot_id(), beats)


def place(home: Home) -> str:
    """The same for each start in one home of one machine, different for every other home."""
    return f"{socket.gethostname()}:{home.root.resolve()}:{home.registry.stat().st_ino}"  # a copy is another home


def after_silence(leader: Leader, seconds: float | None) -> Leader:
    """The same leader, which has ended the session of the one before it after so much silence (seconds; None: it has not)."""
    return replace(leader, ended=seconds)


def reason_of_change(leader: Leader, before: str | None, *, again: bool) -> str:
    """Why `leader` leads now, after the leader named `before` (None: there was none); `again`: both are the same home."""
    if before is None:
        return "First start."
    if leader.ended is not None:
        return f"{before} did not beat for {leader.ended:.1f} s and was ended."
    return f"{before} started again." if again else f"The session of {before} ended."
