"""Every setting with its unit, default and reason.

Precedence: flags, then RETRAIND_<SECTION>__<NAME> in the environment, then `retraind.toml`, then the default.
"""

from daemon.core.settings.inbox import Inbox
from daemon.core.settings.leader import Leader
from daemon.core.settings.loading import load
from daemon.core.settings.monitoring import Drift, Journal, Log, Mlflow, Predictions
from daemon.core.settings.node import Node
from daemon.core.settings.notify import Notify
from daemon.core.settings.promote import Promote
from daemon.core.settings.server import Server
from daemon.core.settings.settings import PREFIX, Settings, entries
from daemon.core.settings.storage import Data, Storage
from daemon.core.settings.train import CANDIDATES, EXTRA, Retrain, Train

__all__ = [
    "CANDIDATES",
    "EXTRA",
    "PREFIX",
    "Data",
    "Drift",
    "Inbox",
    "Journal",
    "Leader",
    "Log",
    "Mlflow",
    "Node",
    "Notify",
    "Predictions",
    "Promote",
    "Retrain",
    "Server",
    "Settings",
    "Storage",
    "Train",
    "entries",
    "load",
]
