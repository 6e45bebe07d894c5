"""Starts an inbox with a bucket: its folder, and the objects of `inbox.url` beside it."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from retraind.daemon.core.errors import JournalTaken
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.inbox.inbox import Inbox
from retraind.daemon.inbox.settling import Settling
from retraind.daemon.objects.opening import require_botocore
from retraind.daemon.storage.journal import Journal


def start_inbox(
    home: Home,
    settings: Settings,
    wake: Callable[[], None],
    settling: Settling | None,
    journal: Journal,
    stack: ExitStack,
) -> Inbox:
    """The inbox, whose objects are fetched from now on, until `stack` ends.

    Raises BadSettings without botocore, StoreUnavailable.
    """
    require_botocore("inbox.url")
    from retraind.daemon.inbox.bucket import opening  # after the sentence on a missing botocore

    may_delete = partial(require_leading, settings, journal)
    inbox, courier = opening.open_inbox(home, settings, wake, settling, journal, may_delete)
    courier.start()
    stack.callback(courier.close)
    return inbox


def require_leading(settings: Settings, journal: Journal) -> None:
    """Raise JournalTaken once another machine leads, Unavailable if that is unknown."""
    if journal.term is None or not settings.leader.standby:
        return
    from retraind.daemon.storage.server.leader_rows import LeaderRows
    from retraind.daemon.storage.server.node_session import NodeSession

    session = NodeSession(settings.journal.url, f"retraind removal {os.getpid()}")
    try:
        if not LeaderRows(session).leads(journal.term.epoch):
            raise JournalTaken("Another machine leads, so nothing is deleted from the bucket.")
    finally:
        session.close()
