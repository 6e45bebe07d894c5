"""Every setting with its unit, default and reason.

Precedence: flags, then RETRAIND_<SECTION>__<NAME> in the environment, then `retraind.toml`, then the default.
"""

from retraind.daemon.core.settings.inbox import Inbox
from retraind.daemon.core.settings.leader import Leader
from retraind.daemon.core.settings.loading import load
from retraind.daemon.core.settings.monitoring import Drift, Journal, Log, Mlflow, Predictions
from retraind.daemon.core.settings.node import Node
from retraind.daemon.core.settings.notify import Notify
from retraind.daemon.core.settings.promote import Promote
from retraind.daemon.core.settings.server import Server
from retraind.daemon.core.settings.settings import PREFIX, Settings, entries
from retraind.daemon.core.settings.storage import Data, Storage
from retraind.daemon.core.settings.train import CANDIDATES, EXTRA, Retrain, Train

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
