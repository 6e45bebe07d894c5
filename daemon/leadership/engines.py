"""The engines that a take-over needs besides the journal's server: a standby asks them now and then.

So its status tells that one can't be reached, or is another home's, while the leader still works.
"""

import time

from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.leadership.follower import Follower
from retraind.daemon.objects import ownership
from retraind.daemon.objects.store import ObjectStore
from retraind.daemon.storage.mlflow import mlflow_database
from retraind.daemon.storage.server.node_session import NodeSession

ASK_SECONDS = 15.0
"""Interval of the questions while they are answered."""

CHANNEL = "retraind_desired"


class Engines:
    """Object store and MLflow's database of a home that stands by; for the thread of a Follower."""

    def __init__(self, home: Home, store: ObjectStore) -> None:
        self._home, self._store = home, store
        self._asked_at = float("-inf")

    def follow(self, _session: NodeSession, _follower: Follower) -> None:
        """Ask both, if that is due; raises NotOwner, Unavailable."""
        now = time.monotonic()
        if now - self._asked_at < ASK_SECONDS:
            return
        ownership.require(self._store, journal_server.identity(self._home))
        mlflow_database.of(self._home).exists()
        self._asked_at = now
