"""Opens the journal at the start: waits for its server, and with `leader.standby` for this machine's turn."""

import time
from functools import partial
from typing import TYPE_CHECKING

from retraind.daemon.core import logs
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.leader import identity
from retraind.daemon.core.leader.identity import Leader
from retraind.daemon.core.states import CheckName
from retraind.daemon.dataset import journal_match
from retraind.daemon.service import serving_nodes
from retraind.daemon.service.heartbeat import START_SECONDS
from retraind.daemon.storage.journal import Journal

if TYPE_CHECKING:
    from retraind.daemon.objects.store import ObjectStore
    from retraind.daemon.processes.worker_keeper import WorkerKeeper
    from retraind.daemon.service.parts import Frame

log = logs.Logger()

AWAY_SECONDS = 1.0
"""Interval of attempts to reach the journal's server at the start."""


def open_journal(frame: "Frame", store: "ObjectStore | None", workers: "WorkerKeeper") -> Journal:
    """The journal, if it belongs to the data; raises HistoryLost."""
    journal_match.require_journal(frame.home)
    url = serving_nodes.address(frame.settings, workers)
    if frame.settings.leader.standby and store is not None:
        from retraind.daemon.service import standby

        journal = standby.lead(frame, store, url, partial(_reach_journal, frame))
    else:
        journal = _reach_journal(frame, identity.identity(frame.home, frame.settings, url))
        frame.stack.callback(journal.close)
        _catch_up(frame, journal)
    journal_match.require_batch(frame.home, journal.batches.last())
    return journal


def _catch_up(frame: "Frame", journal: Journal) -> None:
    """Bring the home up to the journal if it had a standby, which led last."""
    if journal.term is None or not journal.term.overtaken:
        return
    from retraind.daemon.leadership.catching_up import catch_up

    with frame.heartbeat.step("catching up with the journal", START_SECONDS):
        catch_up(frame.home, journal)


def _reach_journal(frame: "Frame", leader: Leader | None) -> Journal:
    """The journal; waits for a server that can't be reached, because predictions continue meanwhile."""
    reason = ""
    while True:
        with frame.heartbeat.step("waiting for the journal's server", START_SECONDS), frame.wake.interruptible():
            try:
                journal = Journal.open(frame.home.journal, leader)
            except Unavailable as error:
                if str(error) != reason:
                    log.warning("journal_away", reason=str(error))
                reason = str(error)
                frame.heartbeat.complain(CheckName.JOURNAL, reason)
                time.sleep(AWAY_SECONDS)
                continue
        frame.heartbeat.complain(CheckName.JOURNAL, "")
        return journal
