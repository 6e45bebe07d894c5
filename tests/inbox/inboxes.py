"""An inbox on a real folder; a test module makes a fixture of `inbox`."""

import os

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Inbox as Limits
from retraind.daemon.inbox.drop import Drop
from retraind.daemon.inbox.inbox import Inbox
from retraind.daemon.inbox.settling import Stamp

LIMITS = Limits(settle_seconds=0.5)


def inbox(home: Home) -> Inbox:
    return Inbox(home, LIMITS, lambda: None)


def stamp(home: Home, name: str) -> Stamp:
    """What a drop is known by while it has neither been read nor changed."""
    return Stamp.of(os.lstat(home.inbox / name))


def read(home: Home, inbox: Inbox, name: str) -> Drop | None:
    """Read a drop as it is now."""
    return inbox.read(name, stamp(home, name))
