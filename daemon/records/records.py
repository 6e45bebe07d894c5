"""Read-only queries of the journal and the prediction history, one attribute per noun; rows are plain dicts."""

from retraind.daemon.core.home import Home
from retraind.daemon.records.batches import Batches
from retraind.daemon.records.drops.decided import Drops
from retraind.daemon.records.drops.held import HeldDrops
from retraind.daemon.records.events import Events, Swaps
from retraind.daemon.records.predictions import Predictions
from retraind.daemon.records.requests import Requests
from retraind.daemon.records.runs import Runs
from retraind.daemon.records.totals import Totals
from retraind.daemon.records.versions import Versions


class Records:
    """The records of a home; a missing file reads as empty. Raises sqlite3.Error on a damaged file."""

    def __init__(self, home: Home) -> None:
        self.journal = home.journal
        """The database that most of them are in."""
        self.versions = Versions(home)
        self.drops = Drops(home)
        self.held = HeldDrops(home.journal)
        self.batches = Batches(home.journal)
        self.runs = Runs(home.journal)
        self.swaps = Swaps(home.journal)
        self.events = Events(home.journal)
        self.requests = Requests(home.journal)
        self.totals = Totals(home.journal)
        self.predictions = Predictions(home.history)
